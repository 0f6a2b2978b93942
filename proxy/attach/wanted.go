package attach

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/rundir"
)

// wanted is the tunnel that the options come down to.
type wanted struct {
	Options
	config   *config.Config // with the environment's proxy as upstream
	settings string         // identifies the configuration without it
	cas      []string       // CA files that came with that proxy
	probe    string         // that proxy's URL, to ask whether it is an agent proxy
	gate     bool           // that proxy is the tunnel of a run that we are part of
	key      string
	dirs     []string              // state directories that are there and ours
	unsafe   []*rundir.UnsafeError // those that are somebody else's
	ours     *Tunnel               // the environment already points at this one
}

// resolve applies the environment to the configuration.
func resolve(ctx context.Context, o Options) (*wanted, error) {
	dirs, unsafe, err := rundir.Usable(o.Getenv)
	if err != nil {
		return nil, err
	}
	effective := *o.Config
	w := &wanted{Options: o, config: &effective, dirs: dirs, unsafe: unsafe}
	if w.settings, err = fingerprint(o.Config); err != nil {
		return nil, err
	}
	if err := w.fromEnvironment(ctx); err != nil {
		return nil, err
	}
	w.key, err = fingerprint(struct {
		Version string
		Config  *config.Config
		CAs     []string
		Gate    bool
	}{w.Version, w.config, w.cas, w.gate})
	return w, err
}

// fingerprint identifies a value by its JSON.
func fingerprint(value any) (string, error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:6]), nil
}

// nested reports whether we are part of a run, whose tunnel we must not leave.
func (w *wanted) nested() bool { return w.Getenv(contract.RunVariable) != "" }

// fromEnvironment makes the proxy that the environment names the upstream, unless
// the configuration names another, or it is a tunnel of ours: we never proxy
// through ourselves. Our tunnel is used when it was started with the configuration
// that is wanted now. Else a run that it serves goes through both, so that the
// stricter of them decides; a shell that was set up earlier gets a tunnel of its
// own.
func (w *wanted) fromEnvironment(ctx context.Context) error {
	name, value := environmentProxy(w.Getenv)
	if value == "" {
		return nil
	}
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	u, err := config.ParseUpstream(value)
	configured := w.config.Egress.Upstream != ""
	if err != nil && configured {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s in the environment cannot be the upstream egress: %w; unset it or set egress.upstream in the configuration", name, err)
	}
	own, t := w.isOurs(ctx, u)
	same := t != nil && t.Record.Settings == w.settings
	switch {
	case same && (w.nested() || t.Record.Version == w.Version):
		w.ours = t
	case own && t != nil && w.nested() && configured:
		return fmt.Errorf("this command is part of a run through the tunnel on port %d, and its configuration %s leads past that one, to another upstream",
			t.Record.Port, w.config.Path)
	case configured:
	case own && t != nil && w.nested():
		w.gate = true
		w.leaveThrough(value, w.environmentCAs())
	case own:
		w.inherit(ctx, t)
	default:
		w.probe = config.Redact(u)
		w.leaveThrough(value, w.environmentCAs())
	}
	return nil
}

func (w *wanted) environmentCAs() []string {
	return []string{w.Getenv("AGENT_PROXY_CA_BUNDLE_PATH"), w.Getenv("NODE_EXTRA_CA_CERTS"), w.Getenv("SSL_CERT_FILE")}
}

// leaveThrough makes a proxy the upstream. Its answers are trusted by the files.
func (w *wanted) leaveThrough(proxy string, cas []string) {
	w.config.Egress.Upstream = proxy
	for _, path := range cas {
		w.addCA(path)
	}
}

// inherit takes over what the environment said before it named a tunnel of ours:
// from that tunnel, or when that is gone from what the environment still tells.
func (w *wanted) inherit(ctx context.Context, t *Tunnel) {
	if t != nil {
		if former, err := t.inherited(ctx); err == nil {
			if former.Upstream != "" {
				w.leaveThrough(former.Upstream, former.CAs)
			}
			return
		}
	}
	if former := w.Getenv(contract.UpstreamVariable); former != "" {
		if _, err := config.ParseUpstream(former); err == nil {
			w.leaveThrough(former, []string{w.Getenv("AGENT_PROXY_CA_BUNDLE_PATH")})
		}
	}
}

// inherited is what the environment has said.
func (w *wanted) inherited() contract.Inherited {
	if w.Options.Config.Egress.Upstream != "" || w.gate {
		return contract.Inherited{} // the configuration says it, or a run
	}
	return contract.Inherited{Upstream: w.config.Egress.Upstream, CAs: w.cas}
}

// addCA adds a PEM file to what the upstream's answers are trusted by.
func (w *wanted) addCA(path string) {
	if path == "" {
		return
	}
	path, err := filepath.Abs(path)
	if err != nil || path == ca.SystemBundle() || slices.Contains(w.cas, path) {
		return
	}
	if certs, err := ca.ReadCertificates(path); err == nil && len(certs) > 0 {
		w.cas = append(w.cas, path)
	}
}

// environmentProxy is the proxy for https:// URLs. Most clients prefer the
// lower case (curl, Python, Node; Go is the exception). ALL_PROXY is not it:
// it often names a SOCKS proxy, for tools that want one.
func environmentProxy(getenv func(string) string) (name, value string) {
	for _, name := range []string{"https_proxy", "HTTPS_PROXY"} {
		if value := getenv(name); value != "" {
			return name, value
		}
	}
	if getenv(contract.CapturedVariable) != "" { // all that leaves here goes through the tunnel, and it is told of as ours
		return "AGENT_PROXY_URL", getenv("AGENT_PROXY_URL")
	}
	return "", ""
}

// unusedProxy is a proxy that the environment names for other URLs, where it names
// none for https:// and no upstream is configured.
func (w *wanted) unusedProxy() (name, shown string) {
	if _, value := environmentProxy(w.Getenv); value != "" || w.config.Egress.Upstream != "" {
		return "", ""
	}
	for _, name := range []string{"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"} {
		value := w.Getenv(name)
		if value == "" {
			continue
		}
		if !strings.Contains(value, "://") {
			value = "http://" + value
		}
		if u, err := url.Parse(value); err == nil && u.Host != "" {
			return name, config.Redact(u)
		}
	}
	return "", ""
}

// isOurs reports whether the URL is that of a tunnel of ours, and returns the
// tunnel if it still runs.
func (w *wanted) isOurs(ctx context.Context, u *url.URL) (bool, *Tunnel) {
	host, err := policy.ParseHost(u.Hostname())
	if err != nil || !host.IsLoopback() {
		return false, nil
	}
	for _, dir := range w.dirs {
		for _, r := range rundir.ReadAll(dir) {
			if fmt.Sprint(r.Port) != u.Port() {
				continue
			}
			if t := (&Tunnel{Dir: dir, Record: r}); t.alive(ctx) {
				return true, t
			}
			w.Port = r.Port // crashed: its runs still point here
			return true, nil
		}
	}
	return w.wasOurs(u), nil
}

// wasOurs reports whether the URL is that of a tunnel of ours which has left
// without a trace of itself: by what the environment says it is, or by the ports
// that we have had.
func (w *wanted) wasOurs(u *url.URL) bool {
	state := w.Getenv("AGENT_PROXY_STATE_DIR")
	named := strings.TrimSuffix(w.Getenv("AGENT_PROXY_URL"), "/") == config.Redact(u)
	if named && (w.nested() || w.Getenv(contract.ShellVariable) != "" || slices.Contains(w.dirs, state) && rundir.HasKey(state)) {
		return true
	}
	had := func(dir string) bool { return rundir.WasOurs(dir, u.Port()) }
	// Another agent proxy's session has the same variables; but its proxy answers.
	return (named && state != "" || slices.ContainsFunc(w.dirs, had)) && !answers(u)
}

// answers reports whether somebody listens there.
func answers(u *url.URL) bool {
	conn, err := net.DialTimeout("tcp", u.Host, time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

func (w *wanted) find(ctx context.Context) (*Tunnel, error) {
	for _, t := range w.recorded(w.dirs...) {
		if t == w.ours || t.alive(ctx) {
			return t, nil
		}
	}
	return nil, ErrNone
}

// recorded returns the tunnels of which there are records in the directories,
// whether they live or not.
func (w *wanted) recorded(dirs ...string) []*Tunnel {
	if w.ours != nil {
		return []*Tunnel{w.ours}
	}
	var list []*Tunnel
	for _, dir := range dirs {
		if r, err := rundir.Read(dir, w.key); err == nil {
			list = append(list, &Tunnel{Dir: dir, Record: r})
		}
	}
	return list
}

// effective is the configuration with the upstream's CA files among the roots.
func (w *wanted) effective() *config.Config {
	c := *w.config
	c.Egress.ExtraRoots = append(append([]string(nil), c.Egress.ExtraRoots...), w.cas...)
	if w.ours != nil && c.Egress.Upstream == "" {
		c.Egress.Upstream = w.ours.Record.Upstream
	}
	return &c
}

// inherited asks a tunnel what the environment said when it was started.
func (t *Tunnel) inherited(ctx context.Context) (contract.Inherited, error) {
	var said contract.Inherited
	res, conn, err := t.call(ctx, http.MethodGet, contract.InheritedPath)
	if err != nil {
		return said, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(callTimeout))
	return said, json.NewDecoder(res.Body).Decode(&said)
}

// Package attach finds the running tunnel that a command needs, or starts it.
package attach

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/daemon"
	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/rundir"
)

// ErrNone is returned by Find when no tunnel runs.
var ErrNone = errors.New("no tunnel is running")

// Options say which tunnel is wanted.
type Options struct {
	Config *config.Config
	Getenv func(string) string
	// Version is the build; a tunnel of another build is not used.
	Version string
	// Port is preferred when a tunnel is started; 0 means any.
	Port int
	// Progress is told, once, when starting takes more than a second.
	Progress func()
}

// Tunnel is a running tunnel of ours.
type Tunnel struct {
	// Dir is its state directory.
	Dir string
	// Record is its endpoint record.
	Record *rundir.Record
	// Started is true when this call started it.
	Started bool
	// Notice says that the state directory is not the wanted one, "" when it is.
	Notice string
}

// URL is the value for HTTPS_PROXY.
func (t *Tunnel) URL() string { return fmt.Sprintf("http://127.0.0.1:%d", t.Record.Port) }

// Find returns the tunnel that runs for the options, or ErrNone.
func Find(ctx context.Context, o Options) (*Tunnel, error) {
	w, err := resolve(ctx, o)
	if err != nil {
		return nil, err
	}
	return w.find(ctx)
}

// Attach returns the tunnel for the options and starts it when none runs.
func Attach(ctx context.Context, o Options) (*Tunnel, error) {
	w, err := resolve(ctx, o)
	if err != nil {
		return nil, err
	}
	if t, err := w.find(ctx); !errors.Is(err, ErrNone) {
		return t, err
	}
	dir, err := rundir.Open(o.Getenv)
	if err != nil {
		return nil, err
	}
	release, err := rundir.Lock(dir.Path)
	if err != nil {
		return nil, err
	}
	defer release()
	// Somebody else may have started it while we waited for the lock.
	for _, t := range w.recorded(dir.Path) {
		if t.alive(ctx) {
			return t, nil
		}
	}
	t, err := w.start(ctx, dir.Path)
	if err != nil {
		return nil, err
	}
	if dir.Instead != "" {
		t.Notice = fmt.Sprintf("%s cannot be used (%s); the tunnel's state and its own CA are in %s", dir.Instead, dir.Why, dir.Path)
	}
	return t, nil
}

// All returns every tunnel of ours that runs, whatever it was started for.
func All(ctx context.Context, getenv func(string) string) ([]*Tunnel, error) {
	dirs, err := rundir.Candidates(getenv)
	if err != nil {
		return nil, err
	}
	var all []*Tunnel
	for _, dir := range dirs {
		for _, r := range rundir.ReadAll(dir) {
			if t := (&Tunnel{Dir: dir, Record: r}); t.alive(ctx) {
				all = append(all, t)
			}
		}
	}
	return all, nil
}

// wanted is the tunnel that the options come down to.
type wanted struct {
	Options
	config *config.Config // with the environment's proxy as upstream
	cas    []string       // CA files that came with that proxy
	probe  string         // that proxy's URL, to ask whether it is an agent proxy
	key    string
	dirs   []string
	ours   *Tunnel // the environment already points at this one
}

// resolve applies the environment to the configuration.
func resolve(ctx context.Context, o Options) (*wanted, error) {
	dirs, err := rundir.Candidates(o.Getenv)
	if err != nil {
		return nil, err
	}
	effective := *o.Config
	w := &wanted{Options: o, config: &effective, dirs: dirs}
	if o.Config.Egress.Upstream == "" {
		if err := w.fromEnvironment(ctx); err != nil {
			return nil, err
		}
	}
	w.key, err = w.identity()
	return w, err
}

// fromEnvironment makes the proxy that the environment names the upstream,
// unless it is a tunnel of ours: we never proxy through ourselves.
func (w *wanted) fromEnvironment(ctx context.Context) error {
	name, value := environmentProxy(w.Getenv)
	if value == "" {
		return nil
	}
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	u, err := config.ParseUpstream(value)
	if err != nil {
		return fmt.Errorf("%s in the environment cannot be the upstream egress: %w; unset it or set egress.upstream in the configuration", name, err)
	}
	own, t := w.isOurs(ctx, u)
	if own {
		w.ours = t
		return nil
	}
	w.config.Egress.Upstream = value
	w.probe = config.Redact(u)
	for _, name := range []string{"AGENT_PROXY_CA_BUNDLE_PATH", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"} {
		w.addCA(w.Getenv(name))
	}
	return nil
}

// addCA adds a PEM file to what the upstream's answers are trusted by.
func (w *wanted) addCA(path string) {
	if path == "" {
		return
	}
	path, err := filepath.Abs(path)
	if err != nil || path == ca.SystemBundle() {
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
	return "", ""
}

// isOurs tells whether the URL is that of a tunnel of ours, and which if it
// still runs.
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
	// The environment says that it came from an exec or a shell's hook of ours,
	// but the tunnel is gone.
	from := w.Getenv(daemon.RunVariable) + w.Getenv(daemon.ShellVariable)
	return strings.TrimSuffix(w.Getenv("AGENT_PROXY_URL"), "/") == config.Redact(u) && from != "", nil
}

// identity names the tunnel: same build, same configuration, same upstream.
func (w *wanted) identity() (string, error) {
	raw, err := json.Marshal(struct {
		Version string
		Config  *config.Config
		CAs     []string
	}{w.Version, w.config, w.cas})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:6]), nil
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

// start spawns the daemon and waits until it is ready. The lock is held.
func (w *wanted) start(ctx context.Context, dir string) (*Tunnel, error) {
	if w.probe != "" {
		if path := agentProxyBundle(ctx, w.probe); path != "" {
			w.addCA(path)
		}
	}
	port := w.Port
	if old, err := rundir.Read(dir, w.key); err == nil && port == 0 {
		port = old.Port // stale: a crashed predecessor's
	}
	options := daemon.Options{Config: w.effective(), Dir: dir, Key: w.key, Port: port, Version: w.Version}
	if w.Progress != nil {
		timer := time.AfterFunc(time.Second, w.Progress)
		defer timer.Stop()
	}
	if err := spawn(ctx, options); err != nil {
		return nil, err
	}
	r, err := rundir.Read(dir, w.key)
	if err != nil {
		return nil, fmt.Errorf("the tunnel started but left no record: %w", err)
	}
	return &Tunnel{Dir: dir, Record: r, Started: true}, nil
}

// effective is the configuration with the upstream's CA files among the roots.
func (w *wanted) effective() *config.Config {
	c := *w.config
	c.Egress.ExtraRoots = append(append([]string(nil), c.Egress.ExtraRoots...), w.cas...)
	return &c
}

// Identity returns the key and the configuration in force for a daemon that is
// run in the foreground with these options.
func Identity(ctx context.Context, o Options) (key string, effective *config.Config, err error) {
	w, err := resolve(ctx, o)
	if err != nil {
		return "", nil, err
	}
	return w.key, w.effective(), nil
}

// Build identifies this binary: two builds of one version are not the same.
func Build(version string) string {
	path, err := os.Executable()
	if err != nil {
		return version
	}
	info, err := os.Stat(path)
	if err != nil {
		return version
	}
	return fmt.Sprintf("%s+%x", version, info.ModTime().UnixNano()^info.Size())
}

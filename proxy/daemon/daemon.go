// Package daemon is the long-lived process behind a tunnel: it puts front,
// egress and authority together, keeps the record of runs and failures, and
// leaves when nobody has needed it for a while.
package daemon

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/agentproxy/agentproxy/proxy"
	"github.com/agentproxy/agentproxy/proxy/atomicfile"
	"github.com/agentproxy/agentproxy/proxy/audit"
	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/canary"
	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/egress"
	"github.com/agentproxy/agentproxy/proxy/front"
	"github.com/agentproxy/agentproxy/proxy/page"
	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/proxy/trust"
)

// Options are what a daemon is started with, and what only its own process can
// give it.
type Options struct {
	contract.Start
	// Authorize decides on credentials of clients; nil asks for none.
	Authorize func(user, password string) bool
	// WrapListener may put TLS in front.
	WrapListener func(net.Listener, *ca.Authority) (net.Listener, error)
	// Tools adds to a status document what concerns the tools of this machine,
	// which the layers above know; nil adds nothing.
	Tools func(*status.Document)
	// Readme writes the troubleshooting guide for the tunnel of a status document;
	// nil writes none.
	Readme func(*status.Document) (string, error)
	// Ready is told when connections are accepted.
	Ready func(*rundir.Record)
	// HangUp makes SIGHUP have the policy read again.
	HangUp bool
	Log    *slog.Logger
}

// Run serves the tunnel until ctx ends, it is told to stop, or it has been idle
// for long enough. The caller holds the state directory's lock until Ready.
func Run(ctx context.Context, o Options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The collector runs when the heap has doubled, and ours is small: without
	// this floor it would run thirty times a second under load, for a fifth of
	// the time. The pages are never touched and so take no memory.
	floor := make([]byte, 16<<20)
	defer runtime.KeepAlive(floor)
	stats := page.NewStats()
	d := &daemon{options: o, stop: cancel, runs: newRuns(), stats: stats, strangers: strangers{ended: ctx.Done()}, asks: newAsks(o.Dir, ctx.Done(), stats.Wake)}
	if err := d.setUp(); err != nil {
		return err
	}
	d.openCaptures()
	d.search.captures = d.captures
	shellFile, err := rundir.NewShellFile(o.Dir, o.Key, d.record.Port)
	if err != nil {
		d.listener.Close()
		return fmt.Errorf("write the shells' file: %w", err)
	}
	d.shellFile = shellFile
	defer d.shellFile.Stop()
	d.log = audit.Open(o.Dir, o.Log)
	defer d.log.Close()
	defer d.record.Remove()
	serving := make(chan error, 1)
	go func() { serving <- d.front.Serve(d.listener) }()
	if err := errors.Join(d.record.Write(o.Dir), rundir.HadPort(o.Dir, d.record.Port)); err != nil {
		d.front.Close()
		return fmt.Errorf("write endpoint record: %w", err)
	}
	o.Log.Info("tunnel is up", "port", d.record.Port, "mode", d.mode(), "upstream", d.record.Upstream, "version", o.Version)
	if o.Ready != nil {
		o.Ready(d.record)
	}
	go d.watchIdle(ctx)
	go d.watchPolicy(ctx)
	go d.watchPublished(ctx)
	readme := make(chan struct{})
	go func() {
		defer close(readme)
		d.writeReadme()
	}()
	defer func() { <-readme }() // it leaves no half of a file
	select {
	case <-ctx.Done():
	case err = <-serving:
	}
	d.record.Remove()
	d.shellFile.Stop()
	rundir.ForgetShells(o.Dir, o.Key)
	d.runs.sayStopped()
	d.front.StopAccepting()
	d.captures.stop()
	d.drain()
	d.front.Close()
	d.canary.Close()
	if d.egress != nil {
		d.egress.Close()
	}
	o.Log.Info("tunnel is down")
	return err
}

// stillMoving is after how long without a byte a tunnel is taken to have come
// to its end.
const stillMoving = 300 * time.Millisecond

// drain waits until no request is under way and no tunnel moves bytes.
func (d *daemon) drain() {
	for end := time.Now().Add(contract.DrainLimit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if (d.egress == nil || d.egress.Active() == 0) && d.front.Moving(stillMoving) == 0 {
			return
		}
	}
	d.options.Log.Warn("not all came to its end", "limit", contract.DrainLimit.String())
}

type daemon struct {
	options Options
	stop    context.CancelFunc
	started status.Time
	ca      *ca.Authority
	bundle  ca.Bundle
	// javaStore is "" when it could not be made.
	javaStore string
	egress    *egress.Egress // nil with an upstream
	live      live
	published published
	asks      asks
	canary    *canary.Canary
	front     *front.Front
	listener  net.Listener
	record    *rundir.Record
	shellFile *rundir.ShellFile
	hasReadme atomic.Bool
	runs      *runs
	carried   counter
	log       *audit.Log
	stats     *page.Stats
	search    search
	strangers strangers
	captures  *captures
}

func (d *daemon) setUp() error {
	o := d.options
	d.started = status.Now()
	if o.Source != nil {
		source := *o.Source
		source.State = o.Dir
		d.live.source = &source
	}
	d.live.now.Store(o.Config)
	var err error
	if d.ca, err = ca.Open(o.Dir); err != nil {
		return err
	}
	roots, err := ca.Roots(os.Getenv("SSL_CERT_FILE"), o.Config.Egress.ExtraRoots...)
	if err != nil {
		return fmt.Errorf("roots: %w", err)
	}
	if d.bundle, err = ca.BuildBundle(o.Dir, o.Dir, o.Config.Egress.ExtraRoots...); err != nil {
		return fmt.Errorf("CA bundle: %w", err)
	}
	if d.javaStore, err = trust.JVMTrustStore(d.bundle.Path); err != nil {
		o.Log.Warn("no JVM truststore", "error", err.Error())
	}
	if d.listener, err = listen(o); err != nil {
		return err
	}
	port := d.listener.Addr().(*net.TCPAddr).Port
	tunnel, upstream, err := d.chooseTunnel(roots, port)
	if err != nil {
		d.listener.Close()
		return err
	}
	d.canary = canary.New(d.ca)
	tunnel = d.whileValid(d.canary.Tunnel(tunnel))
	d.record = &rundir.Record{Key: o.Key, Settings: o.Settings, ConfigPath: o.Config.Path, PID: os.Getpid(), Port: port, Secret: rand.Text(), Version: o.Version, Upstream: upstream, Inherited: o.Inherited.Upstream != "", CAs: o.Config.Egress.ExtraRoots, Started: d.started}
	d.front = &front.Front{Tunnel: tunnel, Routes: d.routes(tunnel, roots), Report: d.report, Opened: d.opened, Ask: d.askForTunnel, Fault: d.fault, Authorize: o.Authorize}
	if o.Authorize == nil {
		d.front.Admit = d.admit
	}
	if o.WrapListener != nil {
		d.listener, err = o.WrapListener(d.listener, d.ca)
	}
	return err
}

// chooseTunnel is the one place where the egress is chosen.
func (d *daemon) chooseTunnel(roots *x509.CertPool, port int) (proxy.TunnelFunc, string, error) {
	cfg := d.options.Config
	if cfg.Egress.Upstream == "" {
		p, err := d.firstPolicy(d.throughOwnEgress(roots), roots)
		if err != nil {
			return nil, "", err
		}
		d.egress = egress.New(egress.Config{Policy: p, CA: d.ca, Roots: roots, ConnectTo: cfg.Egress.ConnectTo, Ask: d.askForRequest})
		return d.egress.Tunnel, "", nil
	}
	u, err := config.ParseUpstream(cfg.Egress.Upstream)
	if err != nil {
		return nil, "", fmt.Errorf("egress.upstream: %w", err)
	}
	name := config.Redact(u)
	if isSelf(u, port) {
		return nil, "", fmt.Errorf("the upstream %s is this tunnel itself", name)
	}
	tunnel := (&front.Upstream{URL: u, Name: name, Roots: roots}).Tunnel
	if d.options.Gate {
		if _, err := d.firstPolicy(tunnel, roots); err != nil {
			return nil, "", err
		}
		tunnel = d.gated(tunnel)
	}
	return tunnel, name, nil
}

// whileValid refuses tunnels once our CA has expired: whatever it signs fails at
// the client with words that lead nowhere.
func (d *daemon) whileValid(next proxy.TunnelFunc) proxy.TunnelFunc {
	return func(ctx context.Context, target string) (net.Conn, error) {
		if d.egress != nil && d.ca.Expired() {
			return nil, &status.Failure{TS: status.Now(), Kind: status.OriginFailed, Code: http.StatusServiceUnavailable, By: "front", Reason: "ca_expired",
				Detail: "agentproxy's own CA expired on " + d.ca.Certificate().NotAfter.Format(time.DateOnly), Advice: "for a new one: agentproxy down; agentproxy up"}
		}
		return next(ctx, target)
	}
}

// gated applies the policy to targets on their way to another tunnel. What a name
// resolves to is judged there. Where rules on requests have a say nothing passes: they
// cannot be applied here.
func (d *daemon) gated(onward proxy.TunnelFunc) proxy.TunnelFunc {
	return func(ctx context.Context, target string) (net.Conn, error) {
		rules := d.live.decide.Load()
		if t, err := policy.ParseTarget(target); err == nil {
			d := rules.Decide(t)
			if requests := rules.Requests(t); d.Allowed && requests != nil {
				d = requests.Unreadable(errors.New("the tunnel of the run around this one decrypts it"))
			}
			if !rules.Lets(d) && !(policy.Granted(ctx) && rules.MayAllow(t)) {
				return nil, d.Failure(t)
			}
		}
		return onward(ctx, target)
	}
}

func isSelf(u *url.URL, port int) bool {
	if u.Port() != strconv.Itoa(port) {
		return false
	}
	h, err := policy.ParseHost(u.Hostname())
	return err == nil && h.IsLoopback()
}

func listen(o Options) (net.Listener, error) {
	if o.Listen != "" {
		return net.Listen("tcp", o.Listen)
	}
	if port := o.Config.Front.Port; port != 0 {
		return net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	}
	if o.Port != 0 {
		if l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", o.Port)); err == nil {
			return l, nil
		}
	}
	return net.Listen("tcp4", "127.0.0.1:0")
}

func (d *daemon) routes(tunnel proxy.TunnelFunc, roots *x509.CertPool) *front.Routes {
	rt := &front.Routes{
		Status: d.document,
		CA:     d.ca.PEM(),
		Report: d.report,
		Control: map[string]http.Handler{
			contract.RunPath:       d.authorized(d.serveRun),
			contract.StopPath:      d.authorized(d.serveStop),
			contract.ReloadPath:    d.authorized(d.serveReload),
			contract.TrialPath:     d.authorized(d.serveCanary),
			contract.AskPath:       d.authorized(d.serveAsk),
			contract.LinkPath:      d.authorized(d.serveLink),
			contract.InheritedPath: d.authorized(d.serveInherited),
			status.PairPath:        d.fromPage(d.servePair),
			status.AnswerPath:      d.fromPage(d.servePageAnswer),
		},
		Pages: d.pages(),
	}
	if d.options.Config.Front.CompatEnabled() && d.options.Listen == "" {
		own := roots.Clone()
		own.AddCert(d.ca.Certificate())
		rt.Carry = front.NewCarry(tunnel, own, d.carried.add, d.report)
	}
	return rt
}

// shells counts those whose environment goes through the tunnel.
func (d *daemon) shells() int { return rundir.Shells(d.options.Dir, d.options.Key) }

func (d *daemon) mode() string {
	if d.egress == nil {
		return "upstream"
	}
	return "embedded"
}

// document is the status as of now.
func (d *daemon) document() *status.Document {
	o := d.options
	expires := status.Time{Time: d.ca.Certificate().NotAfter}
	doc := &status.Document{
		Enabled:               true,
		Port:                  d.record.Port,
		CABundlePath:          d.bundle.Path,
		HasSystemCA:           d.bundle.HasSystemRoots,
		BundleCoversEveryHost: true,
		NoProxy:               status.DefaultNoProxy,
		Standalone:            d.egress != nil,
		RecentRelayFailures:   d.runs.recent(),
		Version:               o.Version,
		PID:                   os.Getpid(),
		Started:               &d.started,
		Mode:                  d.mode(),
		Upstream:              d.record.Upstream,
		StateDir:              o.Dir,
		ConfigPath:            o.Config.Path,
		CAFingerprint:         d.ca.Fingerprint(),
		CAExpires:             &expires,
		Runs:                  d.runs.count(),
		Shells:                d.shells(),
		Policy:                d.policyLayers(),
		PolicyProblem:         d.live.policyProblem(),
		Asked:                 d.asks.past(),
		RunHosts:              d.stats.Runs(),
	}
	if doc.JavaTrustStorePath = d.javaStore; d.javaStore == "" {
		doc.ToolTrustFailureCodes = []string{"java_truststore_not_written"}
	}
	d.addStores(doc)
	d.addPublished(doc)
	if d.hasReadme.Load() {
		doc.ReadmePath = filepath.Join(o.Dir, readmeFile)
	}
	doc.Connections, doc.Tunnels = d.front.Counts()
	if idle := d.idle(); idle > 0 {
		doc.IdleExit = idle.String()
	}
	if n := d.carried.n.Load(); n > 0 {
		doc.Accommodations = append(doc.Accommodations, status.Accommodation{Code: "absolute_form_https", Count: n,
			Detail: "a client sent https:// in absolute form (axios before 1.16.1 does) and was carried; upgrade it"})
	}
	if d.egress != nil && o.Config.Rules().Lab {
		doc.Accommodations = append(doc.Accommodations, status.Accommodation{Code: "documentation_addresses", Count: 1,
			Detail: "this machine's own addresses come from the documentation ranges (RFC 5737), so names may resolve into them"})
	}
	if o.Tools != nil {
		o.Tools(doc)
	}
	return doc
}

// addStores tells of the stores that "trust install" has set up.
func (d *daemon) addStores(doc *status.Document) {
	entries, codes, err := trust.Installed(d.options.Dir, d.ca.Fingerprint())
	if err != nil {
		codes = []string{"trust_journal_unreadable"}
	}
	doc.ToolTrustFailureCodes = append(doc.ToolTrustFailureCodes, codes...)
	for _, e := range entries {
		doc.Accommodations = append(doc.Accommodations, status.Accommodation{Code: "trust_store_" + e.Store, Count: 1,
			Detail: e.Place + " trusts the CA for good; agentproxy trust remove --store " + e.Store + " undoes it"})
	}
}

// readmeFile is the guide's name in the state directory.
const readmeFile = "README.md"

var _ = rundir.Register(readmeFile)

// writeReadme puts the guide where the status document says that it is. Nobody
// waits for it.
func (d *daemon) writeReadme() {
	if d.options.Readme == nil {
		return
	}
	text, err := d.options.Readme(d.document())
	if err == nil {
		err = atomicfile.Write(filepath.Join(d.options.Dir, readmeFile), []byte(text), 0o600)
	}
	if err != nil {
		d.options.Log.Warn("no guide", "error", err.Error())
		return
	}
	d.hasReadme.Store(true)
	debug.FreeOSMemory() // the guide takes more than the tunnel, and is written once
}

func (d *daemon) idle() time.Duration {
	if d.options.Stay {
		return 0
	}
	idle, err := d.options.Config.Front.Idle()
	if err != nil {
		return config.DefaultIdleExit
	}
	return idle
}

// lostCheck is how often the daemon looks whether its record is still there.
const lostCheck = 3 * time.Second

// quiet is for how long no tunnel has opened or ended before memory is given back.
const quiet = time.Second

// watchIdle gives memory back once it is quiet. It ends the daemon when no run is attached and no tunnel is open, and
// none has been for the idle time and no shell lives that leads through it; or when
// its record has gone, as with the state directory: then nobody finds it any more.
func (d *daemon) watchIdle(ctx context.Context) {
	idle := d.idle()
	pause := lostCheck
	if idle > 0 {
		pause = min(pause, max(idle/10, 50*time.Millisecond))
	}
	tick := time.NewTicker(pause)
	defer tick.Stop()
	trimmed := d.front.LastActive()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		last := d.front.LastActive()
		if last != trimmed && time.Since(last) >= quiet {
			trimmed = last
			trim()
		}
		if ended := d.runs.lastEnd(); ended.After(last) {
			last = ended
		}
		why := ""
		switch {
		case d.record.Gone():
			why = "the endpoint record has gone"
		case idle > 0 && time.Since(last) >= idle && d.shells() == 0:
			why = "idle for " + idle.String()
		}
		if open, _ := d.front.Counts(); why != "" && open == 0 && d.captures.count() == 0 && d.runs.closeIfNone() {
			d.options.Log.Info("leaving", "why", why)
			d.stop()
			return
		}
	}
}

// usualMemory is what a daemon of a few tunnels may keep, in bytes. The floor of Run is in it.
const usualMemory = 64 << 20

// trim gives memory back to the system, if there is much: a handshake takes three times what an idle tunnel keeps.
func trim() {
	held := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(held)
	if held[0].Value.Uint64()-held[1].Value.Uint64() > usualMemory {
		debug.FreeOSMemory()
	}
}

var errNotOurs = errors.New("the request does not carry a proof that it read the endpoint record")

// authorized lets only those in who can read the endpoint record, and proves
// the same to them.
func (d *daemon) authorized(h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		nonce := r.Header.Get(contract.NonceHeader)
		if !d.record.Verify(rundir.RoleClient, nonce, r.Header.Get(contract.ProofHeader)) {
			http.Error(w, "agentproxy: "+errNotOurs.Error(), http.StatusForbidden)
			return
		}
		w.Header().Set(contract.ProofHeader, d.record.Proof(rundir.RoleServer, nonce))
		h(w, r)
	})
}

// serveInherited hands what the environment once said to a run whose environment
// says no more than where we are. Only its user can ask.
func (d *daemon) serveInherited(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(d.options.Inherited)
}

func (d *daemon) serveStop(w http.ResponseWriter, r *http.Request) {
	w.WriteHeader(http.StatusNoContent)
	http.NewResponseController(w).Flush() // before stop closes this connection too
	d.stop()
}

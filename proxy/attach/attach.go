// Package attach finds the running tunnel that a command needs, or starts it.
package attach

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/contract"
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
	// NoAsk has what the policy refuses the run refused at once, whoever may be asked.
	NoAsk bool
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
	// Notices say what there is to know of the state directory, when it is not the
	// wanted one or another's was found where ours could have been.
	Notices []string
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
	t.Notices = w.notices(dir)
	return t, nil
}

// notices says what is not as one would expect.
func (w *wanted) notices(dir *rundir.Dir) []string {
	var list []string
	if dir.Instead != "" {
		list = append(list, fmt.Sprintf("%s cannot be used (%s); the tunnel's state and its own CA are in %s", dir.Instead, dir.Why, dir.Path))
	}
	if name, value := w.unusedProxy(); value != "" {
		list = append(list, fmt.Sprintf("%s names the proxy %s, which is for other URLs than https:// and was not used; if it is the way out: egress.upstream = %q in the configuration, or HTTPS_PROXY", name, value, value))
	}
	if w.config.Egress.Upstream == "" && ca.SystemBundle() == "" && !ca.HasRoots(w.Getenv("SSL_CERT_FILE"), w.config.Egress.ExtraRoots...) {
		list = append(list, "this machine has no CA certificates, so that no origin can be verified: install the package ca-certificates")
	}
	for _, u := range w.unsafe {
		if u.Path != dir.Instead {
			list = append(list, "passed over: "+u.Path+" "+u.Problem)
		}
	}
	return list
}

// All returns every tunnel of ours that runs, whatever it was started for.
func All(ctx context.Context, getenv func(string) string) ([]*Tunnel, error) {
	dirs, _, err := rundir.Usable(getenv)
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
	options := w.daemon()
	options.Dir, options.Port = dir, port
	if w.Progress != nil {
		timer := time.AfterFunc(time.Second, w.Progress)
		defer timer.Stop()
	}
	if err := spawn(ctx, options, w.Getenv); err != nil {
		return nil, err
	}
	r, err := rundir.Read(dir, w.key)
	if err != nil {
		return nil, fmt.Errorf("the tunnel started but left no record: %w", err)
	}
	return &Tunnel{Dir: dir, Record: r, Started: true}, nil
}

// Wanted returns what the daemon for these options is started with; its state
// directory is still to be chosen. Nothing is started.
func Wanted(ctx context.Context, o Options) (contract.Start, error) {
	w, err := resolve(ctx, o)
	if err != nil {
		return contract.Start{}, err
	}
	return w.daemon(), nil
}

func (w *wanted) daemon() contract.Start {
	return contract.Start{Config: w.effective(), Source: w.Options.Config.Source, Key: w.key, Settings: w.settings, Inherited: w.inherited(), Gate: w.gate, Version: w.Version}
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

package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/status"
)

// live keeps the policy in force the one that its files say.
type live struct {
	source *config.Source // nil: it never changes
	// now is the configuration that the policy in force is of.
	now atomic.Pointer[config.Config]
	// decide is the policy in force; nil where an upstream decides alone.
	decide atomic.Pointer[policy.Policy]

	mu      sync.Mutex
	seen    string // what the files looked like when they were read last
	problem string // why the old policy stays in force
}

// ownPolicy is the embedded egress's; nil where there is none.
func (d *daemon) ownPolicy() *policy.Policy {
	if d.egress == nil {
		return nil
	}
	return d.live.decide.Load()
}

// watchInterval is how often the files are looked at. A change is taken when it has
// lasted so long: nobody is in the middle of writing then.
const watchInterval = 200 * time.Millisecond

// watchPolicy reads the policy again when its files change and on SIGHUP.
func (d *daemon) watchPolicy(ctx context.Context) {
	if d.live.source == nil {
		return
	}
	hup := make(chan os.Signal, 1)
	if d.options.HangUp {
		signal.Notify(hup, syscall.SIGHUP)
	}
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	last := d.live.look()
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			d.published.ask()
			d.reload(true, false)
		case <-tick.C:
			looks := d.live.look()
			if looks == last {
				d.reload(false, false)
			}
			last = looks
		}
	}
}

// look is what the files look like: which are there, of which size and time.
func (l *live) look() string {
	var b strings.Builder
	for _, path := range l.source.Files() {
		if info, err := os.Stat(path); err == nil {
			fmt.Fprintf(&b, "%s %d %d\n", path, info.Size(), info.ModTime().UnixNano())
		}
	}
	return b.String()
}

// reload reads the policy again when its files have changed, or in any case. While an
// isolated run is under way it is left alone unless the user asks for it by the tunnel's
// own route: the run may be who has written the files.
func (d *daemon) reload(always, asked bool) (problem string) {
	l := &d.live
	l.mu.Lock()
	defer l.mu.Unlock()
	looks := l.look()
	if looks == l.seen && !always {
		return l.problem
	}
	if !asked && d.captures.isolated() {
		return l.problem
	}
	l.seen = looks
	cfg, err := l.source.Load()
	if err == nil {
		d.published.follow(cfg)
		err = d.enforce(cfg)
	}
	before := l.problem
	if l.problem = ""; err != nil {
		l.problem = status.Printable(err.Error())
	}
	if l.problem != before && l.problem != "" {
		d.options.Log.Warn("the old policy stays in force", "problem", l.problem)
	}
	return l.problem
}

// enforce puts the policy of a configuration in force. What else it says holds for the
// next tunnel.
func (d *daemon) enforce(cfg *config.Config) error {
	if d.live.decide.Load() != nil { // else an upstream's
		if err := cfg.Unfetched(); err != nil {
			return err
		}
	}
	if reflect.DeepEqual(cfg.Rules(), d.live.now.Load().Rules()) {
		d.live.now.Store(cfg) // the copy of the organisation's may be a newer one
		return nil
	}
	p, err := policy.New(cfg.Rules())
	if err != nil {
		return err
	}
	d.live.now.Store(cfg)
	if d.live.decide.Load() == nil {
		return nil // an upstream's
	}
	d.live.decide.Store(p)
	if d.egress != nil {
		d.egress.SetPolicy(p)
	}
	d.options.Log.Info("policy read", "config", cfg.Path, "allow", len(cfg.Policy.Allow), "deny", len(cfg.Policy.Deny))
	return nil
}

// policyLayers are those of the policy in force.
func (d *daemon) policyLayers() []status.PolicyLayer {
	if d.live.decide.Load() == nil {
		return nil
	}
	c := d.live.now.Load()
	mode := cmp.Or(c.Policy.Mode, config.ModeEnforce)
	layers := []status.PolicyLayer{policyLayer("user", c.Path, mode, config.Layer{Default: c.Policy.Default, Allow: c.Policy.Allow, Deny: c.Policy.Deny})}
	for _, o := range c.Organisation {
		layers = append(layers, policyLayer("organisation", o.Path, config.ModeEnforce, o.Policy))
	}
	if o := c.Published; o != nil {
		layer := policyLayer("organisation", o.URL, config.ModeEnforce, o.Policy)
		layer.Fetched = &status.Time{Time: o.Fetched}
		layers = append(layers, layer)
	}
	if p := c.Project; p != nil {
		layers = append(layers, policyLayer("project", p.Path, mode, p.Policy))
	}
	if c.Run != nil {
		layers = append(layers, policyLayer("run", "", mode, *c.Run))
	}
	return layers
}

func policyLayer(name, path, mode string, l config.Layer) status.PolicyLayer {
	return status.PolicyLayer{Name: name, Path: path, Default: cmp.Or(l.Default, "allow"), Mode: mode, Allow: len(l.Allow), Deny: len(l.Deny)}
}

// policyProblem is why the policy in force is not the one of the files.
func (l *live) policyProblem() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.problem
}

func (d *daemon) serveReload(w http.ResponseWriter, r *http.Request) {
	answer := contract.Reloaded{Problem: "it is not known where this tunnel's policy came from"}
	if d.live.source != nil {
		d.reload(true, true) // it says where the organisation's is
		fetching := d.fetchPublished(r.Context())
		answer = contract.Reloaded{Path: d.live.source.Path, Problem: d.reload(true, true)}
		if fetching != nil && answer.Problem == "" {
			answer.Problem = "your organisation's is the copy that there is: " + status.Printable(fetching.Error())
		}
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(answer)
}

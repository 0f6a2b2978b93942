package daemon

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/agentproxy/agentproxy/proxy"
	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/guard"
	"github.com/agentproxy/agentproxy/proxy/page"
	"github.com/agentproxy/agentproxy/proxy/peer"
	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/status"
)

// report ties a failure to its process and run, and keeps it. A client that
// has closed its socket can no longer be found; then the failure belongs to the
// only run there is, or to none.
func (d *daemon) report(c net.Conn, f *status.Failure) {
	d.guarded("recording a failure", func() { d.keep(c, f) })
}

// guarded runs what no client may suffer from when it goes wrong.
func (d *daemon) guarded(doing string, f func()) {
	if fault := guard.Do(doing, f); fault != nil {
		d.fault(fault)
	}
}

func (d *daemon) fault(f *guard.Fault) {
	d.options.Log.Error("fault", "error", f.Error(), "stack", string(f.Stack))
}

func (d *daemon) keep(c net.Conn, f *status.Failure) {
	if f.TS.IsZero() {
		f.TS = status.Now()
	}
	f.Clean()
	if f.Rule == othersSockets {
		d.keepStranger(f)
		return
	}
	if c != nil && d.options.Authorize == nil {
		if p, ok := d.search.forFailure(c); ok {
			f.PID, f.Process = p.PID, p.Name
			f.Run = d.runs.owner(p.PID)
			f.Shell = peer.Getenv(p.PID, contract.ShellVariable)
			f.Clean()
		}
		if f.PID == 0 {
			f.Run = d.runs.only()
		}
		if run := d.captures.runOf(c); run != "" {
			f.Run = run
		}
	}
	if f.Reported {
		d.runs.reported(f.Entry())
		d.log.Add(f.Entry())
		d.stats.Add(page.Event{Entry: f.Entry(), Detail: f.Detail})
		return
	}
	d.runs.record(f)
	if err := d.shellFile.Failed(f.TS.Time); err != nil {
		d.options.Log.Warn("the shells' file", "error", err.Error())
	}
	d.publish(f)
}

// keepStranger keeps a refusal that concerns no run of ours: one of many, and
// without a search for the process.
func (d *daemon) keepStranger(f *status.Failure) {
	missed, yes := d.strangers.record()
	if !yes {
		return
	}
	if missed > 0 {
		f.Detail += fmt.Sprintf("; %d more like this were refused before", missed)
	}
	d.runs.record(f)
	d.publish(f)
}

// publish puts a failure into the audit log, on the page and into our own log.
func (d *daemon) publish(f *status.Failure) {
	e := f.Entry()
	d.log.Add(e)
	d.stats.Add(page.Event{Entry: e, Detail: f.Detail, Advice: f.Advice})
	d.options.Log.Warn("failure", "kind", f.Kind, "host", f.Host, "detail", f.Detail, "by", f.By, "rule", f.Rule,
		"code", f.Code, "run", f.Run, "pid", f.PID, "process", f.Process)
}

// opened ties a tunnel to its run and process, and keeps it. A single run needs
// no search for the process, and no run none at all: then it is left out when
// it would take too long, unless who asks is what is to be found out. Where there are several runs it goes on while the
// tunnel is used.
func (d *daemon) opened(c net.Conn, target string, tunnel net.Conn) (taken, ended func()) {
	owner := make(chan string, 1) // the run, once it is known; closed when no more is
	e := d.granted(target)
	var requests func() map[string]int64
	if counter, ok := tunnel.(proxy.Counter); ok {
		requests = counter.Requests
	}
	live := d.stats.Open(e, requests)
	keep := func(p peer.Process) {
		e.PID, e.Process = p.PID, p.Name
		e = e.Clean()
		d.log.Add(e)
		d.stats.Add(page.Event{Entry: e})
		live.Identify(e)
	}
	runs := d.runs.count()
	if run := d.captures.runOf(c); run != "" || runs == 1 {
		runs = 1
		e.Run = cmp.Or(run, d.runs.only())
		d.runs.opened(e.Run, target)
		d.runs.reported(e)
		owner <- e.Run
	}
	searches := false
	switch {
	case d.options.Authorize != nil, runs <= 1 && !d.search.begin() && !d.live.now.Load().Policy.Reports():
		keep(peer.Process{})
	case runs <= 1:
		go d.guarded("looking for a client's process", func() {
			defer d.search.end(time.Now())
			p, _ := d.search.process(c)
			keep(p)
		})
	default:
		searches = true
		go d.guarded("looking for a client's run", func() {
			defer close(owner)
			p, ok := d.search.process(c)
			if ok {
				e.Run = d.runs.owner(p.PID)
			}
			if !ok || e.Run != "" {
				d.runs.opened(e.Run, target)
				d.runs.reported(e)
			}
			owner <- e.Run
			keep(p)
		})
	}
	if !searches {
		close(owner)
	}
	taken = func() {
		select {
		case run := <-owner:
			d.runs.taken(run, target)
		default:
			go d.guarded("looking for a client's run", func() { d.runs.taken(<-owner, target) })
		}
	}
	return taken, live.Close
}

// granted is the decision to open a tunnel.
func (d *daemon) granted(target string) status.Entry {
	e := status.Entry{TS: status.Now(), Outcome: status.Opened, Host: target, Code: http.StatusOK, By: d.record.Upstream}
	t, err := policy.ParseTarget(target)
	if err == nil {
		e.Host = t.String()
	}
	if p := d.ownPolicy(); err == nil && p != nil {
		decision := p.Decide(t)
		e.By, e.Rule, e.Kind = "policy", decision.Rule, decision.Kind
		switch { // and yet opened
		case decision.Allowed:
		case p.Lets(decision):
			e.Outcome = status.Reported
		default:
			e.Rule, e.Kind = answered, ""
		}
		if rule, ok := p.Passthrough(t); ok {
			e.Rule = rule
		}
	}
	return e.Clean()
}

// searchShare is what part of the time may go into searches that are not needed
// for more than a name on the page.
const searchShare = 20

// search finds the processes of clients.
type search struct {
	mu     sync.Mutex
	busy   bool
	next   time.Time
	likely int // a client that opens one tunnel opens more

	nextFailure time.Time
	captures    *captures // know the sockets of captured clients
}

func (s *search) process(c net.Conn) (peer.Process, bool) {
	socket, err := s.captures.lookup(c)
	if err != nil {
		return peer.Process{}, false
	}
	return s.find(socket)
}

// forFailure is process, but when failures come in floods it takes no more than
// half of the time.
func (s *search) forFailure(c net.Conn) (peer.Process, bool) {
	begun := time.Now()
	s.mu.Lock()
	flood := begun.Before(s.nextFailure)
	s.mu.Unlock()
	if flood {
		return peer.Process{}, false
	}
	p, ok := s.process(c)
	s.mu.Lock()
	now := time.Now()
	if took := now.Sub(begun); took > cheapSearch {
		s.nextFailure = now.Add(took)
	}
	s.mu.Unlock()
	return p, ok
}

// cheapSearch is a search that need not be spared.
const cheapSearch = 5 * time.Millisecond

func (s *search) find(socket peer.Socket) (peer.Process, bool) {
	s.mu.Lock()
	likely := s.likely
	s.mu.Unlock()
	p, err := peer.Find(socket, likely)
	if err != nil {
		return peer.Process{}, false
	}
	s.mu.Lock()
	s.likely = p.PID
	s.mu.Unlock()
	return p, true
}

// begin reports whether a search may be made now; end must follow it then.
func (s *search) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy || time.Now().Before(s.next) {
		return false
	}
	s.busy = true
	return true
}

func (s *search) end(begun time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.busy, s.next = false, now.Add(searchShare*now.Sub(begun))
}

// pages are the status page, its event stream and the metrics.
func (d *daemon) pages() map[string]http.Handler {
	p := &page.Page{Stats: d.stats, Document: d.document, Lost: func() int64 { return d.log.Lost() }, Policy: d.shownPolicy, Asking: d.asking}
	return p.Routes()
}

// asking is what waits for an answer, and what was answered, as the page shows it.
func (d *daemon) asking() page.Asking {
	mode := d.live.decide.Load() != nil && d.live.now.Load().Policy.Asks() > 0
	return page.Asking{On: mode, Attended: d.asks.attended(), Waiting: d.asks.list(), Settled: d.asks.past()}
}

// shownPolicy is the policy in force as the page shows it, of the embedded egress.
func (d *daemon) shownPolicy() (byDefault string, shown []page.Rules) {
	if d.egress == nil {
		return "", nil
	}
	rules := d.live.now.Load().Rules()
	shown = []page.Rules{{Name: "deny", Patterns: rules.Deny}, {Name: "allow", Patterns: rules.Allow},
		{Name: "passthrough", Patterns: rules.Passthrough}, {Name: "private", Patterns: rules.Private}}
	for _, l := range rules.Layers {
		shown = append(shown, page.Rules{Name: "deny (" + l.Name + ")", Patterns: l.Deny}, page.Rules{Name: "allow (" + l.Name + ")", Patterns: l.Allow})
	}
	return rules.Default, shown
}

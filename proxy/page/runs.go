package page

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/agentproxy/agentproxy/proxy/status"
)

const (
	// keptRuns is how many runs are remembered, those that did something last.
	keptRuns = 20
	// keptRunHosts is how many hosts of each; what comes later is counted together.
	keptRunHosts = 100
)

// ofRun is what one run has done.
type ofRun struct {
	processes []string
	last      time.Time
	hosts     map[string]*runHost
}

// runHost is what a run has done at a host.
type runHost struct {
	counts
	methods map[string]int64 // in tunnels that are closed
}

// run is the record of a run, made where there is none. The lock is held.
func (b *Stats) run(id string) *ofRun {
	r := b.runs[id]
	if r == nil {
		if len(b.runs) == keptRuns {
			delete(b.runs, slices.MinFunc(slices.Collect(maps.Keys(b.runs)), func(a, c string) int { return b.runs[a].last.Compare(b.runs[c].last) }))
		}
		r = &ofRun{hosts: map[string]*runHost{}}
		b.runs[id] = r
	}
	r.last = b.now()
	return r
}

func (r *ofRun) host(name string) *runHost {
	h := r.hosts[name]
	if h == nil && len(r.hosts) >= keptRunHosts {
		name = others
		h = r.hosts[name]
	}
	if h == nil {
		h = &runHost{methods: map[string]int64{}}
		r.hosts[name] = h
	}
	return h
}

// keptRunProcesses is how many of a run's processes are named.
const keptRunProcesses = 5

// addToRun counts a decision for its run. The lock is held.
func (b *Stats) addToRun(e Event) {
	if e.Run == "" {
		return
	}
	r := b.run(e.Run)
	if e.Process != "" && len(r.processes) < keptRunProcesses && !slices.Contains(r.processes, e.Process) {
		r.processes = append(r.processes, e.Process)
	}
	r.host(e.Host).add(e.Outcome, e.at)
}

// addRequests counts for its run what went through a tunnel that is closed. The lock is
// held.
func (l *OpenTunnel) addRequests() {
	if l.entry.Run == "" || l.requests == nil {
		return
	}
	h := l.stats.run(l.entry.Run).host(l.entry.Host)
	for method, n := range l.requests() {
		h.methods[method] += n
	}
	l.requests = nil
}

// Runs are the last runs with the hosts that each has asked for, the latest first.
func (b *Stats) Runs() []status.RunHosts {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.listRuns(Filter{})
}

// listRuns is Runs for what a filter leaves. The lock is held.
func (b *Stats) listRuns(f Filter) []status.RunHosts {
	open := map[[2]string][]*OpenTunnel{}
	for l := range b.live {
		if l.entry.Run != "" && l.requests != nil {
			key := [2]string{l.entry.Run, l.entry.Host}
			open[key] = append(open[key], l)
		}
	}
	list := []status.RunHosts{}
	for id, r := range b.runs {
		run := status.RunHosts{Run: id, Processes: slices.Clone(r.processes), Last: status.Time{Time: r.last}}
		for name, h := range r.hosts {
			if !f.matches(status.Entry{Host: name, Run: id, Process: strings.Join(r.processes, " ")}) {
				continue
			}
			methods := maps.Clone(h.methods)
			for _, l := range open[[2]string{id, name}] {
				for method, n := range l.requests() {
					methods[method] += n
				}
			}
			run.Hosts = append(run.Hosts, status.RunHost{Host: name, Methods: methods, Opened: h.opened, Refused: h.refused, Failed: h.failed, Last: status.Time{Time: h.last}})
		}
		slices.SortFunc(run.Hosts, func(a, b status.RunHost) int {
			return cmp.Or(cmp.Compare(b.Opened+b.Refused+b.Failed, a.Opened+a.Refused+a.Failed), cmp.Compare(a.Host, b.Host))
		})
		if len(run.Hosts) > 0 {
			list = append(list, run)
		}
	}
	slices.SortFunc(list, func(a, b status.RunHosts) int {
		return cmp.Or(b.Last.Compare(a.Last.Time), cmp.Compare(a.Run, b.Run))
	})
	return list
}

// runsTable has a row for each host of each run.
func runsTable(list []status.RunHosts, rows int) Table {
	t := Table{ID: "by-run", Title: "Runs and their hosts", Empty: "none yet",
		Columns: []Column{{"Run", ""}, {"Host", "name"}, {"Requests", ""}, {"Opened", "number"}, {"Refused", "number refusals"}, {"Failed", "number failures"}, {"Last", "number time"}}}
	all := 0
	for _, run := range list {
		who := run.Run
		if len(run.Processes) > 0 {
			who = strings.Join(run.Processes, ", ") + ", run " + run.Run
		}
		for _, h := range run.Hosts {
			if all++; len(t.Rows) < rows {
				t.Rows = append(t.Rows, Row{Cells: []string{who, h.Host, h.Requests(), number(h.Opened), number(h.Refused), number(h.Failed), clock(h.Last.Time)}})
			}
		}
	}
	return t.more(all)
}

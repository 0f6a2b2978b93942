package daemon

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/peer"
	"github.com/agentproxy/agentproxy/proxy/status"
)

// keptFailures is how many failures the status document and a run remember.
const keptFailures = 100

// runs is the registry of attached runs and of failures.
type runs struct {
	stopping chan struct{} // closed when the daemon is told to leave

	mu      sync.Mutex
	live    map[string]*run
	ended   time.Time
	closed  bool
	history []*status.Failure
}

type run struct {
	id   string
	pid  int
	ask  bool // whether somebody may be asked to let pass what it is refused
	seen status.Evidence
}

// keptHosts is how many hosts a run remembers.
const keptHosts = 1000

func newRuns() *runs { return &runs{live: map[string]*run{}, stopping: make(chan struct{})} }

// attach registers a run; false when the daemon is about to leave.
func (rs *runs) attach(id string, pid int, ask bool) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.closed {
		return false
	}
	rs.live[id] = &run{id: id, pid: pid, ask: ask}
	return true
}

// sayStopped tells the attached runs that the tunnel leaves on purpose, and
// waits a moment for them to hear it.
func (rs *runs) sayStopped() {
	close(rs.stopping)
	for range 50 {
		if rs.count() == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (rs *runs) detach(id string) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	delete(rs.live, id)
	rs.ended = time.Now()
}

// attached reports whether a run is.
func (rs *runs) attached(id string) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return rs.live[id] != nil
}

func (rs *runs) count() int {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return len(rs.live)
}

func (rs *runs) lastEnd() time.Time {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return rs.ended
}

// mayAsk reports whether somebody may be asked for a run: one that is attached, or what
// is of none.
func (rs *runs) mayAsk(id string) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := rs.live[id]
	return id == "" || r != nil && r.ask
}

// ofAny reports whether a process is part of a run, attached or not: by the variable
// that a run gives to what it starts, in its environment or in an ancestor's.
func (rs *runs) ofAny(pid int) bool {
	for range maxAncestors {
		if pid <= 1 {
			return false
		}
		if rs.owner(pid) != "" {
			return true
		}
		pid = peer.Parent(pid)
	}
	return true
}

// maxAncestors is more than a process has.
const maxAncestors = 1000

// closeIfNone refuses further runs, unless one is attached.
func (rs *runs) closeIfNone() bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.closed = len(rs.live) == 0
	return rs.closed
}

func (rs *runs) recent() []*status.Failure {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return append([]*status.Failure{}, rs.history...)
}

// evidence is what was seen of a run so far.
func (rs *runs) evidence(id string) status.Evidence {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := rs.live[id]
	if r == nil {
		return status.Evidence{}
	}
	return status.Evidence{Hosts: slices.Clone(r.seen.Hosts), Unattributed: r.seen.Unattributed, Failures: slices.Clone(r.seen.Failures),
		Reported: slices.Clone(r.seen.Reported)}
}

// opened notes a tunnel of a run's; of one that is not known, for all.
func (rs *runs) opened(id, host string) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := rs.live[id]
	if r == nil {
		for _, r := range rs.live {
			r.seen.Unattributed++
		}
		return
	}
	now := status.Now()
	i := slices.IndexFunc(r.seen.Hosts, func(h status.HostSeen) bool { return h.Host == host })
	if i < 0 && len(r.seen.Hosts) < keptHosts {
		i = len(r.seen.Hosts)
		r.seen.Hosts = append(r.seen.Hosts, status.HostSeen{Host: host, First: now})
	}
	if i >= 0 {
		r.seen.Hosts[i].Opened++
		r.seen.Hosts[i].Last = now
	}
}

// taken notes that the client of a run's tunnel took the certificate.
func (rs *runs) taken(id, host string) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if r := rs.live[id]; r != nil {
		if i := slices.IndexFunc(r.seen.Hosts, func(h status.HostSeen) bool { return h.Host == host }); i >= 0 {
			r.seen.Hosts[i].Taken++
		}
	}
}

// record keeps the failure, for its run too when that is attached.
func (rs *runs) record(f *status.Failure) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.history = appendKept(rs.history, f)
	if r := rs.live[f.Run]; r != nil {
		r.seen.Failures = appendKept(r.seen.Failures, f)
	}
}

// reported keeps a decision that would have been a refusal, for its run.
func (rs *runs) reported(e status.Entry) {
	if e.Outcome != status.Reported {
		return
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if r := rs.live[e.Run]; r != nil {
		r.seen.Reported = append(r.seen.Reported, e)
		r.seen.Reported = r.seen.Reported[max(0, len(r.seen.Reported)-keptHosts):]
	}
}

func appendKept(list []*status.Failure, f *status.Failure) []*status.Failure {
	list = append(list, f)
	return list[max(0, len(list)-keptFailures):]
}

// owner returns the run that a process belongs to: by the variable that the run
// gave it, else by its ancestors (sudo and env -i drop variables).
func (rs *runs) owner(pid int) string {
	if id := peer.Getenv(pid, contract.RunVariable); id != "" {
		return id
	}
	rs.mu.Lock()
	byPID := make(map[int]string, len(rs.live))
	for id, r := range rs.live {
		byPID[r.pid] = id
	}
	rs.mu.Unlock()
	for range 32 {
		if id := byPID[pid]; id != "" {
			return id
		}
		if pid = peer.Parent(pid); pid <= 1 {
			break
		}
	}
	return ""
}

// only returns the run when exactly one is attached.
func (rs *runs) only() string {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if len(rs.live) == 1 {
		for id := range rs.live {
			return id
		}
	}
	return ""
}

// guessless is how long an identity is that nobody guesses: rand.Text's.
const guessless = 26

// givenTo reports whether a process has been given the identity of a run, which
// nobody can guess: it is in its environment, in whichever variable.
func (rs *runs) givenTo(pid int) bool {
	environ := peer.Environ(pid)
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for id := range rs.live {
		if len(id) >= guessless && strings.Contains(environ, id) {
			return true
		}
	}
	return false
}

// serveRun is a run's attachment: POST holds the run for as long as the
// connection lasts, GET says what was seen of it.
func (d *daemon) serveRun(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("id")
	switch r.Method {
	case http.MethodGet:
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(d.runs.evidence(id))
	case http.MethodPost:
		pid, err := strconv.Atoi(r.URL.Query().Get("pid"))
		if err != nil || id == "" {
			http.Error(w, "agentproxy: want id and pid", http.StatusBadRequest)
			return
		}
		if d.live.source != nil {
			d.reload(false, false) // what was changed a moment ago holds for it
		}
		if !d.runs.attach(id, pid, r.URL.Query().Get("ask") != "no") {
			http.Error(w, "agentproxy: the tunnel is closing", http.StatusServiceUnavailable)
			return
		}
		defer d.captures.runEnded(id)
		defer d.asks.forget(id)
		defer d.runs.detach(id)
		w.WriteHeader(http.StatusOK)
		http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
		case <-d.runs.stopping:
			// A run that only loses us starts a successor.
			io.WriteString(w, contract.Stopped)
		}
	default:
		w.Header().Set("Allow", "GET, POST")
		http.Error(w, "agentproxy: GET or POST", http.StatusMethodNotAllowed)
	}
}

// counter counts requests.
type counter struct{ n atomic.Int64 }

func (c *counter) add(*http.Request) { c.n.Add(1) }

// serveCanary tells what the canary saw of a trial.
func (d *daemon) serveCanary(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(d.canary.Trial(r.URL.Query().Get("trial")))
}

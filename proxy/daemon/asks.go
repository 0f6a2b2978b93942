package daemon

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/front"
	"github.com/agentproxy/agentproxy/proxy/idle"
	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/proxy/status"
)

// answered is the rule by which something passes that somebody has let pass.
const answered = "an answer"

const (
	// maxQuestions may wait at once.
	maxQuestions = 50
	// anHour is how long that answer holds.
	anHour = time.Hour
	// listenerWait is how long one may take to find a tunnel that has come up.
	listenerWait = 10 * time.Second
	// waiterCheck is how often a client that waits is looked at.
	waiterCheck = time.Second
	// keptSettled is how many questions are remembered that wait no more.
	keptSettled = 50
)

// asks are the questions that wait, who listens to them, and the answers that hold.
type asks struct {
	dir   string          // the state directory
	ended <-chan struct{} // is closed when nobody waits any longer

	mu        sync.Mutex
	last      int // number of a question
	questions []*question
	listeners map[chan struct{}]bool // each is told when the questions change
	kept      []kept
	settled   []status.Asked // the last ones, oldest first
	pages     map[*pageKey]bool
	onChange  func() // is told when the questions change, too
}

func newAsks(dir string, ended <-chan struct{}, onChange func()) asks {
	return asks{dir: dir, ended: ended, listeners: map[chan struct{}]bool{}, pages: map[*pageKey]bool{}, onChange: onChange}
}

// question is one that some clients wait for.
type question struct {
	contract.Question
	waiting int
	done    chan struct{} // is closed when allowed is set
	allowed bool
}

// kept is an answer to more than one question.
type kept struct {
	run                string // "" is whoever asks
	host, method, path string
	until              time.Time // zero is the end of the run
	allowed            bool
}

func (k kept) answers(q contract.Question) bool {
	return (k.run == "" || k.run == q.Run) && k.host == q.Host && k.method == q.Method && k.path == q.Path
}

func (k kept) over() bool { return !k.until.IsZero() && time.Now().After(k.until) }

func same(a, b contract.Question) bool {
	return a.Run == b.Run && a.PID == b.PID && a.Host == b.Host && a.Method == b.Method && a.Path == b.Path
}

// askForTunnel reports whether somebody lets a target pass that the policy refuses.
func (d *daemon) askForTunnel(c net.Conn, target string) bool {
	p := d.live.decide.Load()
	t, err := policy.ParseTarget(target)
	if err != nil || p == nil {
		return false
	}
	decision := p.Decide(t)
	return !p.Lets(decision) && p.MayAllow(t) && d.ask(c, t, "", "", decision.Reason)
}

// askForRequest is askForTunnel for a request.
func (d *daemon) askForRequest(c net.Conn, t policy.Target, r policy.Request, why string) bool {
	return d.ask(c, t, r.Method, r.Path, why)
}

// ask waits for an answer where there is somebody to give one.
func (d *daemon) ask(c net.Conn, t policy.Target, method, path, why string) bool {
	cfg := d.live.now.Load()
	patience := cfg.Policy.Asks()
	if patience == 0 || d.options.Authorize != nil || d.asks.idle() {
		return false
	}
	q := contract.Question{Host: t.String(), Method: method, Path: path, Why: why, Entry: policy.AllowEntry(t, method, path), Config: cfg.Path, Notify: cfg.Policy.Notifies()}
	if p, ok := d.search.process(c); ok {
		q.PID, q.Process, q.Run = p.PID, status.Printable(p.Name), d.runs.owner(p.PID)
	} else {
		q.Run = d.runs.only()
	}
	if run := d.captures.runOf(c); run != "" {
		q.Run = run
	}
	if !d.runs.mayAsk(q.Run) {
		return false
	}
	allowed := d.asks.wait(q, patience, func() bool { return idle.HungUp(c) })
	d.options.Log.Info("asked", "host", q.Host, "method", q.Method, "path", q.Path, "run", q.Run, "pid", q.PID, "process", q.Process, "allowed", allowed)
	return allowed
}

// idle reports whether there is neither an answer nor anybody to give one. Who listens
// to the other tunnels of the user is about to listen to this one as well.
func (a *asks) idle() bool {
	for end := time.Now().Add(listenerWait); ; time.Sleep(20 * time.Millisecond) {
		a.mu.Lock()
		idle := len(a.kept) == 0 && len(a.listeners) == 0
		a.mu.Unlock()
		if !idle || time.Now().After(end) || !rundir.Attended(a.dir) {
			return idle
		}
	}
}

// wait returns the answer to a question: one that holds, or the next that is given.
// What is asked twice at the same time is one question.
func (a *asks) wait(asked contract.Question, patience time.Duration, gone func() bool) bool {
	a.mu.Lock()
	a.kept = slices.DeleteFunc(a.kept, kept.over)
	if i := slices.IndexFunc(a.kept, func(k kept) bool { return k.answers(asked) }); i >= 0 {
		defer a.mu.Unlock()
		return a.kept[i].allowed
	}
	i := slices.IndexFunc(a.questions, func(q *question) bool { return same(q.Question, asked) })
	if i < 0 {
		if len(a.listeners) == 0 || len(a.questions) == maxQuestions {
			a.mu.Unlock()
			return false
		}
		a.last++
		asked.ID = strconv.Itoa(a.last)
		i = len(a.questions)
		a.questions = append(a.questions, &question{Question: asked, done: make(chan struct{})})
		a.changed()
	}
	q := a.questions[i]
	q.waiting++
	a.mu.Unlock()

	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	check := time.NewTicker(waiterCheck)
	defer check.Stop()
	for {
		select {
		case <-q.done:
			return q.allowed
		case <-a.ended:
			return false
		case <-timeout.C:
		case <-check.C:
			if !gone() {
				continue
			}
		}
		a.leave(q)
		return false
	}
}

// leave is for a client that waits no longer.
func (a *asks) leave(q *question) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if q.waiting--; q.waiting == 0 && slices.Contains(a.questions, q) {
		a.settle(q, "")
		a.questions = slices.DeleteFunc(a.questions, func(other *question) bool { return other == q })
		a.changed()
	}
}

// changed tells the listeners. The lock is held.
func (a *asks) changed() {
	a.onChange()
	for l := range a.listeners {
		select {
		case l <- struct{}{}:
		default: // it has not looked yet
		}
	}
}

// answer settles a question; false when it waits no more.
func (a *asks) answer(id, answer string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.IndexFunc(a.questions, func(q *question) bool { return q.ID == id })
	if i < 0 {
		return false
	}
	q := a.questions[i]
	k := kept{run: q.Run, host: q.Host, method: q.Method, path: q.Path, allowed: answer != contract.AnswerNo}
	switch {
	case answer == contract.AnswerHour:
		k.run, k.until = "", time.Now().Add(anHour)
		a.kept = append(a.kept, k)
	case answer != contract.AnswerOnce && q.Run != "":
		a.kept = append(a.kept, k)
	}
	a.settle(q, answer)
	a.questions = slices.Delete(a.questions, i, i+1)
	a.changed()
	return true
}

// settle lets the clients go that wait for a question; without an answer it is refused.
// The lock is held.
func (a *asks) settle(q *question, answer string) {
	q.allowed = answer != "" && answer != contract.AnswerNo
	close(q.done)
	a.settled = append(a.settled, status.Asked{TS: status.Now(), Answer: answer, Host: q.Host, Method: q.Method, Path: q.Path, Run: q.Run, PID: q.PID, Process: q.Process})
	a.settled = a.settled[max(0, len(a.settled)-keptSettled):]
}

// forget drops the answers for a run that has ended.
func (a *asks) forget(run string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.kept = slices.DeleteFunc(a.kept, func(k kept) bool { return k.run == run && k.run != "" })
}

// listen adds a listener. When the last one has left, what waits is refused.
func (a *asks) listen() (changed chan struct{}, leave func()) {
	changed = make(chan struct{}, 1)
	changed <- struct{}{} // it looks at once
	a.mu.Lock()
	defer a.mu.Unlock()
	a.listeners[changed] = true
	a.onChange()
	return changed, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.listeners, changed)
		if len(a.listeners) > 0 {
			return
		}
		for _, q := range a.questions {
			a.settle(q, "")
		}
		a.questions = nil
		a.onChange()
	}
}

func (a *asks) list() []contract.Question {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := []contract.Question{}
	for _, q := range a.questions {
		list = append(list, q.Question)
	}
	return list
}

// waits returns a question that does.
func (a *asks) waits(id string) (contract.Question, bool) {
	for _, q := range a.list() {
		if q.ID == id {
			return q, true
		}
	}
	return contract.Question{}, false
}

// past returns the questions that were settled last, oldest first.
func (a *asks) past() []status.Asked {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.settled)
}

// attended reports whether somebody listens to this tunnel.
func (a *asks) attended() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.listeners) > 0
}

var (
	errRunAnswers    = errors.New("a run cannot answer: that is for who started it")
	errWaitsNoMore   = errors.New("it waits no more")
	errUnknownAnswer = errors.New("it cannot be told which process this is, and so not whether it is a run's")
)

// mayAnswer refuses processes of runs, and those of which that cannot be told. Having
// read the endpoint record is not enough: what runs as the user can.
func (d *daemon) mayAnswer(r *http.Request) error {
	c := front.ClientConn(r)
	if c == nil || d.options.Authorize != nil {
		return errUnknownAnswer
	}
	if d.captures.runOf(c) != "" {
		return errRunAnswers
	}
	p, ok := d.search.process(c)
	if !ok {
		return errUnknownAnswer
	}
	if d.runs.ofAny(p.PID) {
		return errRunAnswers
	}
	return nil
}

// serveAsk tells a listener what waits, and takes answers.
func (d *daemon) serveAsk(w http.ResponseWriter, r *http.Request) {
	if err := d.mayAnswer(r); err != nil {
		http.Error(w, "agentproxy: "+err.Error(), http.StatusForbidden)
		return
	}
	if r.Method == http.MethodPost {
		d.serveAnswer(w, r)
		return
	}
	changed, leave := d.asks.listen()
	defer leave()
	w.Header().Set("Content-Type", "application/json")
	for {
		select {
		case <-r.Context().Done():
			return
		case <-d.runs.stopping:
			return
		case <-changed:
		}
		if json.NewEncoder(w).Encode(d.asks.list()) != nil || http.NewResponseController(w).Flush() != nil {
			return
		}
	}
}

func (d *daemon) serveAnswer(w http.ResponseWriter, r *http.Request) {
	if code, err := d.answer(r.FormValue("id"), r.FormValue("answer")); err != nil {
		http.Error(w, "agentproxy: "+err.Error(), code)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// answer settles a question, and first has the configuration say so when it is for
// always. With an error comes its HTTP status.
func (d *daemon) answer(id, answer string) (int, error) {
	q, ok := d.asks.waits(id)
	if !ok {
		return http.StatusGone, errWaitsNoMore
	}
	if !slices.Contains(q.Answers(), answer) {
		return http.StatusBadRequest, errors.New("no such answer to this question")
	}
	if answer == contract.AnswerAlways {
		if err := config.AddAllow(q.Config, q.Entry); err != nil {
			return http.StatusConflict, err
		}
		if d.live.source != nil {
			d.reload(true, true)
		}
	}
	if !d.asks.answer(id, answer) {
		return http.StatusGone, errWaitsNoMore
	}
	return 0, nil
}

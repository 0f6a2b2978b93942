package page

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/agentproxy/agentproxy/proxy/status"
)

// What a stats remembers. Hosts and processes are the clients' choice, so their
// number is bounded; what comes later is counted together as others.
const (
	keptEvents   = 200
	keptTroubles = 100
	keptNames    = 500
	keptLive     = 1000
	bars         = 60
	barTime      = 10 * time.Second
)

// Names that no host has, nor a process that is known: of what there was no more
// room for, and of clients whose process was not found.
const (
	others        = "(others)"
	notAttributed = "(not attributed)"
)

// Event is a decision, with what a person is told about it.
type Event struct {
	status.Entry
	Detail string
	Advice string

	at time.Time // when it came, by the stats' clock
}

// Stats is what has happened since the tunnel started, for the page and the
// metrics.
type Stats struct {
	now     func() time.Time
	started time.Time

	mu        sync.Mutex
	changed   chan struct{} // closed when there is something new; nil when nobody waits
	open      int64
	total     counts
	kinds     map[status.Kind]int64
	events    []Event // oldest first
	troubles  []Event // those that were not opened
	hosts     map[string]*counts
	processes map[string]*counts
	live      map[*OpenTunnel]struct{}
	runs      map[string]*ofRun
	bars      [bars]bar
}

// counts counts outcomes.
type counts struct {
	opened, refused, failed int64
	last                    time.Time
}

func (t *counts) add(o status.Outcome, at time.Time) {
	switch o {
	case status.Opened, status.Reported:
		t.opened++
	case status.Refused:
		t.refused++
	default:
		t.failed++
	}
	t.last = at
}

func (t *counts) sum() int64 { return t.opened + t.refused + t.failed }

// bar is one of the timeline's; slot tells which time it is for.
type bar struct {
	slot int64
	counts
}

// NewStats returns an empty stats.
func NewStats() *Stats {
	return &Stats{now: time.Now, started: time.Now(), kinds: map[status.Kind]int64{},
		hosts: map[string]*counts{}, processes: map[string]*counts{}, live: map[*OpenTunnel]struct{}{}, runs: map[string]*ofRun{}}
}

// Add puts a decision on the stats.
func (b *Stats) Add(e Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e.at = b.now()
	e.Detail, e.Advice = status.ASCII(e.Detail, maxSentence), status.ASCII(e.Advice, maxSentence)
	b.events = keep(b.events, e, keptEvents)
	if e.Outcome != status.Opened && e.Outcome != status.Reported {
		b.troubles = keep(b.troubles, e, keptTroubles)
		b.kinds[e.Kind]++
	}
	b.tally(e)
	b.addToRun(e)
	b.wake()
}

func (b *Stats) tally(e Event) {
	b.total.add(e.Outcome, e.at)
	count(b.hosts, e.Host, e.Outcome, e.at)
	count(b.processes, cmp.Or(e.Process, notAttributed), e.Outcome, e.at)
	slot := e.at.UnixNano() / int64(barTime)
	at := &b.bars[slot%bars]
	if at.slot != slot {
		*at = bar{slot: slot}
	}
	at.add(e.Outcome, e.at)
}

// maxSentence is the longest detail or advice that is kept.
const maxSentence = 500

func keep(list []Event, e Event, most int) []Event {
	if len(list) == most {
		copy(list, list[1:])
		list = list[:most-1]
	}
	return append(list, e)
}

func count(names map[string]*counts, name string, o status.Outcome, at time.Time) {
	t := names[name]
	if t == nil && len(names) >= keptNames && name != notAttributed {
		name = others
		t = names[name]
	}
	if t == nil {
		t = &counts{}
		names[name] = t
	}
	t.add(o, at)
}

// OpenTunnel is an open tunnel.
type OpenTunnel struct {
	stats *Stats
	entry status.Entry
	// requests counts what went through it by method, nil where nobody looks inside or it
	// has been counted for its run.
	requests func() map[string]int64
	closed   bool
}

// Open puts an open tunnel on the stats until its Close. requests may be nil.
func (b *Stats) Open(e status.Entry, requests func() map[string]int64) *OpenTunnel {
	l := &OpenTunnel{stats: b, entry: e, requests: requests}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open++
	if len(b.live) < keptLive {
		b.live[l] = struct{}{}
	}
	b.wake()
	return l
}

// Identify says whose it is, once that is known; it may be closed by then.
func (l *OpenTunnel) Identify(e status.Entry) {
	l.stats.mu.Lock()
	defer l.stats.mu.Unlock()
	l.entry = e
	if l.closed {
		l.addRequests()
	}
}

// Close takes it off.
func (l *OpenTunnel) Close() {
	l.stats.mu.Lock()
	defer l.stats.mu.Unlock()
	l.closed = true
	l.addRequests()
	l.stats.open--
	delete(l.stats.live, l)
	l.stats.wake()
}

// Wake has those look who wait for a change.
func (b *Stats) Wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wake()
}

// wake tells those who wait.
func (b *Stats) wake() {
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
}

// change returns a channel that is closed when something happens next.
func (b *Stats) change() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	return b.changed
}

// named is a counts with its name.
type named struct {
	name string
	counts
}

// ranked lists the busiest names first.
func ranked(names map[string]*counts) []named {
	list := make([]named, 0, len(names))
	for name, t := range names {
		list = append(list, named{name, *t})
	}
	slices.SortFunc(list, func(a, b named) int {
		return cmp.Or(cmp.Compare(b.sum(), a.sum()), cmp.Compare(a.name, b.name))
	})
	return list
}

// newest lists the open tunnels, the newest first.
func (b *Stats) newest() []status.Entry {
	list := make([]status.Entry, 0, len(b.live))
	for l := range b.live {
		list = append(list, l.entry)
	}
	slices.SortFunc(list, func(a, b status.Entry) int {
		return cmp.Or(b.TS.Compare(a.TS.Time), cmp.Compare(a.Host, b.Host))
	})
	return list
}

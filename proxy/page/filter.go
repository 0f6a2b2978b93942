package page

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/agentproxy/agentproxy/proxy/status"
)

// Filter leaves only what has these texts in its host, run and process, whatever
// their case; "" leaves everything.
type Filter struct{ Host, Run, Process string }

func filterOf(r *http.Request) Filter {
	q := r.URL.Query()
	return Filter{q.Get("host"), q.Get("run"), q.Get("process")}
}

// On reports whether it leaves anything out.
func (f Filter) On() bool { return f != Filter{} }

func (f Filter) matches(e status.Entry) bool {
	has := func(text, part string) bool { return strings.Contains(strings.ToLower(text), strings.ToLower(part)) }
	return has(e.Host, f.Host) && has(e.Run, f.Run) && has(e.Process, f.Process)
}

// filtered are stats of what a filter leaves of the events that are kept. The lock is
// held.
func (b *Stats) filtered(f Filter) *Stats {
	left := NewStats()
	left.now = b.now
	for _, e := range b.events {
		if f.matches(e.Entry) {
			left.events = append(left.events, e)
			left.tally(e)
		}
	}
	for _, e := range b.troubles {
		if f.matches(e.Entry) {
			left.troubles = append(left.troubles, e)
		}
	}
	for l := range b.live {
		if f.matches(l.entry) {
			left.live[l] = struct{}{}
			left.open++
		}
	}
	return left
}

// Choices are the texts that a filter's fields offer.
type Choices struct{ Hosts, Runs, Processes []string }

// choices are the busiest hosts and processes, and the last runs.
func (b *Stats) choices() (c Choices) {
	b.mu.Lock()
	defer b.mu.Unlock()
	names := func(list []named) (names []string) {
		for _, n := range list[:min(len(list), shownRows)] {
			if n.name != others && n.name != notAttributed {
				names = append(names, n.name)
			}
		}
		return names
	}
	c.Hosts, c.Processes = names(ranked(b.hosts)), names(ranked(b.processes))
	seen := map[string]bool{"": true}
	for i := len(b.events) - 1; i >= 0; i-- {
		if run := b.events[i].Run; !seen[run] {
			seen[run] = true
			c.Runs = append(c.Runs, run)
		}
	}
	return c
}

// note says what a filtered view is made of.
func (f Filter) note() string {
	if !f.On() {
		return ""
	}
	return fmt.Sprintf("Everything below is counted among the last %d decisions.", keptEvents)
}

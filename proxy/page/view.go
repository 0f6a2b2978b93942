package page

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/agentproxy/agentproxy/proxy/status"
)

// View is what the moving part of the page shows. The template draws it and,
// from the event stream, the script; both only have to place texts.
type View struct {
	Counts   []Count   `json:"counts"`
	Timeline Timeline  `json:"timeline"`
	Troubles []Trouble `json:"troubles"`
	Tables   []Table   `json:"tables"`
}

// Count is a number with its name.
type Count struct {
	Name  string `json:"name"`
	Value int64  `json:"value"`
	// Class colours it; "" when there is nothing to colour.
	Class string `json:"class"`
}

// Trouble is a failure with what to do about it; alike ones are one.
type Trouble struct {
	Time   string `json:"time"`
	Class  string `json:"class"`
	Kind   string `json:"kind"`
	Host   string `json:"host"`
	Whose  string `json:"whose"`
	Detail string `json:"detail"`
	Advice string `json:"advice"`
	// Next is a command that looks further.
	Next string `json:"next"`
	// Line is what would allow it in the policy's file, "" where a rule says no.
	Line string `json:"line"`
}

// Table is a table of texts.
type Table struct {
	ID      string   `json:"id"`
	Title   string   `json:"title"`
	Empty   string   `json:"empty"`
	Columns []string `json:"columns"`
	Rows    []Row    `json:"rows"`
	// More says how many rows are not shown.
	More string `json:"more"`
}

// Row is a line of a table; Class marks an outcome.
type Row struct {
	Class string   `json:"class"`
	Cells []string `json:"cells"`
}

const (
	shownTroubles = 25
	shownRows     = 25
)

// View draws the stats as of now.
func (b *Stats) View() View {
	b.mu.Lock()
	defer b.mu.Unlock()
	return View{
		Counts: []Count{
			{"open", b.open, ""},
			{"opened", b.total.opened, marked(b.total.opened, status.Opened)},
			{"refused", b.total.refused, marked(b.total.refused, status.Refused)},
			{"failed", b.total.failed, marked(b.total.failed, status.Failed)},
		},
		Timeline: drawTimeline(&b.bars, b.now()),
		Troubles: drawTroubles(b.troubles),
		Tables: []Table{
			liveTable(b.newest(), b.open),
			eventTable(b.events),
			countsTable("hosts", "Hosts", "Host", ranked(b.hosts)),
			countsTable("processes", "Processes", "Process", ranked(b.processes)),
		},
	}
}

func marked(n int64, o status.Outcome) string {
	if n == 0 {
		return ""
	}
	return string(o)
}

func clock(t time.Time) string { return t.Local().Format(time.TimeOnly) }

// whose names a client: a process and its number.
func whose(e status.Entry) string {
	if e.PID == 0 {
		return ""
	}
	return fmt.Sprintf("%s (%d)", e.Process, e.PID)
}

func liveTable(list []status.Entry, open int64) Table {
	t := Table{ID: "live", Title: "Open tunnels", Empty: "none", Columns: []string{"Since", "Host", "Process"}}
	for _, e := range list[:min(len(list), shownRows)] {
		t.Rows = append(t.Rows, Row{Cells: []string{clock(e.TS.Time), e.Host, whose(e)}})
	}
	return t.more(int(open))
}

func eventTable(list []Event) Table {
	t := Table{ID: "events", Title: "As it happens", Empty: "nothing yet", Columns: []string{"Time", "Outcome", "Host", "Process", "Decided by"}}
	for i := len(list) - 1; i >= max(0, len(list)-shownRows); i-- {
		e := list[i]
		what := string(e.Outcome)
		if e.Kind != "" {
			what = string(e.Kind)
		}
		by := e.By
		if e.Rule != "" {
			by = e.Rule
		}
		t.Rows = append(t.Rows, Row{string(e.Outcome), []string{clock(e.TS.Time), what, e.Host, whose(e.Entry), by}})
	}
	return t.more(len(list))
}

func countsTable(id, title, column string, list []named) Table {
	t := Table{ID: id, Title: title, Empty: "none yet", Columns: []string{column, "Opened", "Refused", "Failed", "Last"}}
	for _, n := range list[:min(len(list), shownRows)] {
		class := ""
		switch {
		case n.refused > 0:
			class = string(status.Refused)
		case n.failed > 0:
			class = string(status.Failed)
		}
		number := func(n int64) string { return strconv.FormatInt(n, 10) }
		t.Rows = append(t.Rows, Row{class, []string{n.name, number(n.opened), number(n.refused), number(n.failed), clock(n.last)}})
	}
	return t.more(len(list))
}

func (t Table) more(all int) Table {
	if n := all - len(t.Rows); n > 0 {
		t.More = fmt.Sprintf("and %d more", n)
	}
	return t
}

// drawTroubles lists the newest first.
func drawTroubles(list []Event) []Trouble {
	type alike struct{ kind, host, whose, detail string }
	seen := map[alike]int{}
	times := []int{}
	drawn := []Trouble{}
	for i := len(list) - 1; i >= 0; i-- {
		e := list[i]
		key := alike{string(e.Kind), e.Host, e.Process, e.Detail}
		if at, ok := seen[key]; ok {
			times[at]++
			continue
		}
		if len(drawn) == shownTroubles {
			continue
		}
		seen[key] = len(drawn)
		times = append(times, 1)
		drawn = append(drawn, Trouble{Time: clock(e.TS.Time), Class: string(e.Outcome), Kind: string(e.Kind), Host: e.Host,
			Whose: whose(e.Entry), Detail: e.Detail, Advice: e.Advice, Next: next(e.Host), Line: line(e.Entry)})
	}
	for i, n := range times {
		if n > 1 {
			drawn[i].Time += fmt.Sprintf(" (%d times)", n)
		}
	}
	return drawn
}

// line is an entry of policy.allow for what no rule names. A path is in its normal form
// by now: what may end a string or begin another is an escape there.
func line(e status.Entry) string {
	unnamed := strings.HasPrefix(e.Rule, `default = "deny"`) || strings.HasPrefix(e.Rule, "port 443 only")
	if e.By != "policy" || !unnamed || isSpecial(e.Host) || strings.ContainsAny(e.Method+e.Path, "\"\\ ") || e.WasCut() {
		return ""
	}
	host := strings.TrimSuffix(e.Host, ":443")
	if e.Method == "" {
		return fmt.Sprintf("%q,", host)
	}
	return fmt.Sprintf("%q,", e.Method+" "+host+strings.ReplaceAll(e.Path, "*", "%2A"))
}

// next is the command that looks further into a failure. It is there to be
// copied, and the host was a client's choice: one with a character that may mean
// something to a shell, or that could be taken for a flag, is not in it.
func next(host string) string {
	if isSpecial(host) {
		return "agentproxy status"
	}
	return "agentproxy why " + strings.TrimSuffix(host, ":443")
}

func isSpecial(host string) bool {
	special := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-.:", r))
	}
	return host == "" || strings.HasPrefix(host, "-") || strings.ContainsFunc(host, special)
}

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
	// Note says what a filter leaves.
	Note     string    `json:"note"`
	Counts   []Count   `json:"counts"`
	Timeline Timeline  `json:"timeline"`
	Troubles []Trouble `json:"troubles"`
	Tables   []Table   `json:"tables"`
	// Asks says whether anybody is asked, "" where nobody is; Waiting is what waits.
	Asks    string    `json:"asks"`
	Waiting []Waiting `json:"waiting"`
	// Problem says why the policy in force is not what its files say, "" when it is.
	Problem string `json:"problem"`
	Policy  []Fact `json:"policy"`
	Setup   []Fact `json:"setup"`
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
	// Report is the command that writes down a refusal for an administrator.
	Report string `json:"report"`
}

// Table is a table of texts.
type Table struct {
	ID      string   `json:"id"`
	Title   string   `json:"title"`
	Empty   string   `json:"empty"`
	Columns []Column `json:"columns"`
	Rows    []Row    `json:"rows"`
	// More says how many rows are not shown.
	More string `json:"more"`
}

// Column is a table's column; Class says what kind of texts it has.
type Column struct {
	Name  string `json:"name"`
	Class string `json:"class"`
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

// View draws what a filter leaves of the stats as of now.
func (b *Stats) View(f Filter) View {
	b.mu.Lock()
	defer b.mu.Unlock()
	rows := shownRows
	runs := b.listRuns(f)
	if f.On() {
		b, rows = b.filtered(f), keptEvents
	}
	return View{
		Note: f.note(),
		Counts: []Count{
			{"open", b.open, ""},
			{"opened", b.total.opened, marked(b.total.opened, status.Opened)},
			{"refused", b.total.refused, marked(b.total.refused, status.Refused)},
			{"failed", b.total.failed, marked(b.total.failed, status.Failed)},
		},
		Timeline: drawTimeline(&b.bars, b.now()),
		Troubles: drawTroubles(b.troubles),
		Tables: []Table{
			eventTable(b.events, rows),
			liveTable(b.newest(), b.open, rows),
			countsTable("hosts", "Hosts", "Host", ranked(b.hosts), rows),
			countsTable("processes", "Processes", "Process", ranked(b.processes), rows),
			runsTable(runs, rows),
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

// whose names a client: a process with its number, and its run.
func whose(e status.Entry) string {
	var words []string
	if e.PID != 0 {
		words = append(words, fmt.Sprintf("%s (%d)", e.Process, e.PID))
	}
	if e.Run != "" {
		words = append(words, "run "+e.Run)
	}
	return strings.Join(words, ", ")
}

func liveTable(list []status.Entry, open int64, rows int) Table {
	t := Table{ID: "live", Title: "Open tunnels", Empty: "none", Columns: []Column{{"Since", "time"}, {"Host", "name"}, {"Process", ""}}}
	for _, e := range list[:min(len(list), rows)] {
		t.Rows = append(t.Rows, Row{Cells: []string{clock(e.TS.Time), e.Host, whose(e)}})
	}
	return t.more(int(open))
}

func eventTable(list []Event, rows int) Table {
	t := Table{ID: "events", Title: "As it happens", Empty: "nothing yet",
		Columns: []Column{{"Time", "time"}, {"Outcome", "outcome"}, {"Host", "name"}, {"Process", ""}, {"Decided by", "by"}}}
	for i := len(list) - 1; i >= max(0, len(list)-rows); i-- {
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

func countsTable(id, title, column string, list []named, rows int) Table {
	t := Table{ID: id, Title: title, Empty: "none yet",
		Columns: []Column{{column, "name"}, {"Opened", "number"}, {"Refused", "number refusals"}, {"Failed", "number failures"}, {"Last", "number time"}}}
	for _, n := range list[:min(len(list), rows)] {
		t.Rows = append(t.Rows, Row{Cells: []string{n.name, number(n.opened), number(n.refused), number(n.failed), clock(n.last)}})
	}
	return t.more(len(list))
}

// number is a count, and nothing for none.
func number(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

func (t Table) more(all int) Table {
	if n := all - len(t.Rows); n > 0 {
		t.More = fmt.Sprintf("and %d more; a filter shows them", n)
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
			Whose: whose(e.Entry), Detail: e.Detail, Advice: e.Advice, Next: next(e.Host), Line: line(e.Entry), Report: reportOf(e.Outcome)})
	}
	for i, n := range times {
		if n > 1 {
			drawn[i].Time += fmt.Sprintf(" (%d times)", n)
		}
	}
	return drawn
}

func reportOf(o status.Outcome) string {
	if o != status.Refused {
		return ""
	}
	return "agentproxy report"
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

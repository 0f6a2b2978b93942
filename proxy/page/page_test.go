package page

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/google/go-cmp/cmp"
)

// hostile are names that clients have chosen.
var hostile = []string{
	`<script>alert(1)</script>.example:443`,
	`"><img src=x onerror=alert(1)>:443`,
	`{{.Doc.PID}}.example:443`,
	`$(reboot).example:443`,
	"`reboot`:443",
	`-rf.example:443`,
	`javascript:alert(1)`,
}

func testPage(events ...Event) *Page {
	expires := status.Time{Time: time.Date(2036, 1, 2, 0, 0, 0, 0, time.UTC)}
	p := &Page{Stats: NewStats(), Lost: func() int64 { return 7 },
		Document: func() *status.Document {
			return &status.Document{Port: 4711, Version: `v1"\` + "\n", Mode: "embedded", CAExpires: &expires, CAFingerprint: "00ff", Runs: 2,
				Accommodations: []status.Accommodation{{Code: "absolute_form_https", Detail: "carried"}},
				ToolConflicts:  []status.Conflict{{Code: "npmrc_cafile", File: "/home/me/.npmrc", Advice: "remove it"}}}
		},
		Asking: func() Asking { return Asking{} },
		Policy: func() (string, []Rules) { return "", []Rules{{"deny", []string{"evil.example"}}, {"allow", nil}} },
	}
	for _, e := range events {
		p.Stats.Add(e)
	}
	return p
}

func denial(host, process string) Event {
	return Event{Entry: status.Entry{TS: status.Now(), Outcome: status.Refused, Kind: status.PolicyDenied, Host: host, By: "policy",
		Rule: `deny "evil.example"`, PID: 42, Process: process}, Detail: host + " is denied", Advice: "ask <b>your</b> administrator"}
}

func get(p *Page, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	p.Routes()[path].ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w
}

// The essentials are there without a script.
func TestPage(t *testing.T) {
	w := get(testPage(denial("evil.example:443", "curl")), status.Prefix)
	for _, want := range []string{"http://127.0.0.1:4711", "embedded, re-terminates TLS", "00ff", "2036-01-02", "absolute_form_https", "npmrc_cafile", "remove it",
		"<code>evil.example</code>", "policy_denied", "curl (42)", "evil.example:443 is denied", "<code>agentproxy why evil.example</code>", `<rect class="refused"`} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("the page has no %s", want)
		}
	}
}

// What no rule names has the line that would allow it; what a rule denies has none.
func TestLineThatAllows(t *testing.T) {
	unnamed := `default = "deny"`
	for _, c := range []struct {
		entry status.Entry
		want  string
	}{
		{status.Entry{By: "policy", Rule: unnamed, Host: "a.example:443"}, `"a.example",`},
		{status.Entry{By: "policy", Rule: unnamed + " (project)", Host: "a.example:443"}, `"a.example",`},
		{status.Entry{By: "policy", Rule: "port 443 only", Host: "db.example:8443"}, `"db.example:8443",`},
		{status.Entry{By: "policy", Rule: unnamed, Host: "a.example:443", Method: "POST", Path: "/x/*/y"}, `"POST a.example/x/%2A/y",`},
		{status.Entry{By: "policy", Rule: `deny "a.example"`, Host: "a.example:443"}, ""},
		{status.Entry{By: "proxy.example:3128", Host: "a.example:443"}, ""},
		{status.Entry{By: "policy", Rule: unnamed, Host: `a", "*:443`}, ""},
		{status.Entry{By: "policy", Rule: unnamed, Host: "a.example:443", Method: "GET", Path: `/", "*`}, ""},
	} {
		if got := line(c.entry); got != c.want {
			t.Errorf("%+v: %s", c.entry, got)
		}
	}
	e := denial("a.example:443", "curl")
	e.Rule = unnamed
	if w := get(testPage(e), status.Prefix); !strings.Contains(w.Body.String(), "to allow it: <code>&#34;a.example&#34;,</code>") {
		t.Error("the page has no line")
	}
}

// What waits is on the page with the answers that may be given, and words of a client's
// are text there.
func TestWhatIsAsked(t *testing.T) {
	q := contract.Question{ID: "7", Run: "R", PID: 42, Process: "curl", Host: "a.example:443", Method: "GET", Path: "/x", Why: "it is on no list", Entry: "GET a.example/x", Config: "/home/me/config.toml"}
	bare := contract.Question{ID: "8", Host: hostile[0]}
	p := testPage()
	p.Asking = func() Asking {
		return Asking{On: true, Attended: true, Waiting: []contract.Question{q, bare}, Settled: []status.Asked{
			{Answer: contract.AnswerHour, Host: "b.example:443", Run: "Q"}, {Host: "c.example:443", Method: "PUT", Path: "/y", Run: "R"}}}
	}
	var v View
	v.ask(p.Asking(), Filter{Run: "R"})
	want := []Waiting{
		{"7", "curl (pid 42), run R", "GET /x on a.example:443", "it is on no list", "always writes GET a.example/x into /home/me/config.toml",
			[]Answer{{"once", "once"}, {"run", "this run"}, {"hour", "this hour"}, {"always", "always"}, {"no", "no"}}},
		{"8", "a command", hostile[0], "", "", []Answer{{"once", "once"}, {"hour", "this hour"}, {"no", "no"}}},
	}
	if diff := cmp.Diff(want, v.Waiting); diff != "" {
		t.Error(diff)
	}
	if rows := v.Tables[0].Rows; len(rows) != 1 || rows[0].Class != "refused" || rows[0].Cells[1] != "nobody answered" || rows[0].Cells[2] != "PUT c.example:443/y" {
		t.Errorf("%+v", rows)
	}
	body := get(p, status.Prefix).Body.String()
	for _, want := range []string{"curl (pid 42), run R wants <code>GET /x on a.example:443</code>", "always writes GET a.example/x into /home/me/config.toml", "&lt;script&gt;", "agentproxy ask --page"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page has no %s", want)
		}
	}
	p.Asking = func() Asking { return Asking{} }
	if body := get(p, status.Prefix).Body.String(); !strings.Contains(body, `<section id="asking" aria-labelledby="asking-title" hidden>`) {
		t.Error("where nobody is asked the card is shown")
	}
}

// The page may load its own three files and nothing else, may not be framed,
// and has nothing inline that the policy would have to allow.
func TestContentPolicy(t *testing.T) {
	w := get(testPage(), status.Prefix)
	want := "default-src 'none'; script-src 127.0.0.1:4711/__agentproxy/page.js localhost:4711/__agentproxy/page.js; " +
		"style-src 127.0.0.1:4711/__agentproxy/page.css localhost:4711/__agentproxy/page.css; " +
		"connect-src 127.0.0.1:4711/__agentproxy/events localhost:4711/__agentproxy/events " +
		"127.0.0.1:4711/__agentproxy/pair localhost:4711/__agentproxy/pair 127.0.0.1:4711/__agentproxy/answer localhost:4711/__agentproxy/answer; " +
		"base-uri 'none'; form-action 127.0.0.1:4711/__agentproxy/ localhost:4711/__agentproxy/; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
	if diff := cmp.Diff(want, w.Header().Get("Content-Security-Policy")); diff != "" {
		t.Error(diff)
	}
	if got := w.Header().Get("X-Frame-Options"); got != "DENY" {
		t.Errorf("X-Frame-Options: %s", got)
	}
	if found := regexp.MustCompile(`(?i)<script>|<style|\sstyle=|\son[a-z]+=|javascript:|(src|href)="?(https?:|//)`).FindString(w.Body.String()); found != "" {
		t.Errorf("the page has %q", found)
	}
	for _, banned := range []string{"innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "Function("} {
		if strings.Contains(string(pageJS), banned) {
			t.Errorf("the script has %s", banned)
		}
	}
}

// Whatever clients choose is text, and in no command that is there to be copied.
func TestHostileNames(t *testing.T) {
	tag := regexp.MustCompile(`<(/?[a-zA-Z!][a-zA-Z0-9]*)`)
	tags := func(p *Page) map[string]int {
		m := map[string]int{}
		for _, found := range tag.FindAllString(get(p, status.Prefix).Body.String(), -1) {
			m[found]++
		}
		return m
	}
	for _, name := range hostile {
		evil, plain := testPage(denial(name, name)), testPage(denial("plain.example:443", "plain"))
		for _, p := range []*Page{evil, plain} {
			p.Stats.Open(status.Entry{Host: name, Process: name, PID: 1}, nil)
		}
		if diff := cmp.Diff(tags(plain), tags(evil)); diff != "" {
			t.Errorf("%s makes markup: %s", name, diff)
		}
		if got := next(name); got != "agentproxy status" && strings.ContainsAny(got, "$`<>(){}\"'") || strings.Contains(got, "why -") {
			t.Errorf("%s: the command is %s", name, got)
		}
	}
}

// The stream brings a view at once and another one when something happens.
func TestEvents(t *testing.T) {
	p := testPage()
	s := httptest.NewServer(p.Routes()[status.EventsPath])
	defer s.Close()
	res, err := http.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got := res.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("Content-Type: %s", got)
	}
	lines := bufio.NewScanner(res.Body)
	view := func() (v View) {
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				if err := json.Unmarshal([]byte(data), &v); err != nil {
					t.Fatal(err)
				}
				return v
			}
		}
		t.Fatal("the stream has ended")
		return v
	}
	if v := view(); len(v.Troubles) != 0 || len(v.Tables) != 6 {
		t.Errorf("first view: %+v", v)
	}
	for n := range 1000 {
		p.Stats.Add(denial(hostile[0], fmt.Sprint("p", n)))
	}
	if v := view(); len(v.Troubles) != shownTroubles || v.Troubles[0].Host != hostile[0] || v.Counts[2] != (Count{"refused", 1000, "refused"}) {
		t.Errorf("second view: %d troubles, %+v", len(v.Troubles), v.Counts)
	}
}

// A burst is one view, silence one in a while; and there is an end to watchers.
func TestEventsAreRationed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testPage()
		reader, writer := io.Pipe()
		r := httptest.NewRequest("GET", status.EventsPath, nil).WithContext(t.Context())
		go p.events(&streamed{httptest.NewRecorder(), writer}, r)
		var views atomic.Int64
		go func() {
			lines := bufio.NewScanner(reader)
			lines.Buffer(nil, 1<<20)
			for lines.Scan() {
				if strings.HasPrefix(lines.Text(), "data: ") {
					views.Add(1)
				}
			}
		}()
		count := func(d time.Duration) int64 {
			before := views.Load()
			time.Sleep(d)
			synctest.Wait()
			return views.Load() - before
		}
		count(time.Second)
		for range 100 {
			p.Stats.Add(denial("a.example:443", "a"))
		}
		if n := count(time.Second); n > 2 {
			t.Errorf("a burst made %d views", n)
		}
		if n := count(time.Minute); n < 4 || n > 6 {
			t.Errorf("a quiet minute had %d views", n)
		}
		p.streams.Store(maxStreams)
		if w := get(p, status.EventsPath); w.Code != http.StatusServiceUnavailable {
			t.Errorf("one too many: %d", w.Code)
		}
		writer.Close()
	})
}

// streamed is a response whose body is read while it is written.
type streamed struct {
	*httptest.ResponseRecorder
	body io.Writer
}

func (s *streamed) Write(b []byte) (int, error)      { return s.body.Write(b) }
func (s *streamed) SetWriteDeadline(time.Time) error { return nil }

// A stats stays as small as its limits, whatever clients ask for.
func TestBoardIsBounded(t *testing.T) {
	b := NewStats()
	for n := range 5000 {
		e := denial(fmt.Sprintf("h%d.example:443", n), fmt.Sprint("p", n))
		b.Add(e)
		b.Open(e.Entry, nil)
	}
	for what, got := range map[string][2]int{"events": {len(b.events), keptEvents}, "troubles": {len(b.troubles), keptTroubles},
		"hosts": {len(b.hosts), keptNames + 1}, "processes": {len(b.processes), keptNames + 1}, "live": {len(b.live), keptLive}} {
		if got[0] != got[1] {
			t.Errorf("%d %s, want %d", got[0], what, got[1])
		}
	}
	if b.hosts[others].refused != 5000-keptNames || b.open != 5000 {
		t.Errorf("%d others, %d open", b.hosts[others].refused, b.open)
	}
}

// The timeline ends now, drops what is older than it is long, and is never
// higher than the drawing.
func TestTimeline(t *testing.T) {
	b := NewStats()
	now := time.Unix(1_700_000_000, 0)
	b.now = func() time.Time { return now }
	for range 300 {
		b.Add(Event{Entry: status.Entry{Outcome: status.Opened, Host: "a"}})
	}
	b.Add(denial("b", ""))
	b.Add(Event{Entry: status.Entry{Outcome: status.Failed, Kind: status.OriginTLS}})
	for _, test := range []struct {
		after time.Duration
		x     int
		parts int
	}{{0, 590, 3}, {barTime, 580, 3}, {(bars - 1) * barTime, 0, 3}, {bars * barTime, 0, 0}} {
		var parts []Part
		line := drawTimeline(&b.bars, now.Add(test.after))
		for _, bar := range line.Bars {
			if parts = bar.Parts; bar.X != test.x || !strings.HasSuffix(bar.Title, ": 300 opened, 1 refused, 1 failed") {
				t.Errorf("after %s: %+v", test.after, bar)
			}
		}
		if len(parts) != test.parts || len(line.Axis) != axisTimes {
			t.Errorf("after %s: %+v", test.after, line)
		}
		for _, part := range parts {
			if part.Y < 0 || part.Y+part.Height > plotHeight || part.Height < 2 && part.Y > 0 {
				t.Errorf("after %s: %+v", test.after, part)
			}
			if (part.Mark == "") != (part.Class == "opened") {
				t.Errorf("%s has the mark %q", part.Class, part.Mark)
			}
		}
	}
}

// The processes add up to the counts, whoever's process was not found.
func TestNotAttributed(t *testing.T) {
	b := NewStats()
	for n := range 2 * keptNames {
		b.Add(denial("a.example:443", fmt.Sprint("p", n)))
	}
	for range 5 {
		b.Add(denial("a.example:443", ""))
	}
	if got := b.processes[notAttributed].refused; got != 5 {
		t.Errorf("%d not attributed", got)
	}
}

// A filter leaves what has its texts, and everything adds up to that.
func TestFilter(t *testing.T) {
	of := func(host, run, process string) Event {
		e := denial(host, process)
		e.Run = run
		return e
	}
	p := testPage(of("a.example:443", "r1", "curl"), of("b.example:443", "r1", "git"), of("A2.example:443", "r2", "curl"))
	p.Stats.Open(status.Entry{Host: "b.example:443", Run: "r1", Process: "git"}, nil)
	for query, want := range map[string]string{
		"":                          "A2.example:443 b.example:443 a.example:443",
		"?host=A":                   "A2.example:443 b.example:443 a.example:443",
		"?host=a2":                  "A2.example:443",
		"?run=r1":                   "b.example:443 a.example:443",
		"?run=r1&process=git":       "b.example:443",
		"?process=no-such":          "",
		"?host=&run=&process=curl":  "A2.example:443 a.example:443",
		"?host=%22%3E%3Cscript%3E=": "",
	} {
		r := httptest.NewRequest("GET", status.Prefix+query, nil)
		v := p.Stats.View(filterOf(r))
		var got []string
		for _, trouble := range v.Troubles {
			got = append(got, trouble.Host)
		}
		if strings.Join(got, " ") != want || v.Counts[2].Value != int64(len(got)) || len(v.Tables[0].Rows) != len(got) {
			t.Errorf("%s: %s, %+v", query, got, v.Counts)
		}
		if open := v.Counts[0].Value == 1; open != strings.Contains(want, "b.example") {
			t.Errorf("%s: %+v", query, v.Counts)
		}
		w := httptest.NewRecorder()
		p.Routes()[status.Prefix].ServeHTTP(w, r)
		if body := w.Body.String(); strings.Contains(body, "show all") != filterOf(r).On() || strings.Contains(body, "\"><script>") {
			t.Errorf("%s: the page is\n%s", query, body)
		}
	}
}

// Each run has its hosts, with what went through its tunnels by method: in those that are
// open, in those that are closed, and whenever it was found out whose a tunnel is.
func TestRunsAndTheirHosts(t *testing.T) {
	p := testPage()
	of := func(run, host string) status.Entry {
		return status.Entry{Outcome: status.Opened, Host: host, Run: run, Process: "curl"}
	}
	requests := func(method string, n int64) func() map[string]int64 {
		return func() map[string]int64 { return map[string]int64{method: n} }
	}
	for _, e := range []status.Entry{of("r1", "a:443"), of("r1", "a:443"), of("r1", "b:443"), of("r2", "a:443"), of("", "a:443")} {
		p.Stats.Add(Event{Entry: e})
	}
	refused := denial("a:443", "git")
	refused.Run = "r1"
	p.Stats.Add(refused)
	p.Stats.Open(of("r1", "a:443"), requests("GET", 2))
	closed := p.Stats.Open(of("r1", "a:443"), requests("POST", 3))
	closed.Close()
	late := p.Stats.Open(status.Entry{Host: "b:443"}, requests("HEAD", 1))
	late.Close()
	late.Identify(of("r1", "b:443"))
	p.Stats.Open(of("", "a:443"), requests("PUT", 1)).Close()
	cells := func(query string) (rows [][]string) {
		table := p.Stats.View(filterOf(httptest.NewRequest("GET", status.Prefix+query, nil))).Tables[4]
		for _, row := range table.Rows {
			rows = append(rows, row.Cells[:len(row.Cells)-1])
		}
		return rows
	}
	a, b, other := []string{"curl, git, run r1", "a:443", "POST 3, GET 2", "2", "1", ""}, []string{"curl, git, run r1", "b:443", "HEAD 1", "1", "", ""}, []string{"curl, run r2", "a:443", "", "1", "", ""}
	if diff := cmp.Diff([][]string{a, b, other}, cells("")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([][]string{b}, cells("?run=r1&host=b")); diff != "" {
		t.Error(diff)
	}
	for n := range 5000 {
		e := of(fmt.Sprint("run", n%50), fmt.Sprint("host", n))
		p.Stats.Add(Event{Entry: e})
	}
	list := p.Stats.Runs()
	if len(list) != keptRuns || len(list[0].Hosts) > keptRunHosts+1 {
		t.Errorf("%d runs, %d hosts", len(list), len(list[0].Hosts))
	}
}

// What is said of the tunnel itself comes by the stream, too.
func TestSetUpIsLive(t *testing.T) {
	p := testPage()
	first := p.Document()
	runs := 2
	p.Document = func() *status.Document {
		doc := *first
		doc.Runs = runs
		return &doc
	}
	for _, runs = range []int{2, 3} {
		var v View
		p.describe(&v, p.Document())
		if want := fmt.Sprintf("%d runs, 0 shells", runs); !slices.ContainsFunc(v.Setup, func(f Fact) bool { return f.Text == want }) {
			t.Errorf("no %q in %+v", want, v.Setup)
		}
	}
}

// Every line is one of the text format's, every metric has its head before its
// samples, and none comes twice.
func TestMetrics(t *testing.T) {
	p := testPage(denial("evil.example:443", "curl"), Event{Entry: status.Entry{Outcome: status.Failed, Kind: status.OriginTLS}},
		Event{Entry: status.Entry{Outcome: status.Opened}})
	p.Stats.Open(status.Entry{}, nil)
	w := get(p, status.MetricsPath)
	if got := w.Header().Get("Content-Type"); got != "text/plain; version=0.0.4; charset=utf-8" {
		t.Errorf("Content-Type: %s", got)
	}
	help := regexp.MustCompile(`^# HELP (agentproxy_[a-z_]+) [^\\\n]+$`)
	kind := regexp.MustCompile(`^# TYPE (agentproxy_[a-z_]+) (counter|gauge)$`)
	value := regexp.MustCompile(`^(agentproxy_[a-z_]+)(\{[a-z_]+="(?:[^"\\]|\\[\\"n])*"(?:,[a-z_]+="(?:[^"\\]|\\[\\"n])*")*\})? [0-9.e+-]+$`)
	current, typed := "", ""
	seen := map[string]bool{}
	for line := range strings.Lines(w.Body.String()) {
		line = strings.TrimSuffix(line, "\n")
		if m := help.FindStringSubmatch(line); m != nil {
			if current = m[1]; seen[current] {
				t.Errorf("%s comes twice", current)
			}
			seen[current] = true
		} else if m := kind.FindStringSubmatch(line); m != nil {
			if typed = m[1]; typed != current || strings.HasSuffix(typed, "_total") != (m[2] == "counter") {
				t.Errorf("under %s: %s", current, line)
			}
		} else if m := value.FindStringSubmatch(line); m == nil || m[1] != typed || seen[m[1]+m[2]] && m[2] != "" {
			t.Errorf("under %s: %s", typed, line)
		} else {
			seen[m[1]+m[2]] = true
		}
	}
	for _, want := range []string{
		"agentproxy_tunnels_opened_total 1\n", "agentproxy_tunnels_open 1\n", "agentproxy_runs_attached 2\n", "agentproxy_audit_lost_total 7\n",
		`agentproxy_refusals_total{kind="policy_denied"} 1` + "\n", `agentproxy_refusals_total{kind="port_not_allowed"} 0` + "\n",
		`agentproxy_failures_total{kind="origin_tls"} 1` + "\n", `agentproxy_build_info{version="v1\"\\\n",go_version="go`,
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %q in\n%s", want, w.Body)
		}
	}
}

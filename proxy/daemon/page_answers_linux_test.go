package daemon

import (
	"bufio"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/proxy/status"
)

// send is a POST as the page's script makes it, but for what edit changes.
func (d *running) send(t *testing.T, path, secret string, fields url.Values, edit func(*http.Request)) (code int, body string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, "http://"+d.address()+path, strings.NewReader(fields.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", "http://"+d.address())
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set(contract.PageHeader, secret)
	if edit != nil {
		edit(r)
	}
	tr := &http.Transport{DisableKeepAlives: true}
	res, err := tr.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(raw)
}

// link returns the code of a link, and what ends it.
func (d *running) link(t *testing.T) (code string, end func() error) {
	t.Helper()
	res := d.ask(t, rundir.RoleClient, http.MethodPost, contract.LinkPath, nil)
	code, err := bufio.NewReader(res.Body).ReadString('\n')
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("no link: %s, error %v", res.Status, err)
	}
	return strings.TrimSpace(code), res.Body.Close
}

// token is what a page has after it was opened by a link.
func (d *running) token(t *testing.T) (token string, end func() error) {
	t.Helper()
	code, end := d.link(t)
	status, token := d.send(t, status.PairPath, code, nil, nil)
	if status != http.StatusOK || token == "" || token == code {
		t.Fatalf("the link opens no page: %d %s", status, token)
	}
	return token, end
}

func TestThePageAnswers(t *testing.T) {
	t.Parallel()
	d := startAsking(t, nowhere, "")
	l := d.listening(t)
	token, end := d.token(t)
	for _, c := range []struct {
		answer string
		want   int
	}{{contract.AnswerNo, 403}, {contract.AnswerOnce, leads}, {contract.AnswerAlways, leads}} {
		waits := d.connecting(t, "origin.test:443")
		q := l.next(t)
		if code, body := d.send(t, status.AnswerPath, token, url.Values{"id": {q.ID}, "answer": {c.answer}}, nil); code != http.StatusNoContent || <-waits != c.want {
			t.Errorf("%s: %d %s", c.answer, code, body)
		}
		if code, _ := d.send(t, status.AnswerPath, token, url.Values{"id": {q.ID}, "answer": {c.answer}}, nil); code != http.StatusGone {
			t.Errorf("an answer that comes too late: %d", code)
		}
	}
	text, err := os.ReadFile(d.document(t).ConfigPath)
	if err != nil || !strings.Contains(string(text), `allow = ["origin.test"]`) {
		t.Errorf("always is not in the configuration, error %v: %s", err, text)
	}
	var answers []string
	for _, a := range d.document(t).Asked {
		answers = append(answers, a.Answer+" "+a.Host)
	}
	if want := []string{"no origin.test:443", "once origin.test:443", "always origin.test:443"}; !slices.Equal(answers, want) {
		t.Errorf("the status has %q", answers)
	}
	waits := d.connecting(t, "other.test:443")
	q := l.next(t)
	end()
	for { // the daemon sees the end of the connection in its own time
		if code, _ := d.send(t, status.AnswerPath, token, url.Values{"id": {q.ID}, "answer": {"nonsense"}}, nil); code == http.StatusForbidden {
			break
		}
	}
	if l.answer(t, q.ID, contract.AnswerNo); <-waits != 403 {
		t.Error("no lets pass")
	}
}

// What does not come from the page, with its token, answers nothing.
func TestOnlyThePageAnswers(t *testing.T) {
	t.Parallel()
	d := startAsking(t, nowhere, "")
	l := d.listening(t)
	token, _ := d.token(t)
	unused, _ := d.link(t)
	waits := d.connecting(t, "origin.test:443")
	yes := url.Values{"id": {l.next(t).ID}, "answer": {contract.AnswerAlways}}
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for name, edit := range map[string]func(*http.Request){
		"another origin":             header("Origin", "http://evil.example"),
		"another port's origin":      header("Origin", "http://127.0.0.1:1"),
		"an origin by another name":  header("Origin", "http://localhost:1"),
		"TLS's origin":               header("Origin", "https://"+d.address()),
		"no page's origin":           header("Origin", "null"),
		"no origin":                  func(r *http.Request) { r.Header.Del("Origin") },
		"another site":               header("Sec-Fetch-Site", "cross-site"),
		"another port of this one":   header("Sec-Fetch-Site", "same-site"),
		"a rebound name":             func(r *http.Request) { r.Host = "evil.example"; r.Header.Set("Origin", "http://evil.example") },
		"no token":                   func(r *http.Request) { r.Header.Del(contract.PageHeader) },
		"a token that is none":       header(contract.PageHeader, token+"A"),
		"a code that is no token":    header(contract.PageHeader, unused),
		"GET":                        func(r *http.Request) { r.Method = http.MethodGet },
		"a form, which has no token": func(r *http.Request) { r.Header.Del(contract.PageHeader); r.Header.Del("Sec-Fetch-Site") },
	} {
		for _, path := range []string{status.AnswerPath, status.PairPath} {
			secret := token
			if path == status.PairPath {
				secret = unused
				if name == "a code that is no token" {
					continue
				}
			}
			if code, body := d.send(t, path, secret, yes, edit); code != http.StatusForbidden {
				t.Errorf("%s at %s: %d %s", name, path, code, body)
			}
		}
	}
	if code, _ := d.send(t, status.PairPath, unused, nil, nil); code != http.StatusOK {
		t.Errorf("what was refused has used the link up: %d", code)
	}
	if code, _ := d.send(t, status.PairPath, unused, nil, nil); code != http.StatusForbidden {
		t.Errorf("a link that was used opens another page: %d", code)
	}
	if l.answer(t, yes.Get("id"), contract.AnswerNo); <-waits != 403 {
		t.Error("it passes")
	}
}

// A run that knows a link or the token answers nothing with it, and gets no link.
func TestARunCannotAnswerAsThePage(t *testing.T) {
	t.Parallel()
	d := startAsking(t, nowhere, "")
	token, _ := d.token(t)
	unused, _ := d.link(t)
	d.attach(t, "a-run", os.Getpid())
	if res := d.ask(t, rundir.RoleClient, http.MethodPost, contract.LinkPath, nil); res.StatusCode != http.StatusForbidden {
		t.Errorf("a run gets a link: %s", res.Status)
	}
	if code, body := d.send(t, status.PairPath, unused, nil, nil); code != http.StatusForbidden || !strings.Contains(body, errRunAnswers.Error()) {
		t.Errorf("a run opens a page: %d %s", code, body)
	}
	if code, body := d.send(t, status.AnswerPath, token, url.Values{"id": {"1"}, "answer": {contract.AnswerOnce}}, nil); code != http.StatusForbidden || !strings.Contains(body, errRunAnswers.Error()) {
		t.Errorf("a run answers: %d %s", code, body)
	}
}

// What a page answers with is in nothing that a run can read: neither below the state
// directory, nor in a document or a page of the tunnel.
func TestThePagesSecretsAreKeptNowhere(t *testing.T) {
	t.Parallel()
	d := startAsking(t, nowhere, "")
	code, _ := d.link(t)
	token, _ := d.token(t)
	texts := map[string]string{"the log": d.log.String()}
	err := filepath.WalkDir(d.dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		texts[path] = string(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{status.Path, status.Prefix, status.MetricsPath} {
		raw, err := io.ReadAll(d.ask(t, "", http.MethodGet, path, nil).Body)
		if err != nil {
			t.Fatal(err)
		}
		texts[path] = string(raw)
	}
	for where, text := range texts {
		if strings.Contains(text, token) || strings.Contains(text, code) {
			t.Errorf("%s has what answers", where)
		}
	}
}

package session

import (
	"bufio"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/profiles"
	"github.com/agentproxy/agentproxy/profiles/env"
	"github.com/agentproxy/agentproxy/profiles/rules"
	"github.com/agentproxy/agentproxy/proxy/proxytest/raced"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/wrap/classify"
	"github.com/agentproxy/agentproxy/wrap/verdict"
)

// failing are real outputs of failing commands, with why each failed: one of each
// program and class.
func failing(t *testing.T) (list []sample) {
	t.Helper()
	file, err := os.Open("../classify/testdata/failing.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	known := map[string]bool{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var s sample
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		if kind := string(s.Class) + strings.Fields(s.Command)[0]; !known[kind] {
			known[kind] = true
			list = append(list, s)
		}
	}
	if len(list) < 50 || lines.Err() != nil {
		t.Fatalf("%d samples, %v", len(list), lines.Err())
	}
	return raced.Some(list)
}

type sample struct {
	ID      string      `json:"id"`
	Class   rules.Class `json:"class"`
	Command string      `json:"command"`
	Status  int         `json:"status"`
	Text    string      `json:"text"`
}

// happened is what the tunnel would have seen of such a failure.
func (s sample) happened() (e status.Evidence) {
	kind := map[rules.Class]status.Kind{
		rules.PolicyDenied: status.PolicyDenied, rules.TLSTrust: status.ClientTLSRejected, rules.TLSOther: status.ClientTLSRejected, rules.UpstreamFailed: status.OriginFailed,
	}[s.Class]
	if kind != "" {
		e.Hosts = []status.HostSeen{{Host: "api.example.com:443", Opened: 1}}
		e.Failures = []*status.Failure{{Kind: kind, Host: "api.example.com:443", Detail: "seen"}}
	}
	return e
}

// circle is an advice that names what is in effect: exec itself in front of the whole
// command, or a variable that the run has.
func circle(advice string, environ []string) string {
	if strings.Contains(advice, "agentproxy exec -- <command>") || strings.Contains(advice, "run it as") {
		return "agentproxy exec"
	}
	for _, m := range regexp.MustCompile(`\b([A-Za-z][A-Za-z0-9_]{3,})=`).FindAllStringSubmatch(advice, -1) {
		if env.Get(environ, m[1]) != "" {
			return m[1]
		}
	}
	return ""
}

// Wherever an advice is spoken, it is there, and names nothing that is in effect: inside
// exec, inside a network of the command's own, in a hooked shell, and on a bare log.
func TestAdviceInEveryPlace(t *testing.T) {
	spoken := 0
	for _, sample := range failing(t) {
		for place, capture := range map[string]Capture{"exec": CaptureNever, "a network of its own": CaptureAlways} {
			s := newStage(t, act{prints: sample.Text, code: max(sample.Status, 1), seen: sample.happened()})
			s.options.Argv, s.options.Retry, s.options.Capture = strings.Fields(sample.Command), Never, capture
			if _, err := s.run(); err != nil {
				t.Fatal(err)
			}
			for _, v := range s.verdicts {
				spoken++
				if v.Verdict.Advice == "" && v.Verdict.Line == "" {
					t.Errorf("%s in %s: nothing is said to do on %+v", sample.ID, place, v.Verdict)
				}
				if what := circle(v.Verdict.Advice, s.runs[0].Env); what != "" {
					t.Errorf("%s in %s: %q, which has %s", sample.ID, place, v.Verdict.Advice, what)
				}
			}
		}
	}
	if spoken < 80 && !raced.Enabled {
		t.Errorf("only %d verdicts", spoken)
	}
	t.Logf("%d verdicts", spoken)
}

// On a log that was brought, what a hooked shell has set is said to be set.
func TestAdviceOnALog(t *testing.T) {
	all := profiles.Open("")
	inShell := func(variable string) bool { return variable == "SSL_CERT_FILE" || variable == "GIT_SSL_CAINFO" }
	for _, sample := range failing(t) {
		c := classify.New(classify.Options{Library: all, Profiles: all.Names()})
		c.View(2, []byte(sample.Text))
		r, err := c.Result(classify.Status{Known: true, Code: sample.Status})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range r.Findings {
			if f.Advice == "" {
				t.Errorf("%s: no advice on %s", sample.ID, f.Class)
			}
			names := strings.Contains(f.Advice, "SSL_CERT_FILE=") || strings.Contains(f.Advice, "GIT_SSL_CAINFO=")
			if said := verdict.InShell(f.Advice, inShell); names != strings.Contains(said, "this shell has it") {
				t.Errorf("%s: in a shell %q", sample.ID, said)
			}
		}
	}
}

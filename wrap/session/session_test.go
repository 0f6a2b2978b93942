package session

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/profiles"
	"github.com/agentproxy/agentproxy/profiles/detect"
	"github.com/agentproxy/agentproxy/profiles/env"
	"github.com/agentproxy/agentproxy/profiles/rules"
	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/capture/sockets"
	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/guard"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/wrap/child"
	"github.com/agentproxy/agentproxy/wrap/learned"
	"github.com/agentproxy/agentproxy/wrap/plan"
	"github.com/agentproxy/agentproxy/wrap/verdict"
)

// acme is a tool that needs a variable of its own, which its profile gives it
// only once it has failed without.
const acme = `summary = "acme"
commands = ["acme"]

[[env]]
set = "ACME_PROXY"
value = "{url}"
remedy = "proxy_bypassed"
reason = "acme reads nothing else"

[[rule]]
class = "proxy_bypassed"
match = 'acme: no route to \S+'
fix = "export ACME_PROXY=$HTTPS_PROXY"

[[rule]]
class = "policy_denied"
match = 'acme: proxy said 403'
fix = "ask"
`

const bypassed = "acme: no route to https://api.example/x\n"

// stage is a world without a process: its tunnel, its command, its console and
// its memory are here.
type stage struct {
	t       *testing.T
	dir     string // the state directory
	options Options
	// acts are what the runs of the command come to, one after the other.
	acts []act
	said []string // by the console
	runs []child.Command
	ids  []string

	fixes    []learned.Fix
	verdicts []verdict.Entry
	faults   []*guard.Fault
}

// act is one run: what it prints, how it ends, and what the tunnel has seen.
type act struct {
	prints string
	code   int
	seen   status.Evidence
	dies   error // instead
}

func newStage(t *testing.T, acts ...act) *stage {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	if err := rundir.MakeDir(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Open(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rundir.RemovePublic(dir) })
	private := t.TempDir()
	if err := os.WriteFile(filepath.Join(private, "acme.txtar"), []byte(acme), 0o600); err != nil {
		t.Fatal(err)
	}
	getenv := func(name string) string { return map[string]string{"AGENT_PROXY_STATE_DIR": dir}[name] }
	return &stage{t: t, dir: dir, acts: acts, options: Options{
		Argv: []string{"acme", "get"}, Environ: []string{"PATH=/nowhere"}, Retry: Safe, Library: profiles.Open(private),
		Tunnel: attach.Options{Config: new(config.Config), Getenv: getenv},
	}}
}

func (s *stage) run() (child.Result, error) {
	return Run(s.t.Context(), s.options, Ports{Acquire: s.acquire, Run: s.play, Console: s, Memory: s})
}

func (s *stage) acquire(_ context.Context, _ attach.Options, id string) (*attach.Tunnel, Attachment, error) {
	s.ids = append(s.ids, id)
	if len(s.acts) == 0 {
		return nil, nil, fmt.Errorf("no tunnel to be had")
	}
	return &attach.Tunnel{Dir: s.dir, Record: &rundir.Record{Port: 4711}}, attachment{&s.acts[0].seen}, nil
}

type attachment struct{ seen *status.Evidence }

func (a attachment) Evidence(context.Context) (*status.Evidence, error) { return a.seen, nil }
func (attachment) HandOver(*sockets.Set) error                          { return nil }
func (attachment) Close()                                               {}

func (s *stage) play(c child.Command, o child.Options) (child.Result, error) {
	s.runs = append(s.runs, c)
	a := s.acts[0]
	s.acts = s.acts[1:]
	o.Output.View(2, []byte(a.prints))
	return child.Result{Code: a.code}, a.dies
}

func (s *stage) say(what string, details ...any) {
	s.said = append(s.said, strings.TrimSpace(what+" "+fmt.Sprint(details...)))
}

func (s *stage) Say(format string, args ...any)           { s.say("say", fmt.Sprintf(format, args...)) }
func (s *stage) Notices(*attach.Tunnel)                   {}
func (s *stage) Plan(plan.Plan)                           {}
func (s *stage) Again(r detect.Remedy, _ verdict.Verdict) { s.say("again", r.Reason) }
func (s *stage) Ask(r detect.Remedy) bool                 { s.say("ask", r.Reason); return false }
func (s *stage) Verdict(v verdict.Verdict)                { s.say("verdict", v.Class, " ", v.Host, " ", v.Source) }
func (s *stage) Seen(string, *status.Evidence)            {}
func (s *stage) Failures(list []*status.Failure, _ *child.Output) {
	s.say("failures", len(list))
}

func (s *stage) Has(f learned.Fix) bool {
	return slices.ContainsFunc(s.fixes, func(g learned.Fix) bool {
		return f.Tool == g.Tool && f.Class == g.Class && f.Project == g.Project && f.Capture == g.Capture
	})
}
func (s *stage) Learn(f learned.Fix) error          { s.fixes = append(s.fixes, f); return nil }
func (s *stage) Remember(e verdict.Entry) error     { s.verdicts = append(s.verdicts, e); return nil }
func (s *stage) RememberFault(f *guard.Fault) error { s.faults = append(s.faults, f); return nil }
func (s *stage) Unlearn(which func(learned.Fix) bool) error {
	s.fixes = slices.DeleteFunc(s.fixes, which)
	return nil
}

func (s *stage) expect(code int, said ...string) {
	s.t.Helper()
	result, err := s.run()
	if err != nil || result.Code != code {
		s.t.Errorf("ended with %d, %v, want %d", result.Code, err, code)
	}
	if !slices.Equal(s.said, said) {
		s.t.Errorf("said %q, want %q", s.said, said)
	}
}

func TestSuccessIsSilent(t *testing.T) {
	s := newStage(t, act{prints: "done\n"})
	s.options.VerdictFile = filepath.Join(t.TempDir(), "verdict")
	s.expect(0)
	if len(s.runs) != 1 || env.Get(s.runs[0].Env, "HTTPS_PROXY") != "http://127.0.0.1:4711" {
		t.Errorf("%d runs, %v", len(s.runs), s.runs)
	}
	if env.Get(s.runs[0].Env, "ACME_PROXY") != "" {
		t.Error("a remedy was applied before a failure")
	}
	if got := verdictIn(t, s.options.VerdictFile); got != rules.None {
		t.Errorf("the verdict's file says %s", got)
	}
}

// A command that goes past the tunnel has done nothing: it runs once more with
// what its profile has for that, which is remembered since it helps.
func TestASecondTryHelps(t *testing.T) {
	s := newStage(t, act{prints: bypassed, code: 1}, act{prints: "done\n"})
	s.expect(0, "again acme reads nothing else")
	if len(s.runs) != 2 || env.Get(s.runs[0].Env, "ACME_PROXY") != "" || env.Get(s.runs[1].Env, "ACME_PROXY") != "http://127.0.0.1:4711" {
		t.Fatalf("%d runs, %v", len(s.runs), s.runs)
	}
	if s.ids[0] == s.ids[1] {
		t.Error("both runs have one identity: the tunnel cannot tell them apart")
	}
	if len(s.fixes) != 1 || s.fixes[0].Tool != "acme" {
		t.Fatalf("learned %v", s.fixes)
	}
	s.acts, s.said, s.runs = []act{{prints: "done\n"}}, nil, nil
	s.expect(0)
	if len(s.runs) != 1 || env.Get(s.runs[0].Env, "ACME_PROXY") == "" {
		t.Errorf("what was learned is not used up front: %v", s.runs)
	}
}

// What does not help is told of as the command's own second failure, and is not
// remembered.
func TestASecondTryDoesNotHelp(t *testing.T) {
	s := newStage(t, act{prints: bypassed, code: 1}, act{prints: bypassed, code: 3})
	s.options.VerdictFile = filepath.Join(t.TempDir(), "verdict")
	s.expect(3, "again acme reads nothing else", "verdict proxy_bypassed api.example output")
	if len(s.fixes) != 0 || len(s.verdicts) != 1 {
		t.Errorf("learned %v, remembered %v", s.fixes, s.verdicts)
	}
	if got := verdictIn(t, s.options.VerdictFile); got != rules.ProxyBypassed {
		t.Errorf("the verdict's file says %s", got)
	}
}

// A refusal of the tunnel's is final, whatever the profile has.
func TestARefusalIsNotRetried(t *testing.T) {
	refused := status.Evidence{Hosts: []status.HostSeen{{Host: "api.example:443"}}, Failures: []*status.Failure{
		{Kind: status.PolicyDenied, Code: 403, Host: "api.example:443", By: "policy", Rule: `deny "api.example"`, Detail: "denied"}}}
	s := newStage(t, act{prints: "acme: proxy said 403 for api.example\n", code: 1, seen: refused}, act{})
	s.options.Verbose = true
	s.expect(1, "verdict policy_denied api.example:443 both", "failures 1")
	if len(s.runs) != 1 {
		t.Errorf("%d runs", len(s.runs))
	}
}

// What may have had an effect is not repeated.
func TestNoSecondTry(t *testing.T) {
	reached := status.Evidence{Hosts: []status.HostSeen{{Host: "other.example:443", Opened: 1}}}
	for name, change := range map[string]func(*stage){
		"a tunnel was opened": func(s *stage) { s.acts[0].seen = reached },
		"--retry never":       func(s *stage) { s.options.Retry = Never },
		"asked, no":           func(s *stage) { s.options.Retry = Ask },
		"no profile":          func(s *stage) { s.options.Argv = []string{"other"} },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, act{prints: bypassed, code: 1}, act{})
			change(s)
			if result, err := s.run(); err != nil || result.Code != 1 || len(s.runs) != 1 {
				t.Errorf("ended with %d, %v after %d runs", result.Code, err, len(s.runs))
			}
			if asked := slices.Contains(s.said, "ask acme reads nothing else"); asked != (s.options.Retry == Ask) {
				t.Errorf("said %q", s.said)
			}
		})
	}
}

// Failures of ours are errors, before the command or in its place.
func TestFailuresOfOurs(t *testing.T) {
	s := newStage(t)
	if _, err := s.run(); err == nil || len(s.runs) != 0 {
		t.Errorf("no tunnel: %v after %d runs", err, len(s.runs))
	}
	s = newStage(t, act{})
	s.options.VerdictFile = filepath.Join(t.TempDir(), "none", "verdict")
	if _, err := s.run(); err == nil || !strings.Contains(err.Error(), "--verdict-file") || len(s.runs) != 0 {
		t.Errorf("no place for the verdict: %v after %d runs", err, len(s.runs))
	}
	missing := &child.StartError{Name: "acme", Status: child.StatusNotFound, Err: os.ErrNotExist}
	s = newStage(t, act{dies: missing})
	if _, err := s.run(); err != error(missing) {
		t.Errorf("not found: %v", err)
	}
}

// A plan needs no run, and none of its ports.
func TestPlanForWhateverMayBeStarted(t *testing.T) {
	s := newStage(t)
	s.options.Argv = nil
	p, err := Plan(t.Context(), s.options, Ports{Console: s, Memory: s}, &attach.Tunnel{Dir: s.dir, Record: &rundir.Record{Port: 4711}})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Argv) != 0 || env.Get(p.Environ, "HTTPS_PROXY") == "" || env.Get(p.Environ, "AGENT_PROXY_RUN") != "" {
		t.Errorf("%v", p)
	}
	for _, f := range p.Files {
		if data, err := os.ReadFile(f.Path); err != nil || string(data) != string(f.Content) {
			t.Errorf("%s: %q, %v", f.Path, data, err)
		}
	}
}

func verdictIn(t *testing.T, file string) rules.Class {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var v verdict.Verdict
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%q: %v", data, err)
	}
	return v.Class
}

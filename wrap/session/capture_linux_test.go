package session

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/profiles/env"
	"github.com/agentproxy/agentproxy/profiles/rules"
	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/wrap/capture"
	"github.com/agentproxy/agentproxy/wrap/child"
	"github.com/agentproxy/agentproxy/wrap/learned"
)

// other is a command that no profile knows.
var other = []string{"/nowhere/other", "get"}

const (
	unresolved = "other: could not resolve host: api.example\n"
	untrusted  = "other: SSL certificate problem: unable to get local issuer certificate\n"
	onceMore   = "again a network of its own, all of which leads into the tunnel"
)

// networks says of each run whether it had a network of its own.
func (s *stage) networks() (list []bool) {
	for _, c := range s.runs {
		own := env.Get(c.Env, contract.CapturedVariable) != ""
		if own == (env.Get(c.Env, "HTTPS_PROXY") != "") {
			s.t.Errorf("a run is told of its own network and of a proxy, or of neither")
		}
		list = append(list, own)
	}
	return list
}

func (s *stage) expectNetworks(want ...bool) {
	s.t.Helper()
	if got := s.networks(); !slices.Equal(got, want) {
		s.t.Errorf("the runs had networks of their own: %v, want %v; said %q", got, want, s.said)
	}
}

func rejections(n int) status.Evidence {
	e := status.Evidence{Hosts: []status.HostSeen{{Host: "api.example:443", Opened: n}}}
	for range n {
		e.Failures = append(e.Failures, &status.Failure{Kind: status.ClientTLSRejected, Host: "api.example:443", By: "client", Detail: "rejected"})
	}
	return e
}

// A command that has reached nobody runs once more in a network of its own, which it
// has from the start then.
func TestANetworkOfItsOwnHelps(t *testing.T) {
	for name, first := range map[string]act{
		"past the tunnel":       {prints: unresolved, code: 6},
		"without our roots":     {prints: untrusted, code: 60, seen: rejections(1)},
		"and it tried it often": {prints: untrusted, code: 60, seen: rejections(3)},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, first, act{prints: "done\n"})
			s.options.Argv, s.options.Capture = other, CaptureAuto
			s.expect(0, onceMore)
			s.expectNetworks(false, true)
			if len(s.fixes) != 1 || !s.fixes[0].Capture || s.fixes[0].Tool != "other" {
				t.Fatalf("learned %+v", s.fixes)
			}
			s.acts, s.said, s.runs = []act{{prints: "done\n"}}, nil, nil
			s.expect(0)
			s.expectNetworks(true)
		})
	}
}

// A tool whose profile knows nothing narrower has one from the start; where the system
// makes none, it goes without.
func TestAToolThatNeedsANetworkOfItsOwn(t *testing.T) {
	s := newStage(t, act{prints: "done\n"})
	s.options.Argv, s.options.Capture = []string{"gnutls-cli", "api.example"}, CaptureAuto
	s.expect(0)
	s.expectNetworks(true)
	s = newStage(t, act{dies: &capture.Refused{What: "no network", Err: errors.New("not permitted")}}, act{prints: "done\n"})
	s.options.Argv, s.options.Capture = []string{"gnutls-cli", "api.example"}, CaptureAuto
	s.expect(0)
	s.expectNetworks(true, false)
	s = newStage(t, act{prints: "done\n"})
	s.options.Argv, s.options.Capture = []string{"gnutls-cli", "api.example"}, CaptureNever
	s.expect(0)
	s.expectNetworks(false)
}

// What is narrower comes first.
func TestANetworkOfItsOwnIsTheLastTry(t *testing.T) {
	s := newStage(t, act{prints: bypassed, code: 1}, act{prints: bypassed, code: 1}, act{prints: "done\n"})
	s.options.Capture = CaptureAuto
	s.expect(0, "again acme reads nothing else", onceMore)
	s.expectNetworks(false, false, true)
	s = newStage(t, act{prints: bypassed, code: 1}, act{prints: "done\n"})
	s.options.Capture = CaptureAuto
	s.expect(0, "again acme reads nothing else")
	s.expectNetworks(false, false)
}

// It is no remedy where it cures nothing, or the first run may have had an effect.
func TestNoNetworkOfItsOwn(t *testing.T) {
	reached := rejections(1)
	reached.Hosts[0].Opened = 2
	for name, change := range map[string]func(*stage){
		"a request may have got through": func(s *stage) { s.acts[0] = act{prints: untrusted, code: 60, seen: reached} },
		"whose tunnel it was is unclear": func(s *stage) { s.acts[0].seen.Unattributed = 1 },
		"--retry never":                  func(s *stage) { s.options.Retry = Never },
		"asked, no":                      func(s *stage) { s.options.Retry = Ask },
		"never":                          func(s *stage) { s.options.Capture = CaptureNever },
		"not asked for":                  func(s *stage) { s.options.Capture = "" },
		"another failure":                func(s *stage) { s.acts[0].prints = "other: disk full\n" },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, act{prints: unresolved, code: 6}, act{})
			s.options.Argv, s.options.Capture = other, CaptureAuto
			change(s)
			if _, err := s.run(); err != nil {
				t.Fatal(err)
			}
			s.expectNetworks(false)
		})
	}
}

// Where the system makes none, auto goes on with what it had, and always refuses.
func TestANetworkIsRefused(t *testing.T) {
	refused := &capture.Refused{What: "no network", Err: errors.New("not permitted")}
	s := newStage(t, act{prints: unresolved, code: 6}, act{dies: refused})
	s.options.Argv, s.options.Capture = other, CaptureAuto
	if result, err := s.run(); err != nil || result.Code != 6 {
		t.Errorf("ended with %d, %v", result.Code, err)
	}
	s.expectNetworks(false, true)
	for _, v := range s.verdicts {
		if v.Verdict.Class != rules.ProxyBypassed || !strings.Contains(v.Verdict.Advice, "which this system refuses: ") || strings.Contains(v.Verdict.Advice, "--capture") {
			t.Errorf("the verdict is %+v", v.Verdict)
		}
	}

	s = newStage(t, act{dies: refused}, act{prints: "done\n"})
	s.options.Argv, s.options.Capture = other, CaptureAuto
	s.fixes = []learned.Fix{{Tool: "other", Project: learned.Project(getwd(t)), Class: rules.TLSTrust, Capture: true}}
	s.expect(0)
	s.expectNetworks(true, false)

	s = newStage(t, act{dies: refused})
	s.options.Argv, s.options.Capture = other, CaptureAlways
	if _, err := s.run(); err != error(refused) || len(s.runs) != 1 {
		t.Errorf("always: %v after %d runs", err, len(s.runs))
	}
}

// The advice names what would help, and never what is in effect.
func TestAdviceOnNetworks(t *testing.T) {
	for _, c := range []struct {
		mode        Capture
		first       act
		with, never string
	}{
		{CaptureAlways, act{prints: untrusted, code: 60, seen: rejections(1)}, `policy.passthrough = ["api.example"]`, "agentproxy exec"},
		{CaptureAlways, act{prints: unresolved, code: 6}, "to port 443", "agentproxy exec"},
	} {
		s := newStage(t, c.first)
		s.options.Argv, s.options.Capture, s.options.Retry = other, c.mode, Never
		if _, err := s.run(); err != nil {
			t.Fatal(err)
		}
		for _, v := range s.verdicts {
			if !strings.Contains(v.Verdict.Advice, c.with) || strings.Contains(v.Verdict.Advice, c.never) {
				t.Errorf("%s: advises %q of %s", c.mode, v.Verdict.Advice, v.Verdict.Class)
			}
		}
	}
	s := newStage(t, act{prints: unresolved, code: 6})
	s.options.Argv, s.options.Capture, s.options.Retry = other, CaptureAuto, Never
	if _, err := s.run(); err != nil || len(s.verdicts) != 1 || s.verdicts[0].Verdict.Advice != "agentproxy exec --capture always -- other …" {
		t.Errorf("%v, %+v", err, s.verdicts)
	}
}

// A run in a run has a network, and so evidence, of its own.
func TestANetworkInANetwork(t *testing.T) {
	s := newStage(t, act{prints: "done\n"})
	getenv := s.options.Tunnel.Getenv
	s.options.Tunnel.Getenv = func(name string) string {
		if name == contract.CapturedVariable {
			return "1"
		}
		return getenv(name)
	}
	s.options.Argv, s.options.Capture = other, CaptureAuto
	s.expect(0)
	s.expectNetworks(true)
}

// One that has closed its output cannot be run again: nobody would hear it.
func TestNoSecondTryBehindClosedOutput(t *testing.T) {
	s := newStage(t, act{prints: unresolved, code: 6}, act{})
	s.options.Argv, s.options.Capture = other, CaptureAuto
	play := s.play
	result, err := Run(t.Context(), s.options, Ports{Acquire: s.acquire, Console: s, Memory: s, Run: func(c child.Command, o child.Options) (child.Result, error) {
		r, err := play(c, o)
		r.Closed = true
		return r, err
	}})
	if err != nil || result.Code != 6 || len(s.runs) != 1 {
		t.Errorf("ended with %d, %v after %d runs", result.Code, err, len(s.runs))
	}
}

func getwd(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

package session

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/agentproxy/agentproxy/profiles/rules"
	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/wrap/inspect"
	"github.com/agentproxy/agentproxy/wrap/plan"
	"github.com/agentproxy/agentproxy/wrap/verdict"
)

// What a host presents behind an upstream takes the place of a client's words.
func TestExplain(t *testing.T) {
	said := verdict.Verdict{Class: rules.TLSTrust, Confidence: 0.6, Line: "words", Advice: "set it"}
	for name, c := range map[string]struct {
		report inspect.Report
		want   verdict.Verdict
	}{
		"an authority that nobody knows": {inspect.Report{Host: "a.example:443", Code: "unknown_root", Detail: "who", Advice: "adopt"},
			verdict.Verdict{Class: rules.TLSTrust, Confidence: 0.97, Source: verdict.Both, Host: "a.example:443", Line: "who", Advice: "adopt"}},
		"one that has expired": {inspect.Report{Host: "a.example:443", Code: "expired", Detail: "when"},
			verdict.Verdict{Class: rules.TLSOther, Confidence: 0.97, Source: verdict.Both, Host: "a.example:443", Line: "when"}},
		"what strict clients refuse": {inspect.Report{Host: "a.example:443", Defects: []ca.Finding{{Subject: "CN=Corp", Detail: "it lacks", Refused: []string{"Python"}, Fix: "issue it anew"}}},
			verdict.Verdict{Class: rules.TLSTrust, Confidence: 0.6, Host: "a.example:443", Line: "CN=Corp: it lacks; refused by Python", Advice: "issue it anew"}},
		"nothing": {inspect.Report{Host: "a.example:443"}, verdict.Verdict{Class: rules.TLSTrust, Confidence: 0.6, Host: "a.example:443", Line: "words", Advice: "set it"}},
	} {
		v := said
		explain(&v, &c.report)
		if v.Class != c.want.Class || v.Confidence != c.want.Confidence || v.Source != c.want.Source || v.Host != c.want.Host || v.Line != c.want.Line || v.Advice != c.want.Advice {
			t.Errorf("%s: %+v, want %+v", name, v, c.want)
		}
	}
}

// The host to look at is one that was tried, and that the verdict or the command names.
func TestSuspect(t *testing.T) {
	two := &attempt{seen: &status.Evidence{Hosts: []status.HostSeen{{Host: "a.example:443"}, {Host: "b.example:8443"}}}}
	one := &attempt{seen: &status.Evidence{Hosts: two.seen.Hosts[:1]}}
	for _, c := range []struct {
		host   string
		a      *attempt
		remote []string
		want   string
	}{
		{"b.example", two, nil, "b.example:8443"},
		{"b.example:8443", two, []string{"a.example"}, "b.example:8443"},
		{"", two, []string{"a.example"}, "a.example:443"},
		{"", two, nil, ""},
		{"", one, nil, "a.example:443"},
		{"c.example", one, nil, ""},
	} {
		if got := suspect(&verdict.Verdict{Host: c.host}, c.a, c.remote); got != c.want {
			t.Errorf("%q, %v: %q, want %q", c.host, c.remote, got, c.want)
		}
	}
}

// Where only others are started, what is remembered is of what they start.
func TestKey(t *testing.T) {
	for _, c := range []struct {
		argv []string
		want string
	}{
		{nil, ""}, {[]string{"/opt/tool", "fetch"}, "tool"}, {[]string{"env", "-i", "A=b", "/usr/bin/curl", "x"}, "env curl"},
		{[]string{"python3.11", "./fetch.py"}, "python3.11 fetch.py"}, {[]string{"sh", "-c", "tool a\ntool b"}, "sh tool a"}, {[]string{"bash"}, "bash"},
	} {
		s := &session{Options: Options{Argv: c.argv}}
		if got := s.key(); got != c.want {
			t.Errorf("%q: %q, want %q", c.argv, got, c.want)
		}
	}
}

// An isolated command sees of our directories what it is pointed at.
func TestIsolationKeeps(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	s := &session{Options: Options{Environ: []string{"XDG_RUNTIME_DIR=/run/user/1"}, Tunnel: attach.Options{Getenv: func(string) string { return "" }}}}
	i := s.isolation(plan.Plan{Argv: []string{"tool", "--ca=" + state + "/ca.crt"}, Changes: []plan.Change{
		{Name: "SSL_CERT_FILE", Value: state + "/bundle.crt"}, {Name: "OPTIONS", Value: "-x " + state + "/store.p12 -y /etc/x"}, {Name: "OTHER", Value: "/elsewhere" + state}}},
		&attach.Tunnel{Dir: state})
	want := []string{state + "/ca.crt", state + "/bundle.crt", state + "/store.p12"}
	if !slices.Equal(i.Kept, want) || i.State[0] != state || !slices.Contains(i.Emptied, "/run/user/1") {
		t.Errorf("%+v, want %q kept", i, want)
	}
}

package verdict

import (
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/profiles/detect"
	"github.com/agentproxy/agentproxy/profiles/rules"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/wrap/classify"
)

func said(class rules.Class, confidence float64, host string) classify.Result {
	return classify.Result{Class: class, Findings: []classify.Finding{{Class: class, Confidence: confidence, Host: host, Line: "the words"}}}
}

func last(r classify.Result) classify.Result {
	r.Findings[0].Closing = true
	return r
}

func failure(kind status.Kind, host string, code int) *status.Failure {
	return &status.Failure{Kind: kind, Host: host + ":443", Code: code, Detail: "the reason"}
}

func seen(hosts []string, failures ...*status.Failure) *status.Evidence {
	e := &status.Evidence{Failures: failures}
	for _, h := range hosts {
		e.Hosts = append(e.Hosts, status.HostSeen{Host: h + ":443", Opened: 1})
	}
	return e
}

func TestJoin(t *testing.T) {
	nothing := classify.Result{Class: rules.None}
	brokeOff := said(rules.UpstreamFailed, 0.4, "")
	brokeOff.Class, brokeOff.Unclear = rules.None, true
	names := func(list ...string) func(string) bool {
		return func(host string) bool {
			for _, h := range list {
				if h == host {
					return true
				}
			}
			return false
		}
	}
	for name, c := range map[string]struct {
		in     Input
		class  rules.Class
		source Source
	}{
		"a success is nothing": {Input{Output: said(rules.TLSTrust, 0.9, "")}, rules.None, ""},
		"the tunnel and the output agree": {Input{Failed: true, Output: said(rules.PolicyDenied, 0.6, "a.test"), Names: names("a.test"),
			Seen: seen(nil, failure(status.PolicyDenied, "a.test", 403))}, rules.PolicyDenied, Both},
		"a denial that the tool hides": {Input{Failed: true, Output: nothing, Names: names(), Seen: seen(nil, failure(status.PolicyDenied, "a.test", 403))},
			rules.PolicyDenied, Proxy},
		"an origin's 403 is not ours": {Input{Failed: true, Output: said(rules.PolicyDenied, 0.8, "a.test"), Names: names("a.test"),
			Seen: seen([]string{"a.test"})}, rules.None, ""},
		"without evidence a denial is only likely": {Input{Failed: true, Output: said(rules.PolicyDenied, 0.9, "a.test")}, rules.PolicyDenied, Output},
		"an upstream's 403":                        {Input{Failed: true, Output: nothing, Names: names("a.test"), Seen: seen(nil, failure(status.ConnectRejected, "a.test", 403))}, rules.PolicyDenied, Both},
		"an upstream's 502":                        {Input{Failed: true, Output: nothing, Names: names("a.test"), Seen: seen(nil, failure(status.ConnectRejected, "a.test", 502))}, rules.UpstreamFailed, Proxy},
		"the proxy was never asked": {Input{Failed: true, Output: said(rules.UpstreamFailed, 0.7, "a.test"), Names: names("a.test"), Seen: seen(nil)},
			rules.ProxyBypassed, Output},
		"a host that was reached is the origin's affair": {Input{Failed: true, Output: said(rules.ProxyBypassed, 0.7, "a.test"), Names: names("a.test"),
			Seen: seen([]string{"a.test"})}, rules.None, ""},
		"another host was reached": {Input{Failed: true, Output: said(rules.ProxyBypassed, 0.7, "a.test"), Names: names("a.test"),
			Seen: seen([]string{"b.test"})}, rules.ProxyBypassed, Output},
		"a name that does not resolve is the egress's": {Input{Failed: true, Output: said(rules.ProxyBypassed, 0.8, "a.test"), Names: names("a.test"),
			Seen: seen(nil, failure(status.NameNotFound, "a.test", 502))}, rules.UpstreamFailed, Both},
		"telemetry that failed is not why": {Input{Failed: true, Output: nothing, Names: names(), Seen: seen([]string{"a.test"}, failure(status.NameNotFound, "t.test", 502))},
			rules.None, ""},
		"unless nothing worked": {Input{Failed: true, Output: nothing, Names: names(), Seen: seen(nil, failure(status.NameNotFound, "t.test", 502))},
			rules.UpstreamFailed, Proxy},
		"nor where the output is about something else": {Input{Failed: true, Output: nothing, Names: names(), TellsOther: func() bool { return true },
			Seen: seen(nil, failure(status.NameNotFound, "t.test", 502))}, rules.None, ""},
		"unless nothing else is said": {Input{Failed: true, Mute: true, Output: nothing, Names: names(), Seen: seen(nil, failure(status.NameNotFound, "t.test", 502))},
			rules.UpstreamFailed, Proxy},
		"a rejected certificate": {Input{Failed: true, Output: said(rules.TLSTrust, 0.9, "a.test"), Names: names("a.test"),
			Seen: seen([]string{"a.test"}, failure(status.ClientTLSRejected, "a.test", 0))}, rules.TLSTrust, Both},
		"one that is rejected for its form": {Input{Failed: true, Output: said(rules.TLSOther, 0.9, "a.test"), Names: names("a.test"),
			Seen: seen([]string{"a.test"}, failure(status.ClientTLSRejected, "a.test", 0))}, rules.TLSOther, Both},
		"distrust that only the tool tells": {Input{Failed: true, Output: said(rules.TLSTrust, 0.9, "a.test"), Names: names("a.test"), Seen: seen([]string{"a.test"})},
			rules.TLSTrust, Output},
		"a transfer that broke off, and the tunnel knows why": {Input{Failed: true, Output: brokeOff, Names: names(), Seen: seen([]string{"a.test"}, failure(status.OriginFailed, "a.test", 0))},
			rules.UpstreamFailed, Both},
		"a transfer that broke off, and the tunnel does not": {Input{Failed: true, Output: brokeOff, Names: names(), Seen: seen([]string{"a.test"})}, rules.None, ""},
		"a transfer that broke off past the tunnel":          {Input{Failed: true, Output: brokeOff, Names: names(), Seen: seen(nil)}, rules.None, ""},
		"what opened no tunnel has not met our certificate":  {Input{Failed: true, Output: said(rules.TLSTrust, 0.9, "a.test"), Seen: seen(nil)}, rules.None, ""},
		"nor what has not asked for that host":               {Input{Failed: true, Output: said(rules.TLSTrust, 0.9, "a.test"), Seen: seen([]string{"b.test"})}, rules.None, ""},
		"nor what took the certificate wherever it asked":    {Input{Failed: true, Output: said(rules.TLSTrust, 0.9, ""), Seen: &status.Evidence{Hosts: []status.HostSeen{{Host: "a.test:443", Opened: 2, Taken: 2}}}}, rules.None, ""},
		"one of two clients did not take it":                 {Input{Failed: true, Output: said(rules.TLSTrust, 0.9, ""), Seen: &status.Evidence{Hosts: []status.HostSeen{{Host: "a.test:443", Opened: 2, Taken: 1}}}}, rules.TLSTrust, Output},
		"what has asked for it, and nobody knows":            {Input{Failed: true, Output: said(rules.TLSTrust, 0.9, "a.test"), Seen: &status.Evidence{Unattributed: 1}}, rules.TLSTrust, Output},
		"a server of the user's own":                         {Input{Failed: true, CommandLine: CommandLine{Loopback: true}, Output: said(rules.TLSTrust, 0.9, ""), Seen: seen([]string{"a.test"})}, rules.None, ""},
		"a setting explains it": {Input{Failed: true, Output: said(rules.ProxyBypassed, 0.9, ""), Seen: seen(nil),
			Conflicts: []detect.Conflict{{Code: "c", File: "/rc", Is: "proxy", Advice: "remove it"}}}, rules.ProxyBypassed, Environment},
		"the user's own server is down": {Input{Failed: true, CommandLine: CommandLine{Loopback: true}, Output: said(rules.ProxyUnreachable, 0.9, "127.0.0.1"), Seen: seen(nil)}, rules.None, ""},
		"the proxy is down":             {Input{Failed: true, Output: said(rules.ProxyUnreachable, 0.9, "127.0.0.1"), Seen: seen(nil)}, rules.ProxyUnreachable, Output},
		"the proxy, by its port": {Input{Failed: true, Output: said(rules.ProxyUnreachable, 0.9, "127.0.0.1"), Seen: seen(nil), CommandLine: CommandLine{ProxyPorts: []string{"3128"}}, Names: names("3128")},
			rules.ProxyUnreachable, Output},
		"the proxy, which is on loopback": {Input{Failed: true, Output: said(rules.ProxyUnreachable, 0.9, "127.0.0.1"), Seen: seen(nil), CommandLine: CommandLine{ProxyPorts: []string{"1"}}, Names: names("1"), Direct: names("127.0.0.1")},
			rules.ProxyUnreachable, Output},
		"a server that is none of the proxies": {Input{Failed: true, Output: said(rules.ProxyUnreachable, 0.9, "127.0.0.1"), Seen: seen(nil), CommandLine: CommandLine{ProxyPorts: []string{"3128"}}, Names: names("8080")},
			rules.None, ""},
		"words that name nobody":               {Input{Failed: true, Output: said(rules.ProxyBypassed, 0.9, ""), Seen: seen(nil)}, rules.None, ""},
		"words that name nobody, and the end":  {Input{Failed: true, Output: last(said(rules.ProxyBypassed, 0.9, "")), Seen: seen(nil)}, rules.ProxyBypassed, Output},
		"a command line that names a host":     {Input{Failed: true, CommandLine: CommandLine{Remote: []string{"a.test"}}, Output: said(rules.ProxyBypassed, 0.9, ""), Seen: seen(nil)}, rules.ProxyBypassed, Output},
		"a host that was asked for":            {Input{Failed: true, CommandLine: CommandLine{Remote: []string{"a.test"}}, Output: said(rules.ProxyBypassed, 0.9, ""), Seen: seen([]string{"a.test"})}, rules.None, ""},
		"a host in NO_PROXY":                   {Input{Failed: true, Direct: names("a.test"), Output: said(rules.TLSTrust, 0.9, "a.test"), Seen: seen([]string{"b.test"})}, rules.None, ""},
		"a refusal in the background":          {Input{Failed: true, Output: nothing, Names: names(), Seen: seen([]string{"a.test"}, failure(status.PolicyDenied, "t.test", 403))}, rules.None, ""},
		"a refusal, and the end is of another": {Input{Failed: true, CommandLine: CommandLine{Remote: []string{"a.test"}}, Output: said(rules.UpstreamFailed, 0.9, ""), Names: names(), Seen: seen([]string{"a.test"}, failure(status.PolicyDenied, "t.test", 403))}, rules.None, ""},
		"a refusal behind what re-terminates":  {Input{Failed: true, Opaque: true, Output: said(rules.PolicyDenied, 0.9, "a.test"), Seen: seen([]string{"a.test"})}, rules.PolicyDenied, Output},
		"too weak to say":                      {Input{Failed: true, Output: said(rules.TLSTrust, 0.3, "")}, rules.None, ""},
	} {
		v := Of(c.in)
		if v.Class != c.class || c.source != "" && v.Source != c.source {
			t.Errorf("%s: %+v", name, v)
		}
		if v.Final != v.Class.Final() {
			t.Errorf("%s: final is %v", name, v.Final)
		}
	}
}

// Every kind of failure that the tunnel notes has its class.
func TestClassOf(t *testing.T) {
	for kind, want := range map[status.Kind]rules.Class{
		status.PolicyDenied: rules.PolicyDenied, status.ProxyAuthRequired: rules.ProxyAuth407, status.NameNotFound: rules.UpstreamFailed,
		status.OriginRefused: rules.UpstreamFailed, status.OriginTimeout: rules.UpstreamFailed, status.OriginTLS: rules.UpstreamFailed,
		status.OriginFailed: rules.UpstreamFailed, status.UpstreamUnreachable: rules.UpstreamFailed, status.PortNotAllowed: rules.UnsupportedProtocol,
		status.ClientCertRequested: rules.UnsupportedProtocol, status.NotTLS: rules.UnsupportedProtocol, status.ClientTLSRejected: rules.TLSTrust,
		status.PlainHTTP: rules.PlainHTTP405, status.BadRequest: rules.None, status.Misdirected: rules.None,
	} {
		if got := ClassOf(&status.Failure{Kind: kind}); got != want {
			t.Errorf("%s: %s", kind, got)
		}
	}
}

// Where a command takes the run's environment away, that is the advice, and not what
// the run was given already.
func TestAdviceKnowsWhatResetsTheEnvironment(t *testing.T) {
	in := Input{Failed: true, Output: said(rules.ProxyBypassed, 0.9, "a.test"), Seen: seen(nil), Resets: []string{"sudo -E"}}
	if v := Of(in); v.Class != rules.ProxyBypassed || v.Advice != "sudo -E" {
		t.Errorf("%+v", v)
	}
	in.Resets = nil
	if v := Of(in); v.Advice == "sudo -E" {
		t.Errorf("%+v", v)
	}
}

// In a run no advice names what the run has set.
func TestNoAdviceInACircle(t *testing.T) {
	in := Input{Failed: true, Seen: seen([]string{"a.test"}), Given: func(variable string) bool { return variable == "SSL_CERT_FILE" }}
	for advice, circular := range map[string]bool{
		"run it as: agentproxy exec -- <command>":            true,
		"export SSL_CERT_FILE=$AGENT_PROXY_CA_BUNDLE_PATH":   true,
		"export OTHER_CA=$AGENT_PROXY_CA_BUNDLE_PATH":        false,
		"agentproxy exec --capture always -- tool …":         false,
		"leave it alone with policy.passthrough = [\"a.b\"]": false,
	} {
		in.Output = said(rules.TLSTrust, 0.9, "a.test")
		in.Output.Findings[0].Advice = advice
		if v := Of(in); v.Class != rules.TLSTrust || (v.Advice != advice) != circular || v.Advice == "" {
			t.Errorf("%q becomes %q", advice, v.Advice)
		}
	}
	in = Input{Failed: true, Seen: seen(nil), CommandLine: CommandLine{Plain: []string{"a.test"}}, Output: said(rules.ProxyBypassed, 0.9, "a.test"), Given: in.Given}
	if v := Of(in); v.Advice != "http:// does not go through the tunnel: ask for https://a.test" {
		t.Errorf("%q", v.Advice)
	}
}

// SSH that went its own way is told by what kept it from HTTPS.
func TestAdviceOnSSH(t *testing.T) {
	in := Input{Failed: true, Output: said(rules.GitSSH, 0.9, "a.test"), Seen: seen(nil), OwnSSH: "GIT_SSH_COMMAND is set"}
	if v := Of(in); v.Class != rules.GitSSH || !strings.Contains(v.Advice, "because GIT_SSH_COMMAND is set") {
		t.Errorf("%+v", v)
	}
}

// What a policy refused in the background is told beside the verdict.
func TestAlso(t *testing.T) {
	in := Input{Failed: true, Names: func(host string) bool { return host == "a.test" },
		Seen: seen([]string{"b.test"}, failure(status.PolicyDenied, "t.test", 403), failure(status.PolicyDenied, "t.test", 403), failure(status.PolicyDenied, "a.test", 403))}
	if v := Of(in); v.Host != "a.test:443" || len(v.Also) != 1 || v.Also[0] != "t.test:443" {
		t.Errorf("%+v", v)
	}
}

// What is said inside a container is less sure, and no affair of ours where the tunnel
// reached the host.
func TestContainers(t *testing.T) {
	in := Input{Failed: true, Output: said(rules.PolicyDenied, 0.9, "a.test"), Seen: seen(nil)}
	in.Output.Container = true
	if v := Of(in); v.Class != rules.PolicyDenied || v.Confidence != 0.6 || !v.Container {
		t.Errorf("%+v", v)
	}
	in.Output = said(rules.UpstreamFailed, 0.9, "a.test")
	in.Output.Container, in.Seen = true, seen([]string{"a.test"})
	if v := Of(in); v.Class != rules.None {
		t.Errorf("%+v", v)
	}
	in.Output = said(rules.ProxyUnreachable, 0.9, "127.0.0.1")
	in.Output.Container, in.Loopback = true, true
	if v := Of(in); v.Class != rules.None {
		t.Errorf("%+v", v)
	}
	// Where the tunnel saw it, too, it still is a daemon's, to which nothing of the run's leads.
	in.Output = said(rules.TLSTrust, 0.9, "a.test")
	in.Output.Container, in.Loopback, in.Seen = true, false, seen([]string{"a.test"}, failure(status.ClientTLSRejected, "a.test", 0))
	in.Given = func(variable string) bool { return variable == "SSL_CERT_FILE" }
	in.Advice = func(string, rules.Class) string { return `give its service SSL_CERT_FILE="…"` }
	if v := Of(in); v.Class != rules.TLSTrust || v.Source != Both || !v.Container || v.Advice != `give its service SSL_CERT_FILE="…"` {
		t.Errorf("%+v", v)
	}
}

// Without the tunnel's word a server of the user's own is none of ours either.
func TestOwnServersWithoutEvidence(t *testing.T) {
	for _, class := range []rules.Class{rules.TLSTrust, rules.TLSOther, rules.Pinned, rules.ProxyUnreachable} {
		if v := Of(Input{Failed: true, CommandLine: CommandLine{Loopback: true}, Output: said(class, 0.9, "")}); v.Class != rules.None {
			t.Errorf("%s: %+v", class, v)
		}
	}
}

package verdict

import (
	"testing"

	"github.com/agentproxy/agentproxy/profiles"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/wrap/classify"
)

func said(class profiles.Class, confidence float64, host string) classify.Verdict {
	return classify.Verdict{Class: class, Findings: []classify.Finding{{Class: class, Confidence: confidence, Host: host, Line: "the words"}}}
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
	nothing := classify.Verdict{Class: profiles.None}
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
		class  profiles.Class
		source Source
	}{
		"a success is nothing": {Input{Output: said(profiles.TLSTrust, 0.9, "")}, profiles.None, ""},
		"the tunnel and the output agree": {Input{Failed: true, Output: said(profiles.PolicyDenied, 0.6, "a.test"), Names: names("a.test"),
			Seen: seen(nil, failure(status.PolicyDenied, "a.test", 403))}, profiles.PolicyDenied, Both},
		"a denial that the tool hides": {Input{Failed: true, Output: nothing, Names: names(), Seen: seen(nil, failure(status.PolicyDenied, "a.test", 403))},
			profiles.PolicyDenied, Proxy},
		"an origin's 403 is not ours": {Input{Failed: true, Output: said(profiles.PolicyDenied, 0.8, "a.test"), Names: names("a.test"),
			Seen: seen([]string{"a.test"})}, profiles.None, ""},
		"without evidence a denial is only likely": {Input{Failed: true, Output: said(profiles.PolicyDenied, 0.9, "a.test")}, profiles.PolicyDenied, Output},
		"an upstream's 403":                        {Input{Failed: true, Output: nothing, Names: names("a.test"), Seen: seen(nil, failure(status.ConnectRejected, "a.test", 403))}, profiles.PolicyDenied, Both},
		"an upstream's 502":                        {Input{Failed: true, Output: nothing, Names: names("a.test"), Seen: seen(nil, failure(status.ConnectRejected, "a.test", 502))}, profiles.UpstreamFailed, Proxy},
		"the proxy was never asked": {Input{Failed: true, Output: said(profiles.UpstreamFailed, 0.7, "a.test"), Names: names("a.test"), Seen: seen(nil)},
			profiles.ProxyBypassed, Both},
		"a host that was reached is the origin's affair": {Input{Failed: true, Output: said(profiles.ProxyBypassed, 0.7, "a.test"), Names: names("a.test"),
			Seen: seen([]string{"a.test"})}, profiles.None, ""},
		"another host was reached": {Input{Failed: true, Output: said(profiles.ProxyBypassed, 0.7, "a.test"), Names: names("a.test"),
			Seen: seen([]string{"b.test"})}, profiles.ProxyBypassed, Output},
		"a name that does not resolve is the egress's": {Input{Failed: true, Output: said(profiles.ProxyBypassed, 0.8, "a.test"), Names: names("a.test"),
			Seen: seen(nil, failure(status.NameNotFound, "a.test", 502))}, profiles.UpstreamFailed, Both},
		"telemetry that failed is not why": {Input{Failed: true, Output: nothing, Names: names(), Seen: seen([]string{"a.test"}, failure(status.NameNotFound, "t.test", 502))},
			profiles.None, ""},
		"unless nothing worked": {Input{Failed: true, Output: nothing, Names: names(), Seen: seen(nil, failure(status.NameNotFound, "t.test", 502))},
			profiles.UpstreamFailed, Proxy},
		"unless nothing else is said": {Input{Failed: true, Mute: true, Output: nothing, Names: names(), Seen: seen(nil, failure(status.NameNotFound, "t.test", 502))},
			profiles.UpstreamFailed, Proxy},
		"a rejected certificate": {Input{Failed: true, Output: said(profiles.TLSTrust, 0.9, "a.test"), Names: names("a.test"),
			Seen: seen([]string{"a.test"}, failure(status.ClientTLSRejected, "a.test", 0))}, profiles.TLSTrust, Both},
		"one that is rejected for its form": {Input{Failed: true, Output: said(profiles.TLSOther, 0.9, "a.test"), Names: names("a.test"),
			Seen: seen([]string{"a.test"}, failure(status.ClientTLSRejected, "a.test", 0))}, profiles.TLSOther, Both},
		"distrust that only the tool tells": {Input{Failed: true, Output: said(profiles.TLSTrust, 0.9, "a.test"), Names: names("a.test"), Seen: seen([]string{"a.test"})},
			profiles.TLSTrust, Output},
		"a setting explains it": {Input{Failed: true, Output: said(profiles.ProxyBypassed, 0.9, ""), Seen: seen(nil),
			Conflicts: []profiles.Conflict{{Code: "c", File: "/rc", Is: "proxy", Advice: "remove it"}}}, profiles.ProxyBypassed, Environment},
		"the user's own server is down": {Input{Failed: true, Loopback: true, Output: said(profiles.ProxyUnreachable, 0.9, "127.0.0.1"), Seen: seen(nil)}, profiles.None, ""},
		"the proxy is down":             {Input{Failed: true, Output: said(profiles.ProxyUnreachable, 0.9, "127.0.0.1"), Seen: seen(nil)}, profiles.ProxyUnreachable, Output},
		"too weak to say":               {Input{Failed: true, Output: said(profiles.TLSTrust, 0.3, "")}, profiles.None, ""},
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
	for kind, want := range map[status.Kind]profiles.Class{
		status.PolicyDenied: profiles.PolicyDenied, status.ProxyAuthRequired: profiles.ProxyAuth407, status.NameNotFound: profiles.UpstreamFailed,
		status.OriginRefused: profiles.UpstreamFailed, status.OriginTimeout: profiles.UpstreamFailed, status.OriginTLS: profiles.UpstreamFailed,
		status.OriginFailed: profiles.UpstreamFailed, status.UpstreamUnreachable: profiles.UpstreamFailed, status.PortNotAllowed: profiles.UnsupportedProtocol,
		status.ClientCertRequested: profiles.UnsupportedProtocol, status.NotTLS: profiles.UnsupportedProtocol, status.ClientTLSRejected: profiles.TLSTrust,
		status.PlainHTTP: profiles.PlainHTTP405, status.BadRequest: profiles.None, status.Misdirected: profiles.None,
	} {
		if got := ClassOf(&status.Failure{Kind: kind}); got != want {
			t.Errorf("%s: %s", kind, got)
		}
	}
}

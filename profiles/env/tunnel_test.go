package env

import (
	"strings"
	"testing"
)

var tunnel = Tunnel{
	URL: "http://127.0.0.1:4711", Host: "127.0.0.1", Port: "4711", StateDir: "/state", PublicDir: "/public",
	CA: "/state/ca.crt", Bundle: "/state/bundle.crt", JavaStore: "/state/store.p12", JavaStorePassword: "changeit", Run: "run-1",
}

// Templates get what the tunnel is, and a NO_PROXY that keeps what the user has
// said in either letter case.
func TestFacts(t *testing.T) {
	t.Parallel()
	facts := tunnel.Facts([]string{"NO_PROXY=a.test", "no_proxy=b.test"})
	for name, want := range map[string]string{
		"url": tunnel.URL, "host": tunnel.Host, "port": tunnel.Port, "state": tunnel.StateDir, "ca": tunnel.CA, "bundle": tunnel.Bundle,
		"java_store": tunnel.JavaStore, "java_password": tunnel.JavaStorePassword, "run": tunnel.Run,
		"no_proxy":        Loopback + ",a.test,.a.test,b.test,.b.test",
		"non_proxy_hosts": "localhost|127.*|[::1]|*.localhost|0.0.0.0|a.test|*.a.test|b.test|*.b.test",
	} {
		if facts[name] != want {
			t.Errorf("%s is %q, want %q", name, facts[name], want)
		}
	}
}

// A fact that is not there is told from an empty one: a template that names it sets
// nothing.
func TestFactsThatAreNotThere(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"config", "upstream"} {
		if value, ok := tunnel.Facts(nil)[name]; ok {
			t.Errorf("%s is %q", name, value)
		}
	}
	with := tunnel
	with.Config, with.Upstream = "/my.toml", "http://proxy.example:3128"
	if facts := with.Facts(nil); facts["config"] != with.Config || facts["upstream"] != with.Upstream {
		t.Errorf("%v", facts)
	}
}

// Loopback is in the form that merging leaves alone, or each nested run would
// change it.
func TestLoopbackIsStable(t *testing.T) {
	t.Parallel()
	if got := NoProxy(Loopback); got != Loopback {
		t.Errorf("%s", got)
	}
	for entry := range strings.SplitSeq(Loopback, ",") {
		if host := strings.TrimPrefix(entry, "."); !strings.Contains(entry, "/") && !IsLoopback(host) {
			t.Errorf("%s is not this machine", entry)
		}
	}
}

// Only what we have set is ours: a value of the user's that begins alike is theirs,
// and is merged rather than replaced.
func TestOurs(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]bool{
		"http://127.0.0.1:4711": true, "http://127.0.0.1:4711/": true, "/state/ca.crt": true, "/public/hooks/x": true,
		"": false, "http://127.0.0.1:47110": false, "/statement/ca.crt": false, "/state": false, "/etc/ssl/cert.pem": false,
	} {
		if got := tunnel.Ours(value); got != want {
			t.Errorf("%q: %v", value, got)
		}
	}
	if (Tunnel{URL: "http://127.0.0.1:1"}).Ours("/etc/ssl/cert.pem") {
		t.Error("without a state directory every path is ours")
	}
}

package env

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestApplyKeepsOrder(t *testing.T) {
	in := []string{"A=1", "B=2", "A=3", "odd", "C=", "D=x=y"}
	got := Apply(in, []Edit{{Name: "N", Value: "new"}, {Name: "A", Value: "one"}, {Name: "C", Unset: true}, {Name: "M", Value: ""}})
	want := []string{"A=one", "B=2", "odd", "D=x=y", "N=new", "M="}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if in[0] != "A=1" {
		t.Error("the input was changed")
	}
}

func TestNoProxy(t *testing.T) {
	for in, want := range map[string]string{
		"":                               "localhost,127.0.0.1,::1,.localhost,127.0.0.0/8,0.0.0.0",
		"Example.COM, .b.test  *.c.test": "localhost,127.0.0.1,::1,.localhost,127.0.0.0/8,0.0.0.0,example.com,.example.com,.b.test,.c.test",
		"localhost,10.0.0.0/8,host,[::1]:80,h.test:443": "localhost,127.0.0.1,::1,.localhost,127.0.0.0/8,0.0.0.0,10.0.0.0/8,host,[::1]:80,h.test:443",
		"a.test,a.test,.a.test":                         "localhost,127.0.0.1,::1,.localhost,127.0.0.0/8,0.0.0.0,a.test,.a.test",
		",,":                                            "localhost,127.0.0.1,::1,.localhost,127.0.0.0/8,0.0.0.0",
	} {
		got := NoProxy("localhost,127.0.0.1,::1,.localhost,127.0.0.0/8,0.0.0.0", in)
		if got != want {
			t.Errorf("%q:\n got %s\nwant %s", in, got, want)
		}
		if again := NoProxy(got); again != got {
			t.Errorf("%q grows when merged again: %s", in, again)
		}
	}
}

func TestNonProxyHosts(t *testing.T) {
	got := NonProxyHosts(NoProxy("localhost,127.0.0.1,::1,.localhost,127.0.0.0/8,0.0.0.0", "a.test,10.0.0.0/8,192.0.2.1"))
	if want := "localhost|127.*|[::1]|*.localhost|0.0.0.0|a.test|*.a.test|192.0.2.1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// IPv6 addresses are in brackets, as the JVM wants them; a prefix has no form there
// and is left out rather than made to mean something else.
func TestNonProxyHostsOfAddresses(t *testing.T) {
	t.Parallel()
	got := NonProxyHosts("::1,2001:db8::1,[2001:db8::2],,10.0.0.0/8,127.0.0.1,b.test,b.test")
	if want := "localhost|127.*|[::1]|[2001:db8::1]|[2001:db8::2]|b.test"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Of two values of one name the first counts, as for getenv(3); an empty one is
// set; a name is not taken for a longer one that begins so.
func TestLookup(t *testing.T) {
	t.Parallel()
	environ := []string{"PATHS=no", "PATH=/bin", "PATH=/sbin", "EMPTY=", "odd"}
	for name, want := range map[string]struct {
		value string
		ok    bool
	}{"PATH": {"/bin", true}, "EMPTY": {"", true}, "odd": {"", false}, "PAT": {"", false}} {
		value, ok := Lookup(environ, name)
		if value != want.value || ok != want.ok || Get(environ, name) != want.value {
			t.Errorf("%s: %q, %v", name, value, ok)
		}
	}
}

// What is this machine by its spelling goes past the tunnel; nothing that only
// looks like it does, since whoever owns that name would be reached unguarded.
func TestIsLoopback(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"localhost": true, "LOCALHOST.": true, "a.b.localhost": true, "127.0.0.1": true, "127.255.1.2": true, "127.1": true, "127.0.1": true, "127.1.": true,
		"::1": true, "[::1]": true, "::ffff:127.0.0.1": true, "0.0.0.0": true, "::": true, "[::]": true,
		"": false, "localhost.example": false, "notlocalhost": false, "127.0.0.1.example": false, "127.x": false, "127.": false, "127..1": false,
		"127": false, "128.1": false, "127.0.0.0.1": false, "10.0.0.1": false, "::2": false, "2001:db8::1": false, "localhost:80": false,
	} {
		if got := IsLoopback(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}

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
		"":                               "localhost,127.0.0.1,::1",
		"Example.COM, .b.test  *.c.test": "localhost,127.0.0.1,::1,example.com,.example.com,.b.test,.c.test",
		"localhost,10.0.0.0/8,host,[::1]:80,h.test:443": "localhost,127.0.0.1,::1,10.0.0.0/8,host,[::1]:80,h.test:443",
		"a.test,a.test,.a.test":                         "localhost,127.0.0.1,::1,a.test,.a.test",
		",,":                                            "localhost,127.0.0.1,::1",
	} {
		got := NoProxy("localhost,127.0.0.1,::1", in)
		if got != want {
			t.Errorf("%q:\n got %s\nwant %s", in, got, want)
		}
		if again := NoProxy(got); again != got {
			t.Errorf("%q grows when merged again: %s", in, again)
		}
	}
}

func TestNonProxyHosts(t *testing.T) {
	got := NonProxyHosts(NoProxy("localhost,127.0.0.1,::1", "a.test,10.0.0.0/8,192.0.2.1"))
	if want := "localhost|127.*|[::1]|a.test|*.a.test|192.0.2.1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

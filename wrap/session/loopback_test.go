package session

import (
	"testing"

	"github.com/agentproxy/agentproxy/profiles/env"
	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/wrap/plan"
)

// There are two tests of loopback, since profiles may not import proxy; they say
// the same.
func TestBothTestsOfLoopbackAgree(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LocalHost": true, "localhost.": true, "a.b.localhost": true, "127.0.0.1": true, "127.255.0.9": true,
		"127.1": true, "127.0.1": true, "[::1]": true, "0.0.0.0": true, "[::ffff:127.0.0.1]": true, "[::]": true,
		"localhost.corp.example": false, "127.corp.example": false, "127.0.0.1.nip.example": false, "notlocalhost": false, "128.0.0.1": false,
		"10.0.0.1": false, "[fe80::1]": false, "[::ffff:10.0.0.1]": false, "127": false, "127.": false, "": false, "host": false,
	} {
		if h, err := policy.ParseHost(host); (err == nil && h.IsLoopback()) != want {
			t.Errorf("policy: %q is %v", host, !want)
		}
		if env.IsLoopback(host) != want {
			t.Errorf("env: %q is %v", host, !want)
		}
	}
	if !env.IsLoopback("::1") {
		t.Error("an address without brackets is one, too")
	}
}

func TestDirect(t *testing.T) {
	isDirect := direct(plan.Plan{Environ: []string{"NO_PROXY=localhost,.corp.example,10.0.0.0/8"}})
	for host, want := range map[string]bool{"localhost": true, "127.0.0.2": true, "git.corp.example": true, "10.1.2.3": true, "a.example": false, "11.0.0.1": false} {
		if isDirect(host) != want {
			t.Errorf("%s: %v", host, !want)
		}
	}
}

package egress

import (
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/status"
)

// What agentproxy has run out of is not the origin's doing.
func TestOurOwnLimitsAreNotTheOrigins(t *testing.T) {
	target, err := policy.ParseTarget("a.test:443")
	if err != nil {
		t.Fatal(err)
	}
	dial := func(errno syscall.Errno) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("socket", errno)}
	}
	for name, c := range map[string]struct {
		err error
		by  string
	}{
		"descriptors":                   {dial(syscall.EMFILE), "front"},
		"the system's":                  {dial(syscall.ENFILE), "front"},
		"local ports":                   {dial(syscall.EADDRNOTAVAIL), "front"},
		"descriptors while it resolves": {&net.OpError{Op: "dial", Err: &net.DNSError{Err: "dial udp 192.0.2.1:53: socket: too many open files", Name: "a.test"}}, "front"},
		"refused":                       {dial(syscall.ECONNREFUSED), "origin"},
		"no route":                      {dial(syscall.EHOSTUNREACH), "origin"},
	} {
		f := dialFailure(target, c.err, "")
		if f.By != c.by || c.by == "front" && (f.Kind != status.OriginFailed || f.Code != 503 || !strings.Contains(f.Advice, "ulimit -n")) {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

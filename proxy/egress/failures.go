package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/agentproxy/agentproxy/proxy/handshake"
	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/status"
)

// dialFailure words an error of name resolution or TCP.
func dialFailure(t policy.Target, err error, waiting string) *status.Failure {
	f := &status.Failure{TS: status.Now(), Code: 502, Host: t.String(), By: "origin", Err: err}
	var dns *net.DNSError
	switch {
	case exhausted(err):
		return ownLimit(t, err)
	case errors.As(err, &dns) && dns.IsNotFound:
		f.Kind, f.Detail = status.NameNotFound, fmt.Sprintf("the name %s does not resolve", t.Host)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), isTimeout(err):
		return timeout(t, waiting, err)
	case errors.As(err, &dns):
		f.Kind, f.Detail = status.NameNotFound, fmt.Sprintf("the name %s could not be resolved: %s", t.Host, dns.Err)
	case errors.Is(err, syscall.ECONNREFUSED):
		f.Kind, f.Detail = status.OriginRefused, fmt.Sprintf("%s refused the connection", t)
	default:
		f.Kind, f.Detail = status.OriginRefused, fmt.Sprintf("%s cannot be reached: %s", t, status.Cause(err))
	}
	return f
}

// exhausted reports whether an error is of our own having run out of something,
// and nothing of the origin's: descriptors, or local ports. (A resolver's error has
// it in words only.)
func exhausted(err error) bool {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.EADDRNOTAVAIL} {
		if errors.Is(err, errno) {
			return true
		}
	}
	var dns *net.DNSError
	return errors.As(err, &dns) && strings.Contains(dns.Err, syscall.EMFILE.Error())
}

func ownLimit(t policy.Target, err error) *status.Failure {
	return &status.Failure{TS: status.Now(), Kind: status.OriginFailed, Code: 503, Host: t.String(), By: "front", Reason: "exhausted", Err: err,
		Detail: fmt.Sprintf("agentproxy itself is at a limit and could not dial %s: %s", t, status.Cause(err)),
		Advice: "close what is no longer needed, or raise the limit and start the tunnel anew: ulimit -n 65536; agentproxy down; agentproxy up"}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// tlsFailure words a failed handshake with an origin.
func tlsFailure(t policy.Target, err error) *status.Failure {
	reason, detail := handshake.Reason(t.Host.String(), t.String(), err)
	return &status.Failure{TS: status.Now(), Kind: status.OriginTLS, Code: 502, Host: t.String(), By: "origin",
		Reason: reason, Detail: detail, Advice: handshake.Advice(reason), Err: err}
}

func certRequested(t policy.Target, err error) *status.Failure {
	return &status.Failure{TS: status.Now(), Kind: status.ClientCertRequested, Code: 502, Host: t.String(), By: "origin",
		Detail: fmt.Sprintf("%s asked for a client certificate, which cannot pass a re-terminating egress, and ended the connection", t),
		Advice: "to let the client present its own, name the host in the configuration: policy.passthrough", Err: err}
}

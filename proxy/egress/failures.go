package egress

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/status"
)

// dialFailure words an error of name resolution or TCP.
func dialFailure(t policy.Target, err error, waiting string) *status.Failure {
	f := &status.Failure{TS: status.Now(), Code: 502, Host: t.String(), By: "origin", Err: err}
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		f.Kind, f.Detail = status.NameNotFound, fmt.Sprintf("the name %s does not resolve", t.Host)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), isTimeout(err):
		return timeout(t, waiting, err)
	case errors.As(err, &dns):
		f.Kind, f.Detail = status.NameNotFound, fmt.Sprintf("the name %s could not be resolved: %s", t.Host, dns.Err)
	case errors.Is(err, syscall.ECONNREFUSED):
		f.Kind, f.Detail = status.OriginRefused, fmt.Sprintf("%s refused the connection", t)
	default:
		f.Kind, f.Detail = status.OriginRefused, fmt.Sprintf("%s cannot be reached: %s", t, cause(err))
	}
	return f
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// cause strips the addresses that net.OpError puts before the cause.
func cause(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	var sys *os.SyscallError
	if errors.As(err, &sys) {
		err = sys.Err
	}
	return err.Error()
}

// tlsFailure words a failed handshake with an origin.
func tlsFailure(t policy.Target, err error) *status.Failure {
	reason, detail := tlsReason(t, err)
	return &status.Failure{TS: status.Now(), Kind: status.OriginTLS, Code: 502, Host: t.String(), By: "origin",
		Reason: reason, Detail: detail, Advice: tlsAdvice[reason], Err: err}
}

// noHTTP1 is the reason when an origin refuses the protocols that it was offered.
const noHTTP1 = "alpn"

var errNoHTTP1 = errors.New("the origin did not take HTTP/1.1")

// tlsAdvice is what helps, by reason.
var tlsAdvice = map[string]string{
	"unknown_root":     "if this authority is your organisation's, name its PEM file in the configuration: egress.extra_roots",
	"self_signed":      "if this certificate is meant to be trusted, name its PEM file in the configuration: egress.extra_roots",
	"incomplete_chain": "the server's operator must send the intermediate certificate; until then name it in egress.extra_roots",
	"not_tls":          "if the port carries another protocol, name the host in policy.passthrough",
}

// weakError is a certificate that verifies but must not be relied on.
type weakError struct{ what string }

func (e *weakError) Error() string { return e.what }

// refuseWeak refuses RSA keys below 2048 and curves below 224 bits (NIST SP
// 800-57; CA/Browser Forum baseline requirements §6.1.5). SHA-1 signatures are
// refused by crypto/x509 itself.
func refuseWeak(cs tls.ConnectionState) error {
	for _, cert := range cs.PeerCertificates {
		switch key := cert.PublicKey.(type) {
		case *rsa.PublicKey:
			if key.N.BitLen() < 2048 {
				return &weakError{fmt.Sprintf("a certificate has an RSA key of %d bits only", key.N.BitLen())}
			}
		case *ecdsa.PublicKey:
			if key.Curve.Params().BitSize < 224 {
				return &weakError{fmt.Sprintf("a certificate has a key on the weak curve %s", key.Curve.Params().Name)}
			}
		}
	}
	return nil
}

// tlsReason returns the short code and the sentence for a handshake error.
func tlsReason(t policy.Target, err error) (reason, detail string) {
	say := func(reason, format string, args ...any) (string, string) {
		return reason, fmt.Sprintf("the certificate of %s ", t.Host) + fmt.Sprintf(format, args...)
	}
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	var unknown x509.UnknownAuthorityError
	var weak *weakError
	var header tls.RecordHeaderError
	switch {
	case errors.As(err, &weak):
		return say("weak_key", "is too weak: %s", weak.what)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		if time.Now().Before(invalid.Cert.NotBefore) {
			return say("not_yet_valid", "is not valid before %s", invalid.Cert.NotBefore.UTC().Format(time.RFC3339))
		}
		return say("expired", "expired on %s", invalid.Cert.NotAfter.UTC().Format(time.RFC3339))
	case errors.As(err, &name):
		return say("wrong_name", "is for other names: %s", names(name.Certificate))
	case errors.As(err, &unknown):
		return say(issuerReason(err, unknown.Cert))
	case errors.As(err, &invalid):
		return say("invalid", "is invalid: %s", strings.TrimPrefix(invalid.Error(), "x509: "))
	case errors.As(err, &header):
		return "not_tls", fmt.Sprintf("%s does not speak TLS", t)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.ErrUnexpectedEOF):
		return "closed", fmt.Sprintf("%s closed the connection during the TLS handshake", t)
	case strings.Contains(err.Error(), "protocol version"):
		return "protocol", fmt.Sprintf("%s speaks only a version of TLS older than 1.2", t)
	case errors.Is(err, errNoHTTP1), strings.Contains(err.Error(), "no application protocol"):
		return noHTTP1, fmt.Sprintf("%s does not speak HTTP/1.1", t)
	case rejection(err) != "":
		return "alert", fmt.Sprintf("%s ended the TLS handshake: %s", t, rejection(err))
	}
	return "handshake", fmt.Sprintf("the TLS handshake with %s failed: %s", t, strings.TrimPrefix(err.Error(), "tls: "))
}

// issuerReason tells the ways in which an issuer can be unknown apart, as far
// as the certificates that the server sent allow.
func issuerReason(err error, leaf *x509.Certificate) (reason, format string, issuer any) {
	sent := []*x509.Certificate{leaf}
	var verify *tls.CertificateVerificationError
	if errors.As(err, &verify) {
		sent = verify.UnverifiedCertificates
	}
	last := sent[len(sent)-1]
	selfSigned := string(last.RawIssuer) == string(last.RawSubject)
	switch {
	case selfSigned && len(sent) == 1:
		return "self_signed", "is self-signed (%s)", last.Subject
	case !selfSigned && len(last.IssuingCertificateURL) > 0:
		// A certificate that says where to fetch its issuer, from a server that
		// does not send it: the intermediate is missing (RFC 5246 §7.4.2).
		return "incomplete_chain", "comes without the intermediate certificate of its issuer (%s)", last.Issuer
	}
	return "unknown_root", "is issued by an authority that is not trusted here (%s)", last.Issuer
}

func names(cert *x509.Certificate) string {
	all := append([]string(nil), cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		all = append(all, ip.String())
	}
	switch {
	case len(all) == 0:
		return "none in its subject alternative names"
	case len(all) > 4:
		all = append(all[:4], "…")
	}
	return strings.Join(all, ", ")
}

func certRequested(t policy.Target, err error) *status.Failure {
	return &status.Failure{TS: status.Now(), Kind: status.ClientCertRequested, Code: 502, Host: t.String(), By: "origin",
		Detail: fmt.Sprintf("%s asked for a client certificate, which cannot pass a re-terminating egress, and ended the connection", t),
		Advice: "to let the client present its own, name the host in the configuration: policy.passthrough", Err: err}
}

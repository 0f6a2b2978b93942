// Package handshake says in words why a TLS handshake failed, for those who meet
// servers: the egress, and whoever looks behind one.
package handshake

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"
)

// NoHTTP1 is the reason when a server refuses the protocols that it was offered.
const NoHTTP1 = "alpn"

// ErrNoHTTP1 is its error where the server goes on without any.
var ErrNoHTTP1 = errors.New("the origin did not take HTTP/1.1")

// Advice returns what helps, by reason; "" for nothing on this side.
func Advice(reason string) string { return advice[reason] }

var advice = map[string]string{
	"unknown_root":     "if this authority is your organisation's: agentproxy ca adopt HOST, or egress.extra_roots in the configuration",
	"self_signed":      "if this certificate is meant to be trusted, name its PEM file in the configuration: egress.extra_roots",
	"incomplete_chain": "the server's operator must send the intermediate certificate; until then name it in egress.extra_roots",
	"not_tls":          "if the port carries another protocol, name the host in policy.passthrough",
}

// weakError is a certificate that verifies but must not be relied on.
type weakError struct{ what string }

func (e *weakError) Error() string { return e.what }

// RefuseWeak refuses RSA keys below 2048 and curves below 224 bits (NIST SP
// 800-57; CA/Browser Forum baseline requirements §6.1.5). SHA-1 signatures are
// refused by crypto/x509 itself.
func RefuseWeak(cs tls.ConnectionState) error {
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

// Reason returns a short code and a sentence for the error of a handshake with a
// server: its host, and its authority (host:port).
func Reason(host, authority string, err error) (reason, detail string) {
	say := func(reason, format string, args ...any) (string, string) {
		return reason, fmt.Sprintf("the certificate of %s ", host) + fmt.Sprintf(format, args...)
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
		return "not_tls", fmt.Sprintf("%s does not speak TLS", authority)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.ErrUnexpectedEOF):
		return "closed", fmt.Sprintf("%s closed the connection during the TLS handshake", authority)
	case strings.Contains(err.Error(), "protocol version"):
		return "protocol", fmt.Sprintf("%s speaks only a version of TLS older than 1.2", authority)
	case errors.Is(err, ErrNoHTTP1), strings.Contains(err.Error(), "no application protocol"):
		return NoHTTP1, fmt.Sprintf("%s does not speak HTTP/1.1", authority)
	case Alert(err) != "":
		return "alert", fmt.Sprintf("%s ended the TLS handshake: %s", authority, Alert(err))
	}
	return "handshake", fmt.Sprintf("the TLS handshake with %s failed: %s", authority, strings.TrimPrefix(err.Error(), "tls: "))
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

// Alert returns the alert by which a peer refused our certificate, "" for none.
// OpenSSL sends it in the clear even in TLS 1.3, which crypto/tls sees as a
// record that does not decrypt (measured with 80 clients).
func Alert(err error) string {
	text := err.Error()
	switch {
	case strings.HasPrefix(text, "remote error: tls: "):
		return strings.TrimPrefix(text, "remote error: tls: ")
	case strings.Contains(text, "tls: bad record MAC"):
		return "alert in the clear"
	}
	return ""
}

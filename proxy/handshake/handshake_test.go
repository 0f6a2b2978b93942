package handshake

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"
)

func named(subject, issuer string) *x509.Certificate {
	c := &x509.Certificate{Subject: pkix.Name{CommonName: subject}, Issuer: pkix.Name{CommonName: issuer}}
	c.RawSubject, c.RawIssuer = []byte(subject), []byte(issuer)
	return c
}

// Every way in which a handshake fails has its code and its sentence.
func TestReason(t *testing.T) {
	now := time.Now()
	leaf, fetched := named("leaf", "Corp"), named("leaf", "Corp")
	fetched.IssuingCertificateURL = []string{"http://corp.test/"}
	other := named("leaf", "Corp")
	other.DNSNames, other.IPAddresses = []string{"b.test", "c.test", "d.test", "e.test"}, []net.IP{net.IPv4(192, 0, 2, 1)}
	unknown := func(chain ...*x509.Certificate) error {
		return &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: x509.UnknownAuthorityError{Cert: chain[0]}}
	}
	for _, c := range []struct {
		err          error
		code, detail string
	}{
		{x509.CertificateInvalidError{Cert: &x509.Certificate{NotAfter: now.Add(-time.Hour)}, Reason: x509.Expired}, "expired", "the certificate of a.test expired on "},
		{x509.CertificateInvalidError{Cert: &x509.Certificate{NotBefore: now.Add(time.Hour)}, Reason: x509.Expired}, "not_yet_valid", "is not valid before"},
		{x509.CertificateInvalidError{Cert: leaf, Reason: x509.NotAuthorizedToSign}, "invalid", "is invalid: "},
		{x509.HostnameError{Certificate: other, Host: "a.test"}, "wrong_name", "is for other names: b.test, c.test, d.test, e.test, …"},
		{x509.HostnameError{Certificate: leaf, Host: "a.test"}, "wrong_name", "none in its subject alternative names"},
		{unknown(leaf), "unknown_root", "by an authority that is not trusted here (CN=Corp)"},
		{unknown(named("a.test", "a.test")), "self_signed", "is self-signed"},
		{unknown(fetched), "incomplete_chain", "without the intermediate certificate of its issuer (CN=Corp)"},
		{tls.RecordHeaderError{}, "not_tls", "a.test:443 does not speak TLS"},
		{io.EOF, "closed", "closed the connection during the TLS handshake"},
		{&url.Error{Op: "Get", Err: syscall.ECONNRESET}, "closed", "closed the connection"},
		{errors.New("remote error: tls: protocol version not supported"), "protocol", "older than 1.2"},
		{ErrNoHTTP1, NoHTTP1, "does not speak HTTP/1.1"},
		{errors.New("remote error: tls: handshake failure"), "alert", "ended the TLS handshake: handshake failure"},
		{errors.New("tls: something else"), "handshake", "failed: something else"},
	} {
		code, detail := Reason("a.test", "a.test:443", c.err)
		if code != c.code || !strings.Contains(detail, c.detail) {
			t.Errorf("%v: %s, %q", c.err, code, detail)
		}
	}
	if Advice("unknown_root") == "" || Advice("expired") != "" {
		t.Error("advice is for what can be helped here")
	}
}

func TestAlert(t *testing.T) {
	for text, want := range map[string]string{"remote error: tls: unknown certificate authority": "unknown certificate authority", "local error: tls: bad record MAC": "alert in the clear", "EOF": ""} {
		if got := Alert(errors.New(text)); got != want {
			t.Errorf("%s: %q", text, got)
		}
	}
}

func TestRefuseWeak(t *testing.T) {
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	short := &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1023), E: 65537}
	for name, c := range map[string]struct {
		key  any
		weak bool
	}{"a curve": {p256.Public(), false}, "a short key": {short, true}} {
		err := RefuseWeak(tls.ConnectionState{PeerCertificates: []*x509.Certificate{{PublicKey: c.key}}})
		if (err != nil) != c.weak {
			t.Errorf("%s: %v", name, err)
		}
		if code, _ := Reason("a.test", "a.test:443", errors.Join(err, io.EOF)); c.weak && code != "weak_key" {
			t.Errorf("%s: %s", name, code)
		}
	}
}

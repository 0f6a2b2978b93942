package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/proxytest/leftout"
)

// spoiled makes a CA that change has been at, and a leaf below it.
func spoiled(t *testing.T, key crypto.Signer, change func(*x509.Certificate)) (root, leaf *x509.Certificate) {
	t.Helper()
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "spoiled"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true, SubjectKeyId: []byte{1, 2, 3, 4},
	}
	change(template)
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if root, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	leafTemplate := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "leaf.test"}, DNSNames: []string{"leaf.test"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(0, 6, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	// Signed as by a CA that is none: CreateCertificate does not mind.
	if der, err = x509.CreateCertificate(rand.Reader, leafTemplate, root, own.Public(), key); err != nil {
		t.Fatal(err)
	}
	if leaf, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return root, leaf
}

// raw replaces what a template says about an extension.
func raw(id asn1.ObjectIdentifier, critical bool, value ...byte) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: id, Critical: critical, Value: value})
	}
}

// What each defect is called, and that the clients said to refuse it do: Go and
// OpenSSL are asked where they are named.
func TestLint(t *testing.T) {
	p256, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p224, err2 := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	small, err3 := rsa.GenerateKey(rand.Reader, 1024)
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	_, err := exec.LookPath("openssl")
	hasOpenSSL := err == nil
	if !hasOpenSSL {
		leftout.Note(t, "OpenSSL's judgement of spoiled CAs, which is not here")
	}
	for want, c := range map[string]struct {
		key    crypto.Signer
		change func(*x509.Certificate)
	}{
		"":                               {p256, func(*x509.Certificate) {}},
		"no_basic_constraints":           {p256, func(c *x509.Certificate) { c.BasicConstraintsValid, c.IsCA = false, false }},
		"not_a_ca":                       {p256, func(c *x509.Certificate) { c.IsCA = false }},
		"basic_constraints_not_critical": {p256, raw(oidBasicConstraints, false, 0x30, 0x03, 0x01, 0x01, 0xff)},
		"no_key_usage":                   {p256, func(c *x509.Certificate) { c.KeyUsage = 0 }},
		"no_key_cert_sign":               {p256, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }},
		"expired":                        {p256, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }},
		"not_yet_valid":                  {p256, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }},
		"weak_key":                       {small, func(*x509.Certificate) {}},
		"weak_curve":                     {p224, func(*x509.Certificate) {}},
		"long_validity":                  {p256, func(c *x509.Certificate) { c.NotAfter = time.Now().AddDate(31, 0, 0) }},
	} {
		root, leaf := spoiled(t, c.key, c.change)
		findings := Lint(root, []*x509.Certificate{root}, time.Now())
		var codes []string
		var refused []string
		for _, f := range findings {
			codes = append(codes, f.Code)
			refused = append(refused, f.Refused...)
		}
		if got := strings.Join(codes, " "); got != want {
			t.Errorf("%q: got %q", want, got)
		}
		if got, claimed := goRefuses(root, leaf), claims(refused, goLang); got != claimed {
			t.Errorf("%s: Go refuses: %v, we say %v", want, got, claimed)
		}
		if hasOpenSSL {
			if got, claimed := openSSLRefuses(t, root, leaf), claims(refused, openSSL); got != claimed {
				t.Errorf("%s: OpenSSL refuses: %v, we say %v", want, got, claimed)
			}
		}
	}
}

func claims(refused []string, client string) bool {
	return slices.Contains(refused, client) || slices.Contains(refused, all)
}

func goRefuses(root, leaf *x509.Certificate) bool {
	pool := x509.NewCertPool()
	pool.AddCert(root)
	_, err := leaf.Verify(x509.VerifyOptions{DNSName: "leaf.test", Roots: pool})
	return err != nil
}

// openSSLRefuses asks with the security level of Debian and of others' defaults.
func openSSLRefuses(t *testing.T, root, leaf *x509.Certificate) bool {
	t.Helper()
	dir := t.TempDir()
	for name, c := range map[string]*x509.Certificate{"root.pem": root, "leaf.pem": leaf} {
		if err := os.WriteFile(filepath.Join(dir, name), EncodePEM(c), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return exec.Command("openssl", "verify", "-auth_level", "2", "-purpose", "sslserver", "-CAfile", filepath.Join(dir, "root.pem"), filepath.Join(dir, "leaf.pem")).Run() != nil
}

func TestLintOwn(t *testing.T) {
	a, dir := open(t)
	if _, findings, err := LintFile(filepath.Join(dir, "agent-proxy-ca.crt"), time.Now()); err != nil || len(findings) > 0 {
		t.Errorf("our own CA: %v, %v", findings, err)
	}
	// The same subject with another key, and a CA in between without identifiers.
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	twin, _ := spoiled(t, other, func(c *x509.Certificate) { c.Subject = a.Certificate().Subject })
	if got := fmt.Sprint(Lint(twin, []*x509.Certificate{twin, a.Certificate()}, time.Now())); !strings.Contains(got, "same_subject") {
		t.Errorf("got %s", got)
	}
	between := *twin
	between.RawIssuer, between.AuthorityKeyId, between.SignatureAlgorithm = []byte("other"), nil, x509.SHA1WithRSA
	if got := fmt.Sprint(Lint(&between, nil, time.Now())); !strings.Contains(got, "no_authority_key_id") || !strings.Contains(got, "weak_signature") {
		t.Errorf("got %s", got)
	}
}

func TestRotate(t *testing.T) {
	a, dir := open(t)
	b, err := Rotate(dir)
	if err != nil || b.Fingerprint() == a.Fingerprint() {
		t.Fatalf("%v", err)
	}
	old, err := os.ReadFile(filepath.Join(dir, "agent-proxy-ca.crt.old"))
	if err != nil || string(old) != string(a.PEM()) {
		t.Errorf("the old one is not kept: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "agent-proxy-ca.key.old")); !os.IsNotExist(err) {
		t.Errorf("its key is kept: %v", err)
	}
	if err := Forget(dir); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.old")); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	if again, err := Open(dir); err != nil || again.Fingerprint() != b.Fingerprint() {
		t.Errorf("%v", err)
	}
}

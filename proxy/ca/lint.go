package ca

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
	"time"
)

// Finding is one defect of a CA certificate.
type Finding struct {
	// Code is stable.
	Code string `json:"code"`
	// Subject is the certificate's.
	Subject string `json:"subject"`
	Detail  string `json:"detail"`
	// Refused are the clients that do not accept such a CA; none for a defect that
	// only may hurt.
	Refused []string `json:"refused,omitempty"`
	// Fix is what who made the certificate can do.
	Fix string `json:"fix"`
}

// Clients as findings name them. What they refuse was measured, or (rustls's
// keys) is said by its documentation. The versions: Python 3.13,
// OpenSSL 3.0, Node 20 to 26, Go 1.26, Java 17 and 25, GnuTLS 3.7, rustls as in
// Deno 2.9, Firefox 153, Chromium 156.
const (
	python  = "Python 3.13 and later"
	openSSL = "OpenSSL (curl, git, Python, Ruby, PHP)"
	node    = "Node.js"
	goLang  = "Go"
	java    = "Java"
	gnuTLS  = "GnuTLS (wget, apt, Debian's git)"
	rustls  = "rustls (uv, deno, cargo's relatives)"
	all     = "all clients"
)

var (
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
)

// lintRule is one row: a defect, when a certificate has it, and who minds.
type lintRule struct {
	code, detail string
	has          func(c *x509.Certificate, l *lint) bool
	refused      []string
	fix          string
}

// Fixes, with the options of openssl-req(1).
const (
	asCA      = "issue it anew with: openssl req -x509 -addext basicConstraints=critical,CA:TRUE"
	toSign    = "issue it anew with: openssl req -x509 -addext keyUsage=critical,keyCertSign,cRLSign"
	withKeyID = "issue it anew with: openssl req -x509 -addext subjectKeyIdentifier=hash"
	issuerID  = "issue it anew with: openssl x509 -req -extfile FILE, in which stands authorityKeyIdentifier=keyid:always"
	strongKey = "issue it anew with: openssl req -x509 -newkey rsa:3072, or another key as strong"
	hashed    = "issue it anew with: openssl x509 -req -sha256"
	shorter   = "issue it anew with: openssl req -x509 -days 3650"
	another   = "take the old one out of the file, or issue the new one with another -subj"
	newCA     = "issue it anew and hand out the new one"
	clock     = "set the clock right, or wait"
)

// lint is what rules know beside the certificate.
type lint struct {
	beside []*x509.Certificate
	now    time.Time
}

// longLife is what no CA that people install needs to live for.
const longLife = 30 * 366 * 24 * time.Hour

// lintRules is the table, in the order of the findings.
var lintRules = []lintRule{
	{"version", "it is not of version 3, so nothing says that it is a CA", func(c *x509.Certificate, _ *lint) bool { return c.Version < 3 },
		[]string{goLang, java, python, rustls}, asCA},
	{"no_basic_constraints", "it has no basicConstraints, so nothing says that it is a CA", func(c *x509.Certificate, _ *lint) bool {
		return c.Version >= 3 && extension(c, oidBasicConstraints) == nil
	}, []string{goLang, java, python}, asCA},
	{"not_a_ca", "its basicConstraints say that it is no CA", func(c *x509.Certificate, _ *lint) bool {
		return extension(c, oidBasicConstraints) != nil && !c.IsCA
	}, []string{all}, asCA},
	{"basic_constraints_not_critical", "its basicConstraints are not critical (RFC 5280 section 4.2.1.9)", func(c *x509.Certificate, _ *lint) bool {
		e := extension(c, oidBasicConstraints)
		return e != nil && c.IsCA && !e.Critical
	}, []string{python}, asCA},
	{"no_key_usage", "it has no keyUsage", func(c *x509.Certificate, _ *lint) bool {
		return c.Version >= 3 && extension(c, oidKeyUsage) == nil
	}, []string{python}, toSign},
	{"no_key_cert_sign", "its keyUsage does not allow to sign certificates", func(c *x509.Certificate, _ *lint) bool {
		return extension(c, oidKeyUsage) != nil && c.KeyUsage&x509.KeyUsageCertSign == 0
	}, []string{openSSL, node, goLang, java, gnuTLS}, toSign},
	{"no_subject_key_id", "it has no subject key identifier, so its leaves can have no authority key identifier", func(c *x509.Certificate, _ *lint) bool {
		return len(c.SubjectKeyId) == 0
	}, []string{python}, withKeyID},
	{"no_authority_key_id", "it is not self-signed and has no authority key identifier", func(c *x509.Certificate, _ *lint) bool {
		return !SelfIssued(c) && len(c.AuthorityKeyId) == 0
	}, []string{python}, issuerID},
	{"expired", "it has expired", func(c *x509.Certificate, l *lint) bool { return l.now.After(c.NotAfter) }, []string{all}, newCA},
	{"not_yet_valid", "it is not valid yet; is the clock right?", func(c *x509.Certificate, l *lint) bool { return l.now.Before(c.NotBefore) }, []string{all}, clock},
	{"weak_key", "its RSA key has under 2048 bits", func(c *x509.Certificate, _ *lint) bool {
		key, ok := c.PublicKey.(*rsa.PublicKey)
		return ok && key.N.BitLen() < 2048
	}, []string{openSSL, rustls}, strongKey}, // OpenSSL at security level 2, the default of Debian and of OpenSSL 3.2
	{"weak_curve", "its key is on a curve of under 256 bits", func(c *x509.Certificate, _ *lint) bool {
		key, ok := c.PublicKey.(*ecdsa.PublicKey)
		return ok && key.Curve.Params().BitSize < 256
	}, []string{rustls}, strongKey},
	// A root's own signature is not checked: it is trusted, not verified.
	{"weak_signature", "it is signed with MD5 or SHA-1", func(c *x509.Certificate, _ *lint) bool {
		return !SelfIssued(c) && slices.Contains([]x509.SignatureAlgorithm{x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.DSAWithSHA1}, c.SignatureAlgorithm)
	}, []string{all}, hashed},
	{"same_subject", "another certificate beside it has the same subject and another key: clients may take the wrong one", func(c *x509.Certificate, l *lint) bool {
		return slices.ContainsFunc(l.beside, func(o *x509.Certificate) bool {
			return bytes.Equal(o.RawSubject, c.RawSubject) && !bytes.Equal(o.RawSubjectPublicKeyInfo, c.RawSubjectPublicKeyInfo)
		})
	}, []string{java, openSSL}, another},
	{"long_validity", "it is valid for more than 30 years", func(c *x509.Certificate, _ *lint) bool { return c.NotAfter.Sub(c.NotBefore) > longLife }, nil, shorter},
}

// Lint says what is wrong with a CA certificate, and which clients refuse it.
// beside are the certificates that it is handed to clients with.
func Lint(c *x509.Certificate, beside []*x509.Certificate, now time.Time) []Finding {
	var findings []Finding
	l := &lint{beside, now}
	for _, rule := range lintRules {
		if rule.has(c, l) {
			findings = append(findings, Finding{Code: rule.code, Subject: c.Subject.String(), Detail: rule.detail, Refused: rule.refused, Fix: rule.fix})
		}
	}
	return findings
}

// LeafWithoutIssuer is the defect of a host's certificate that does not name the key of
// its issuer.
func LeafWithoutIssuer(c *x509.Certificate) Finding {
	return Finding{Code: "leaf_no_authority_key_id", Subject: c.Subject.String(), Detail: "it has no authority key identifier", Refused: []string{python},
		Fix: "have whoever signs it add authorityKeyIdentifier=keyid:always"}
}

// LintFile lints every certificate of a file.
func LintFile(path string, now time.Time) (int, []Finding, error) {
	certs, err := ReadCertificates(path)
	if err != nil {
		return 0, nil, fmt.Errorf("%s: %w", path, err)
	}
	var findings []Finding
	for _, c := range certs {
		findings = append(findings, Lint(c, certs, now)...)
	}
	return len(certs), findings, nil
}

// SelfIssued reports whether a certificate names itself as its issuer (RFC 5280 section 3.2).
func SelfIssued(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, c.RawIssuer) }

// extension returns the one with that identifier, nil for none.
func extension(c *x509.Certificate, id asn1.ObjectIdentifier) *pkix.Extension {
	i := slices.IndexFunc(c.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(id) })
	if i < 0 {
		return nil
	}
	return &c.Extensions[i]
}

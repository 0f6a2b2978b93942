// Package ca is the tunnel's certificate authority: its key, the leaves it
// mints for re-termination, and the bundle that clients are given.
package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"os/user"
	"path/filepath"
	"time"

	"github.com/agentproxy/agentproxy/proxy/atomicfile"
	"github.com/agentproxy/agentproxy/proxy/rundir"
)

// NamePrefix begins the common name of every authority made here, and
// Organization is its organization: they are recognised by both.
const (
	NamePrefix   = "agentproxy CA "
	Organization = "agentproxy"
)

const (
	authorityLifetime = 10 * 365 * 24 * time.Hour
	// Apple refuses TLS leaves over 398 days, others follow (HT211025).
	leafLifetime = 397 * 24 * time.Hour
	// Clients with a clock that is slow must not see leaves from the future.
	backdate = time.Hour
)

// Authority signs leaves. It is safe for concurrent use.
type Authority struct {
	cert    *x509.Certificate
	key     *ecdsa.PrivateKey
	certPEM []byte
	leafKey *ecdsa.PrivateKey
	leafSKI []byte
	cache   leafCache
}

// Open loads the authority from dir, or creates it there. The caller holds the
// state directory's lock when the authority may have to be created.
func Open(dir string) (*Authority, error) {
	keyPath, certPath := filepath.Join(dir, rundir.KeyFile), filepath.Join(dir, rundir.CertFile)
	_, keyErr := os.Lstat(keyPath)
	_, certErr := os.Lstat(certPath)
	switch noKey, noCert := errors.Is(keyErr, fs.ErrNotExist), errors.Is(certErr, fs.ErrNotExist); {
	case noKey && noCert:
		if err := create(dir); err != nil {
			return nil, fmt.Errorf("create CA: %w", err)
		}
	case noKey:
		return nil, fmt.Errorf("the CA %s has lost its key; for a new one: agentproxy ca rotate", certPath)
	case noCert:
		return nil, fmt.Errorf("the CA key %s has lost its certificate; for a new CA: rm %[1]s; agentproxy up", keyPath)
	}
	if err := rundir.CheckDir(dir); err != nil {
		return nil, err
	}
	if err := rundir.CheckPrivate(keyPath); err != nil {
		return nil, err
	}
	a, err := load(keyPath, certPath)
	if err == nil && a.Expired() {
		// Nothing trusts it any more, so nothing is lost. Stores that have it are told
		// of by their status.
		return Rotate(dir)
	}
	return a, err
}

func load(keyPath, certPath string) (*Authority, error) {
	pair, err := tls.LoadX509KeyPair(certPath, keyPath)
	if err != nil {
		return nil, fmt.Errorf("CA in %s: %w; to make a new one, move %s and %s away",
			filepath.Dir(certPath), err, filepath.Base(certPath), filepath.Base(keyPath))
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return nil, fmt.Errorf("%s is not the certificate of an ECDSA authority", certPath)
	}
	// One key for all leaves: a first visit then costs one signature.
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	ski, err := keyID(leafKey.Public())
	if err != nil {
		return nil, err
	}
	return &Authority{
		cert: pair.Leaf, key: key, certPEM: encodeCert(pair.Leaf.Raw),
		leafKey: leafKey, leafSKI: ski, cache: newLeafCache(leafCacheSize),
	}, nil
}

// create writes a new key and certificate; the key first, so that a
// certificate is never there without it.
func create(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	ski, err := keyID(key.Public())
	if err != nil {
		return err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: NamePrefix + owner() + " " + hex.EncodeToString(ski[:4]), Organization: []string{Organization}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(authorityLifetime - backdate),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign, // x509 marks it critical (RFC 5280 §4.2.1.3)
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		SubjectKeyId:          ski,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	if err := atomicfile.WriteDurably(filepath.Join(dir, rundir.KeyFile), keyPEM, 0o600); err != nil {
		return err
	}
	return atomicfile.WriteDurably(filepath.Join(dir, rundir.CertFile), encodeCert(der), 0o644)
}

// owner tells machine and user apart, in printable ASCII within the 64 bytes
// of a common name (RFC 5280 appendix A.1).
func owner() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	clean := func(s string, limit int) string {
		out := make([]byte, 0, limit)
		for _, c := range []byte(s) {
			if len(out) < limit && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_') {
				out = append(out, c)
			}
		}
		return string(out)
	}
	return clean(name, 16) + "@" + clean(host, 20)
}

// serial is random with 128 bits, so that two CAs of one name never reuse one
// (Firefox refuses that: SEC_ERROR_REUSED_ISSUER_AND_SERIAL).
func serial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b) // never fails (crypto/rand)
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b)
}

// keyID is RFC 7093 §2 method 1: the leftmost 160 bits of the SHA-256 of the key.
func keyID(pub crypto.PublicKey) ([]byte, error) {
	k, err := pub.(*ecdsa.PublicKey).Bytes()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(k)
	return sum[:20], nil
}

// EncodePEM is a certificate in PEM.
func EncodePEM(c *x509.Certificate) []byte { return encodeCert(c.Raw) }

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// Expired reports whether the certificate is valid no longer.
func (a *Authority) Expired() bool { return time.Now().After(a.cert.NotAfter) }

// Certificate is the authority's own certificate.
func (a *Authority) Certificate() *x509.Certificate { return a.cert }

// PEM is the authority's own certificate in PEM.
func (a *Authority) PEM() []byte { return a.certPEM }

// Fingerprint is the SHA-256 of the certificate in hex.
func (a *Authority) Fingerprint() string { return Fingerprint(a.cert) }

// Fingerprint is a certificate's SHA-256, in hex.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

package ca_test

import (
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/proxytest"
	"software.sslmate.com/src/go-pkcs12"
)

// A user's truststore is merged like a PEM file, whatever its password guards.
func TestReadsTrustStores(t *testing.T) {
	pem := filepath.Join(t.TempDir(), "own.pem")
	if err := os.WriteFile(pem, proxytest.NewCA(t, "own CA").PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	own, err := ca.ReadCertificates(pem)
	if err != nil {
		t.Fatal(err)
	}
	secret, err1 := pkcs12.Modern.EncodeTrustStore(own, "changeit")
	open, err2 := pkcs12.Passwordless.EncodeTrustStore(own, "")
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	jks := jksOf(own[0])
	for name, raw := range map[string][]byte{"own.p12": secret, "open.p12": open, "own.jks": jks} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		certs, err := ca.ReadCertificates(path)
		if err != nil || len(certs) != 1 || !certs[0].Equal(own[0]) {
			t.Errorf("%s: %d certificates, %v", name, len(certs), err)
		}
	}
	for n := range jks {
		path := filepath.Join(t.TempDir(), "damaged.jks")
		if err := os.WriteFile(path, jks[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if certs, err := ca.ReadCertificates(path); err == nil && n < len(jks)-20 {
			t.Fatalf("%d of its %d bytes hold %d certificates", n, len(jks), len(certs))
		}
	}
}

// jksOf writes a store as keytool does: a key that is of no interest, then a
// certificate, then a digest.
func jksOf(cert *x509.Certificate) []byte {
	var b bytes.Buffer
	number := func(n any) { binary.Write(&b, binary.BigEndian, n) }
	short := func(s string) { number(uint16(len(s))); b.WriteString(s) }
	long := func(p []byte) { number(uint32(len(p))); b.Write(p) }
	number(uint32(0xFEEDFEED))
	number(uint32(2))
	number(uint32(2))
	for kind, alias := range []string{1: "key", 2: "own"} {
		if alias == "" {
			continue
		}
		number(uint32(kind))
		short(alias)
		number(uint64(1700000000000))
		if kind == 1 {
			long([]byte("encrypted"))
			number(uint32(1))
		}
		short("X.509")
		if kind == 1 {
			long([]byte("chain"))
		} else {
			long(cert.Raw)
		}
	}
	b.Write(make([]byte, 20))
	return b.Bytes()
}

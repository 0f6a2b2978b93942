package ca

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/proxytest/leftout"
	"github.com/agentproxy/agentproxy/proxy/rundir"
)

func open(t *testing.T) (*Authority, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	a, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return a, dir
}

func critical(c *x509.Certificate, oid ...int) bool {
	for _, e := range c.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier(oid)) {
			return e.Critical
		}
	}
	return false
}

// The properties that the strictest clients ask for (measured: Python 3.13's
// VERIFY_X509_STRICT, Go, Java, NSS, GnuTLS, rustls, Chromium).
func TestAuthority(t *testing.T) {
	a, dir := open(t)
	c := a.Certificate()
	switch {
	case !c.IsCA || !c.BasicConstraintsValid || c.MaxPathLen != 0 || !c.MaxPathLenZero || !critical(c, 2, 5, 29, 19):
		t.Error("basicConstraints must be critical, CA with path length 0")
	case c.KeyUsage&x509.KeyUsageCertSign == 0 || !critical(c, 2, 5, 29, 15):
		t.Error("keyUsage must be critical with keyCertSign")
	case len(c.SubjectKeyId) != 20:
		t.Error("no subject key identifier")
	case c.SerialNumber.BitLen() < 120:
		t.Errorf("serial of %d bits", c.SerialNumber.BitLen())
	case c.NotAfter.After(time.Now().AddDate(10, 0, 0)):
		t.Errorf("valid until %s", c.NotAfter)
	case c.NotBefore.After(time.Now().Add(-59 * time.Minute)):
		t.Errorf("not backdated: %s", c.NotBefore)
	case !strings.Contains(c.Subject.CommonName, "@") || len(c.Subject.CommonName) > 64:
		t.Errorf("name %q", c.Subject.CommonName)
	}
	for name, mode := range map[string]os.FileMode{"": 0o700, rundir.KeyFile: 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%q: %v, %v", name, info.Mode(), err)
		}
	}
	again, err := Open(dir)
	if err != nil || !again.Certificate().Equal(c) {
		t.Errorf("opened again: %v", err)
	}
	other, _ := open(t)
	if other.Certificate().Subject.CommonName == c.Subject.CommonName {
		t.Error("two authorities of one name")
	}
}

func TestLeaf(t *testing.T) {
	a, _ := open(t)
	roots := x509.NewCertPool()
	roots.AddCert(a.Certificate())
	long := strings.Repeat("a", 60) + "." + strings.Repeat("b", 60) + ".test"
	for _, host := range []string{"example.com", "192.0.2.7", "2001:db8::7", long} {
		config, err := a.Config(host)
		if err != nil {
			t.Fatal(err)
		}
		c := config.Certificates[0].Leaf
		if _, err := c.Verify(x509.VerifyOptions{DNSName: host, Roots: roots}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
		switch {
		case c.NotAfter.Sub(c.NotBefore) >= 398*24*time.Hour:
			t.Errorf("%s: lives for %s", host, c.NotAfter.Sub(c.NotBefore))
		case c.NotBefore.After(time.Now().Add(-59 * time.Minute)):
			t.Errorf("%s: not backdated", host)
		case string(c.AuthorityKeyId) != string(a.Certificate().SubjectKeyId) || len(c.SubjectKeyId) == 0:
			t.Errorf("%s: key identifiers", host)
		case len(c.ExtKeyUsage) != 1 || c.ExtKeyUsage[0] != x509.ExtKeyUsageServerAuth:
			t.Errorf("%s: extended key usage %v", host, c.ExtKeyUsage)
		case c.SerialNumber.BitLen() < 120 || c.IsCA:
			t.Errorf("%s: serial %s, CA %v", host, c.SerialNumber, c.IsCA)
		}
	}
}

// OpenSSL's strict mode is what Python 3.13 switches on.
func TestOpenSSLStrict(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		leftout.Note(t, "a strict verification by openssl, which is not here")
		return
	}
	a, dir := open(t)
	config, err := a.Config("example.com")
	if err != nil {
		t.Fatal(err)
	}
	leaf := filepath.Join(dir, "leaf.pem")
	if err := os.WriteFile(leaf, encodeCert(config.Certificates[0].Certificate[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(openssl, "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "example.com",
		"-CAfile", filepath.Join(dir, rundir.CertFile), leaf).CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestConcurrentFirstVisitsMintOnce(t *testing.T) {
	a, _ := open(t)
	var wg sync.WaitGroup
	got := make([]*tls.Config, 50)
	for i := range got {
		wg.Go(func() { got[i], _ = a.Config("once.test") })
	}
	wg.Wait()
	for _, c := range got {
		if c == nil || c != got[0] {
			t.Fatal("minted more than once")
		}
	}
}

func TestLeafCacheIsBounded(t *testing.T) {
	a, _ := open(t)
	a.cache = newLeafCache(8)
	first, err := a.Config("first.test")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if _, err := a.Config(fmt.Sprintf("h%d.test", i)); err != nil {
			t.Fatal(err)
		}
	}
	if n := a.cache.order.Len(); n != 8 || len(a.cache.byKey) != 8 {
		t.Errorf("%d entries", n)
	}
	if again, _ := a.Config("first.test"); again == first {
		t.Error("the oldest leaf was kept")
	}
}

func TestUnsafeKeyIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(dir string) error{
		"readable key":       func(dir string) error { return os.Chmod(filepath.Join(dir, rundir.KeyFile), 0o640) },
		"directory is open":  func(dir string) error { return os.Chmod(dir, 0o755) },
		"key is a link":      func(dir string) error { return relink(filepath.Join(dir, rundir.KeyFile)) },
		"somebody else's":    func(dir string) error { return os.Chown(filepath.Join(dir, rundir.KeyFile), 12345, -1) },
		"somebody else's in": func(dir string) error { return os.Chown(dir, 12345, -1) },
	} {
		t.Run(name, func(t *testing.T) {
			if strings.HasPrefix(name, "somebody") && os.Getuid() != 0 {
				leftout.Note(t, "a key of somebody else; only root can give one away")
				return
			}
			_, dir := open(t)
			if err := spoil(dir); err != nil {
				t.Fatal(err)
			}
			_, err := Open(dir)
			var unsafe *rundir.UnsafeError
			if !errors.As(err, &unsafe) || unsafe.Fix == "" {
				t.Errorf("got %v", err)
			}
		})
	}
}

func relink(path string) error {
	if err := os.Rename(path, path+".real"); err != nil {
		return err
	}
	return os.Symlink(path+".real", path)
}

func TestBrokenAuthority(t *testing.T) {
	_, dir := open(t)
	if err := os.WriteFile(filepath.Join(dir, rundir.CertFile), []byte("no PEM"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "move") {
		t.Errorf("got %v", err)
	}
	if raw, _ := os.ReadFile(filepath.Join(dir, rundir.KeyFile)); len(raw) == 0 {
		t.Error("the key was touched")
	}
}

func certsIn(t *testing.T, path string) int {
	t.Helper()
	certs, err := ReadCertificates(path)
	if err != nil {
		t.Fatal(err)
	}
	return len(certs)
}

func TestBundle(t *testing.T) {
	_, dir := open(t)
	plain, err := BuildBundle(dir, dir)
	if err != nil {
		t.Fatal(err)
	}
	base := certsIn(t, plain.Path)
	if filepath.Base(plain.Path) != BundleFile || !plain.Changed {
		t.Errorf("got %+v", plain)
	}
	if again, err := BuildBundle(dir, dir); err != nil || again.Changed {
		t.Errorf("rebuilt for nothing: %+v, %v", again, err)
	}

	// The user's own file joins, in a bundle of its own; so does a directory.
	other, otherDir := open(t)
	mine := filepath.Join(otherDir, rundir.CertFile)
	hashed := t.TempDir()
	third, _ := open(t)
	if err := os.WriteFile(filepath.Join(hashed, "abcd.0"), third.PEM(), 0o644); err != nil {
		t.Fatal(err)
	}
	merged, err := BuildBundle(dir, dir, mine, hashed, "/nonexistent", "", SystemBundle(), plain.Path)
	if err != nil {
		t.Fatal(err)
	}
	if merged.Path == plain.Path || certsIn(t, merged.Path) != base+2 {
		t.Errorf("%s holds %d certificates, want %d", merged.Path, certsIn(t, merged.Path), base+2)
	}
	raw, _ := os.ReadFile(merged.Path)
	if !strings.Contains(string(raw), strings.TrimSpace(string(other.PEM()))) {
		t.Error("the user's certificate is not in it")
	}

	// A second exec inside the first ends with the same bundle.
	if nested, err := BuildBundle(dir, dir, merged.Path); err != nil || nested.Path != merged.Path || nested.Changed {
		t.Errorf("nested: %+v, %v", nested, err)
	}

	// It follows when the user's file changes.
	fourth, _ := open(t)
	if err := os.WriteFile(mine, append(append([]byte{}, other.PEM()...), fourth.PEM()...), 0o644); err != nil {
		t.Fatal(err)
	}
	if again, err := BuildBundle(dir, dir, mine, hashed); err != nil || !again.Changed || certsIn(t, again.Path) != base+3 {
		t.Errorf("not rebuilt: %+v, %v", again, err)
	}
}

func TestBundleSkipsWhatIsNoCertificate(t *testing.T) {
	_, dir := open(t)
	plain, err := BuildBundle(dir, dir)
	if err != nil {
		t.Fatal(err)
	}
	junk := filepath.Join(t.TempDir(), "junk.pem")
	content := append([]byte("hello\n"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("junk")})...)
	content = append(content, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("secret")})...)
	if err := os.WriteFile(junk, content, 0o644); err != nil {
		t.Fatal(err)
	}
	b, err := BuildBundle(dir, dir, junk)
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := os.ReadFile(b.Path)
	if certsIn(t, b.Path) != certsIn(t, plain.Path) || strings.Contains(string(raw), "PRIVATE") {
		t.Error("something that is no certificate got in")
	}
}

func BenchmarkMint(b *testing.B) {
	a, err := Open(filepath.Join(b.TempDir(), "state"))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := a.mint("example.com"); err != nil {
			b.Fatal(err)
		}
	}
}

// A CA that has expired is replaced when it is next needed, and kept beside.
func TestAnExpiredCAIsRenewed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	old, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	template := *old.cert
	template.NotAfter = time.Now().Add(-time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, old.key.Public(), old.key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, rundir.CertFile), encodeCert(der), 0o644); err != nil {
		t.Fatal(err)
	}
	renewed, err := Open(dir)
	if err != nil || renewed.Expired() || renewed.Fingerprint() == old.Fingerprint() {
		t.Fatalf("%v", err)
	}
	if kept, err := os.ReadFile(filepath.Join(dir, rundir.CertFile) + oldSuffix); err != nil || !bytes.Equal(kept, encodeCert(der)) {
		t.Errorf("the old certificate was not kept: %v", err)
	}
	if again, err := Open(dir); err != nil || again.Fingerprint() != renewed.Fingerprint() {
		t.Errorf("%v", err)
	}
}

package trust

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/agentproxy/agentproxy/proxy/ca"
	"software.sslmate.com/src/go-pkcs12"
)

func bundle(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	if _, err := ca.Open(dir); err != nil {
		t.Fatal(err)
	}
	b, err := ca.BuildBundle(dir)
	if err != nil {
		t.Fatal(err)
	}
	return b.Path
}

func TestJVMTrustStore(t *testing.T) {
	pem := bundle(t)
	path, err := JVMTrustStore(pem)
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Base(path) != "java-truststore.p12" {
		t.Errorf("path %s", path)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pkcs12.DecodeTrustStore(raw, "")
	if err != nil {
		t.Fatal(err)
	}
	want, err := ca.ReadCertificates(pem)
	if err != nil || len(got) != len(want) {
		t.Errorf("%d certificates of %d, %v", len(got), len(want), err)
	}
	before, _ := os.Stat(path)
	if _, err := JVMTrustStore(pem); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.Stat(path); !after.ModTime().Equal(before.ModTime()) {
		t.Error("written again for nothing")
	}
}

func BenchmarkJVMTrustStore(b *testing.B) {
	pem := bundle(b)
	for b.Loop() {
		path, err := JVMTrustStore(pem)
		if err != nil {
			b.Fatal(err)
		}
		os.Remove(path)
	}
}

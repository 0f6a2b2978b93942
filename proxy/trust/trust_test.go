package trust

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/proxytest/leftout"
	"software.sslmate.com/src/go-pkcs12"
)

func bundle(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	if _, err := ca.Open(dir); err != nil {
		t.Fatal(err)
	}
	b, err := ca.BuildBundle(dir, dir)
	if err != nil {
		t.Fatal(err)
	}
	return b.Path
}

// Every store and every state that has a code is in README.md's tables.
func TestStoresAreDocumented(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	stores, _ := Stores()
	for _, store := range stores {
		if !strings.Contains(string(readme), "\n| `"+store+"` | ") {
			t.Errorf("README.md has no row for the store %s", store)
		}
	}
	for _, state := range []State{Absent, Earlier, Expired, Foreign, Taken, Unavailable, Unreadable} {
		if !strings.Contains(string(readme), "\n| `<store>_"+string(state)+"` | ") {
			t.Errorf("README.md has no row for the code of the state %s", state)
		}
	}
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

// certutil itself says what a database trusts.
func trusted(t *testing.T, db string) string {
	t.Helper()
	out, err := exec.Command("certutil", "-L", "-d", "sql:"+db).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

func TestNSS(t *testing.T) {
	if _, err := exec.LookPath("certutil"); err != nil {
		leftout.Note(t, "NSS databases: certutil is not installed")
		return
	}
	state := filepath.Dir(bundle(t))
	own := filepath.Join(state, "agent-proxy-ca.crt")

	// The user's database, with a certificate of its own, is kept and not touched.
	users, other := t.TempDir(), filepath.Join(filepath.Dir(bundle(t)), "agent-proxy-ca.crt")
	certs, err := ca.ReadCertificates(other)
	if err != nil {
		t.Fatal(err)
	}
	if err := fill(users, true, certs); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("certutil", "-d", "sql:"+users, "--rename", "-n", "agentproxy 0", "--new-n", "corporate").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	before := trusted(t, users)
	home, err := ChromiumHome(state, users, own)
	if err != nil {
		t.Fatal(err)
	}
	got := trusted(t, filepath.Join(home, ".pki", "nssdb"))
	for _, want := range []string{"corporate", "agentproxy 0"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if after := trusted(t, users); after != before {
		t.Errorf("the user's database changed:\n%s", after)
	}
	if again, err := ChromiumHome(state, users, own); err != nil || again != home {
		t.Errorf("a second home %s, %v", again, err)
	}
	fresh, err := ChromiumHome(state, filepath.Join(users, "none"), own)
	if err != nil || fresh == home || !strings.Contains(trusted(t, filepath.Join(fresh, ".pki", "nssdb")), "agentproxy 0") {
		t.Errorf("without a database of the user's: %s, %v", fresh, err)
	}

	first, err := FirefoxProfile(state, "one", own)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(trusted(t, first), "agentproxy 0") {
		t.Error("the Firefox profile does not trust the CA")
	}
	long := time.Now().Add(-2 * profileAge)
	if err := os.Chtimes(first, long, long); err != nil {
		t.Fatal(err)
	}
	if _, err := FirefoxProfile(state, "two", own); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(first); !os.IsNotExist(err) {
		t.Errorf("the profile of a run long gone is still there: %v", err)
	}
}

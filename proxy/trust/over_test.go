package trust

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/proxytest/leftout"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"software.sslmate.com/src/go-pkcs12"
)

// machineOf makes a root with the stores of a machine, and what a run is to trust.
func machineOf(t *testing.T) (*RunRoots, *ca.Authority) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	if err := rundir.MakeDir(dir); err != nil {
		t.Fatal(err)
	}
	authority, err := ca.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	bundle := filepath.Join(dir, ca.BundleFile)
	if err := os.WriteFile(bundle, authority.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	return &RunRoots{System: System{Root: root, Home: filepath.Join(root, "home"), Getenv: func(string) string { return "" }},
		Bundle: bundle, CA: filepath.Join(dir, rundir.CertFile), Dir: dir, Path: filepath.Join(root, "opt/bin"), Cwd: filepath.Join(root, "work")}, authority
}

func place(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// over returns what is put over a path of the machine's, "" for nothing.
func over(t *testing.T, r *RunRoots, path string) string {
	t.Helper()
	list, err := r.Overs()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range list {
		if o.Target == filepath.Join(r.System.Root, path) {
			return o.Source
		}
	}
	return ""
}

// Every system's bundle, and that of an interpreter in reach, is the merged one; what
// is not there is not made.
func TestOverBundles(t *testing.T) {
	for _, path := range []string{"etc/ssl/certs/ca-certificates.crt", "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "var/lib/ca-certificates/ca-bundle.pem",
		"etc/ca-certificates/extracted/tls-ca-bundle.pem", "etc/ssl/cert.pem", "opt/lib/python3.12/site-packages/certifi/cacert.pem",
		"work/.venv/lib/python3.9/site-packages/pip/_vendor/certifi/cacert.pem", "home/.local/lib/python3.11/site-packages/certifi/cacert.pem"} {
		r, _ := machineOf(t)
		if got := over(t, r, path); got != "" {
			t.Errorf("%s: %s is put over nothing", path, got)
		}
		place(t, filepath.Join(r.System.Root, path), []byte("old\n"))
		if got := over(t, r, path); got != r.Bundle {
			t.Errorf("over %s is %q", path, got)
		}
	}
}

// A link's target gets it, once for all links; the bundle itself does not.
func TestOverLinks(t *testing.T) {
	r, _ := machineOf(t)
	place(t, filepath.Join(r.System.Root, "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"), []byte("old\n"))
	for _, link := range []string{"etc/pki/tls/certs/ca-bundle.crt", "etc/pki/tls/cert.pem"} {
		path := filepath.Join(r.System.Root, link)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.Symlink(filepath.Join(r.System.Root, "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"), path); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(r.System.Root, "etc/ssl"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(r.Bundle, filepath.Join(r.System.Root, "etc/ssl/cert.pem")); err != nil {
		t.Fatal(err)
	}
	list, err := r.Overs()
	if err != nil || len(list) != 1 {
		t.Errorf("got %v, %v", list, err)
	}
}

// A directory in which OpenSSL finds roots by hash is seen with all that was in it,
// and ours; the machine's stays as it is, and the copy is made once.
func TestOverHashedDirectory(t *testing.T) {
	r, authority := machineOf(t)
	dir := filepath.Join(r.System.Root, "etc/ssl/certs")
	place(t, filepath.Join(dir, "Old.pem"), authority.PEM())
	place(t, filepath.Join(dir, "java/cacerts"), []byte("store"))
	if got := over(t, r, "etc/ssl/certs"); got != "" {
		t.Errorf("%s is put over a directory without hashes", got)
	}
	if err := os.Symlink("Old.pem", filepath.Join(dir, "0123abcd.0")); err != nil {
		t.Fatal(err)
	}
	copied := over(t, r, "etc/ssl/certs")
	for _, name := range []string{"Old.pem", "0123abcd.0", "java/cacerts"} {
		if _, err := os.Stat(filepath.Join(copied, name)); err != nil {
			t.Error(err)
		}
	}
	hash, err := ca.SubjectHash(authority.Certificate())
	if err != nil {
		t.Fatal(err)
	}
	added := fmt.Sprintf("%08x.0", hash)
	if is, err := os.ReadFile(filepath.Join(copied, added)); err != nil || !bytes.Equal(is, authority.PEM()) {
		t.Errorf("%s: %q, %v", added, is, err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 3 {
		t.Errorf("the machine's directory has %v", entries)
	}
	if again := over(t, r, "etc/ssl/certs"); again != copied {
		t.Errorf("then it is %s", again)
	}
	place(t, filepath.Join(dir, "New.pem"), authority.PEM())
	if later := over(t, r, "etc/ssl/certs"); later == copied {
		t.Error("a new root is not seen")
	}
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		leftout.Note(t, "what OpenSSL finds in the directory, as openssl is not installed")
		return
	}
	out, err := exec.Command(openssl, "verify", "-no-CAfile", "-no-CAstore", "-CApath", copied, r.CA).CombinedOutput()
	if err != nil || !strings.Contains(string(out), ": OK") {
		t.Errorf("openssl verify: %v: %s", err, out)
	}
}

// A JDK's roots keep their format, their password and what is in them.
func TestOverKeystores(t *testing.T) {
	_, other := machineOf(t)
	old := other.Certificate()
	// The digest of an empty store that changeit guards, as keytool writes it.
	empty := append([]byte("\xfe\xed\xfe\xed\x00\x00\x00\x02\x00\x00\x00\x00"), "\xe2\x68\x6e\x45\xfb\x43\xdf\xa4\xd9\x92\xdd\x41\xce\xb6\xb2\x1c\x63\x30\xd7\x92"...)
	jks, err := ca.AddToKeystore(empty, []*x509.Certificate{old}, time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	passwordless, err := pkcs12.Passwordless.EncodeTrustStore([]*x509.Certificate{old}, "")
	if err != nil {
		t.Fatal(err)
	}
	guarded, err := pkcs12.Modern.EncodeTrustStore([]*x509.Certificate{old}, "changeit")
	if err != nil {
		t.Fatal(err)
	}
	for name, store := range map[string][]byte{"JKS": jks, "PKCS12 without a password": passwordless, "PKCS12": guarded} {
		r, authority := machineOf(t)
		path := "usr/lib/jvm/jdk/lib/security/cacerts"
		place(t, filepath.Join(r.System.Root, path), store)
		copied := over(t, r, path)
		raw, err := os.ReadFile(copied)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		certs, password, err := ca.ReadKeystore(raw, ca.UsualPasswords)
		if err != nil || len(certs) != 2 || !certs[0].Equal(old) && !certs[1].Equal(old) || !certs[0].Equal(authority.Certificate()) && !certs[1].Equal(authority.Certificate()) {
			t.Errorf("%s: %d certificates, %v", name, len(certs), err)
		}
		want := "changeit"
		if name == "PKCS12 without a password" {
			want = ""
		}
		if bytes.HasPrefix(store, []byte("\xfe\xed")) != bytes.HasPrefix(raw, []byte("\xfe\xed")) || password != want {
			t.Errorf("%s: the format or the password %q is another", name, password)
		}
	}
	r, _ := machineOf(t)
	place(t, filepath.Join(r.System.Root, "usr/lib/jvm/jdk/lib/security/cacerts"), []byte("no store"))
	if got := over(t, r, "usr/lib/jvm/jdk/lib/security/cacerts"); got != "" {
		t.Errorf("%s is put over what is no store", got)
	}
}

// A bundle that a program brings in its own directory is one of its roots; a single
// certificate is none, nor is what lies in a directory that many programs share.
func TestOverBesideTheProgram(t *testing.T) {
	r, authority := machineOf(t)
	bundle := bytes.Repeat(append(bytes.Repeat([]byte("# one of many\n"), 60), authority.PEM()...), 12)
	opt := filepath.Join(t.TempDir(), "opt")
	tool := filepath.Join(opt, "tool", "bin", "tool")
	place(t, tool, []byte("program"))
	place(t, filepath.Join(opt, "tool", "share", "ssl", "roots.pem"), bundle)
	place(t, filepath.Join(opt, "tool", "share", "one.pem"), authority.PEM())
	place(t, filepath.Join(opt, "other", "roots.pem"), bundle)
	link := filepath.Join(opt, "link")
	if err := os.Symlink(tool, link); err != nil {
		t.Fatal(err)
	}
	r.Program = link
	all, err := r.Overs()
	if err != nil {
		t.Fatal(err)
	}
	var over []string
	for _, o := range all {
		if strings.HasPrefix(o.Target, opt) {
			over = append(over, strings.TrimPrefix(o.Target, opt))
		}
	}
	if len(over) != 1 || over[0] != "/tool/share/ssl/roots.pem" {
		t.Errorf("%q", over)
	}
	for _, dir := range []string{"/usr/bin", "/usr/local/sbin", "/home/me/.local/bin", "/home/me/.cargo/bin", "/home/me/go/bin", "/srv/node_modules/.bin", "/srv/.venv/bin"} {
		if !shared().MatchString(dir) {
			t.Errorf("%s is one program's", dir)
		}
	}
}

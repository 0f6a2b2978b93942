package trust

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/proxytest"
	"github.com/agentproxy/agentproxy/proxy/proxytest/leftout"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/google/go-cmp/cmp"
)

// machine is a system in a temporary directory, with a CA.
type machine struct {
	t testing.TB
	*Manager
	env map[string]string
}

func newMachine(t testing.TB) *machine {
	t.Helper()
	root := t.TempDir()
	m := &machine{t: t, env: map[string]string{}}
	state := filepath.Join(root, "state")
	m.Manager = &Manager{State: state, System: &System{Root: root, Home: filepath.Join(root, "home"), Getenv: func(name string) string { return m.env[name] }}}
	must(t, os.MkdirAll(m.System.Home, 0o755))
	if _, err := ca.Open(state); err != nil {
		t.Fatal(err)
	}
	m.anchor()
	release, err := m.Open()
	must(t, err)
	t.Cleanup(release)
	return m
}

// anchor takes the CA that is in the state directory now.
func (m *machine) anchor() {
	m.t.Helper()
	cert, err := ca.Certificate(m.State)
	must(m.t, err)
	b, err := ca.BuildBundle(m.State, m.State)
	must(m.t, err)
	store, err := JVMTrustStore(b.Path)
	must(m.t, err)
	m.Anchor = &Anchor{Cert: cert, File: filepath.Join(m.State, rundir.CertFile), Bundle: b.Path, JavaStore: store}
}

func (m *machine) rotate() {
	m.t.Helper()
	_, err := ca.Rotate(m.State)
	must(m.t, err)
	m.anchor()
}

// place is the only one of that store.
func (m *machine) place(store string) *Location {
	m.t.Helper()
	places, err := m.Places(store)
	if err != nil || len(places) != 1 {
		m.t.Fatalf("%s: %d places, %v", store, len(places), err)
	}
	return places[0]
}

func (m *machine) install(store string) Report {
	m.t.Helper()
	r, err := m.Install(m.place(store))
	if err != nil || r.State != Trusted {
		m.t.Fatalf("install %s: %+v, %v", store, r, err)
	}
	return r
}

func (m *machine) remove(store string) Report {
	m.t.Helper()
	r, err := m.Remove(m.place(store))
	if err != nil || r.State != Absent {
		m.t.Fatalf("remove %s: %+v, %v", store, r, err)
	}
	return r
}

// write puts a file below the home directory.
func (m *machine) write(name, text string, mode fs.FileMode) string {
	m.t.Helper()
	path := filepath.Join(m.System.Home, name)
	must(m.t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(m.t, os.WriteFile(path, []byte(text), mode))
	must(m.t, os.Chmod(path, mode))
	return path
}

// listing is everything below the home directory.
func (m *machine) listing() map[string]string {
	m.t.Helper()
	all := map[string]string{}
	must(m.t, filepath.WalkDir(m.System.Home, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text := info.Mode().String()
		if info.Mode().IsRegular() {
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += " " + digest(raw)
		}
		all[path] = text
		return nil
	}))
	return all
}

func (m *machine) same(before map[string]string) {
	m.t.Helper()
	if diff := cmp.Diff(before, m.listing()); diff != "" {
		m.t.Errorf("not as before (-before +now):\n%s", diff)
	}
	if entries, _, err := Installed(m.State, ""); err != nil || len(entries) != 0 {
		m.t.Errorf("the journal still lists %d entries, %v", len(entries), err)
	}
	if left, _ := filepath.Glob(filepath.Join(m.State, journalDir, "*", "*")); len(left) > 0 {
		m.t.Errorf("backups are left: %v", left)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// have reports whether a program is here, and notes it when it is not.
func have(t testing.TB, name, what string) bool {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		leftout.Note(t, what+": "+name+" is not installed")
		return false
	}
	return true
}

// Every configuration file, as it may be: what is installed is undone to the byte.
func TestSettingsAreUndoneExactly(t *testing.T) {
	t.Setenv("PATH", "") // the tools are asked in another test: they take their time
	texts := map[string]map[string]string{
		"":      {"none": "-", "empty": "", "comment without newline": "# mine"},
		"pip":   {"its section": "[global]\r\ntimeout = 60\r\n[install]\r\nuser = yes\r\n"},
		"git":   {"a section": "[http]\n\tpostBuffer = 1\n[user]\n\tname = me"},
		"npm":   {"a registry": "registry=https://r.example/\n"},
		"boto":  {"its section": "[Boto]\ndebug = 0\n"},
		"conda": {"channels": "channels:\n  - defaults\n"},
	}
	for _, s := range settings {
		for _, of := range []string{"", s.store} {
			for name, text := range texts[of] {
				t.Run(s.store+"/"+name, func(t *testing.T) {
					m := newMachine(t)
					if text != "-" {
						file, err := filepath.Rel(m.System.Home, m.place(s.store).Path)
						must(t, err)
						m.write(file, text, 0o640)
					}
					before := m.listing()
					if r := m.install(s.store); !r.Changed || !r.Managed {
						t.Errorf("%+v", r)
					}
					if r := m.install(s.store); r.Changed {
						t.Error("changed again")
					}
					m.rotate()
					m.install(s.store)
					if r := m.remove(s.store); !r.Exact {
						t.Error("not exact")
					}
					m.same(before)
				})
			}
		}
	}
}

func TestKeyOfTheUsersIsNotReplaced(t *testing.T) {
	for store, c := range map[string]struct{ file, text, want string }{
		"npm":   {".npmrc", "a=1\ncafile=/mine.pem\n", ".npmrc:2 says cafile=/mine.pem"},
		"pip":   {".pip/pip.conf", "[global]\ncert = /mine.pem\n", ".pip/pip.conf:2"}, // the older place counts, too
		"git":   {".gitconfig", "[HTTP]\n\tsslcainfo=/mine.pem\n", ".gitconfig:2"},
		"conda": {".condarc", "ssl_verify: true\n", ".condarc:1"},
		"boto":  {".boto", "[Boto]\nca_certificates_file: /mine.pem\n", ".boto:2"},
		"bazel": {".bazelrc", "startup --host_jvm_args=-Djavax.net.ssl.trustStore=/mine.jks\n", ".bazelrc:1"},
	} {
		m := newMachine(t)
		m.write(c.file, c.text, 0o600)
		before := m.listing()
		_, err := m.Install(m.place(store))
		var refused *StateError
		if !errors.As(err, &refused) || refused.State != Taken || refused.Fix == "" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", store, err)
		}
		m.same(before)
	}
}

// Mode and symbolic links stay, and what the user adds in between.
func TestInstallKeepsWhatIsTheUsers(t *testing.T) {
	m := newMachine(t)
	real := m.write("dotfiles/npmrc", "a=1\n", 0o604)
	link := filepath.Join(m.System.Home, ".npmrc")
	must(t, os.Symlink("dotfiles/npmrc", link))
	m.install("npm")
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Error("the link was replaced")
	}
	if info, err := os.Stat(real); err != nil || info.Mode().Perm() != 0o604 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	raw, err := os.ReadFile(real)
	must(t, err)
	must(t, os.WriteFile(real, append(raw, "b=2\n"...), 0o604))
	if r := m.remove("npm"); r.Exact {
		t.Error("called exact")
	}
	if raw, _ := os.ReadFile(real); string(raw) != "a=1\nb=2\n" {
		t.Errorf("left %q", raw)
	}

	// npm writes its file without comments: our line is found all the same.
	m.install("npm")
	must(t, os.WriteFile(real, []byte("a=1\ncafile="+m.Anchor.Bundle+"\n"), 0o604))
	m.remove("npm")
	if raw, _ := os.ReadFile(real); string(raw) != "a=1\n" {
		t.Errorf("left %q", raw)
	}
}

// An act that was cut off, by a crash, is not taken for a known state.
func TestInterruptedAct(t *testing.T) {
	m := newMachine(t)
	path := m.write(".npmrc", "a=1\n", 0o600)
	p := m.place("npm")
	must(t, m.journal.begin(&Entry{Store: p.Store, Place: p.Path, Name: p.name}, p.files))
	must(t, p.add(m.Anchor))
	must(t, os.WriteFile(path, []byte("changed=since\n"+block("cafile=x")), 0o600))
	m.remove("npm")
	if raw, _ := os.ReadFile(path); string(raw) != "changed=since\n" {
		t.Errorf("left %q", raw)
	}
}

// A store that does not trust the CA after the act is put back as it was.
func TestFailedActIsPutBack(t *testing.T) {
	m := newMachine(t)
	m.write(".condarc", "{channels: [defaults]}\n", 0o600)
	before := m.listing()
	if _, err := m.Install(m.place("conda")); err == nil || !strings.Contains(err.Error(), "add: ssl_verify:") {
		t.Errorf("got %v", err)
	}
	m.same(before)
}

// What switches a tool's configuration off is no file to write to.
func TestDeviceIsNotReplaced(t *testing.T) {
	m := newMachine(t)
	m.env["PIP_CONFIG_FILE"] = "/dev/null"
	if _, err := m.Install(m.place("pip")); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("got %v", err)
	}
	if info, err := os.Stat("/dev/null"); err != nil || info.Mode().IsRegular() {
		t.Fatalf("/dev/null is %v, %v", info.Mode(), err)
	}
	m.same(m.listing())
}

func TestWithoutRights(t *testing.T) {
	if os.Getuid() == 0 {
		leftout.Note(t, "a file in a directory that is not ours: root may write everywhere (testdata/trust/run has it)")
		return
	}
	m := newMachine(t)
	must(t, os.Chmod(m.System.Home, 0o555))
	t.Cleanup(func() { os.Chmod(m.System.Home, 0o755) })
	var rights *RightsError
	if _, err := m.Install(m.place("npm")); !errors.As(err, &rights) {
		t.Errorf("got %v", err)
	}
}

// One bundle of two owners' CAs: the second does not replace the first.
func TestNames(t *testing.T) {
	m := newMachine(t)
	first := m.Anchor.Name()
	m.rotate()
	if m.Anchor.Name() != first || !strings.HasPrefix(first, "agentproxy-") {
		t.Errorf("%q, and after the rotation %q", first, m.Anchor.Name())
	}
	corp := &Anchor{Cert: proxytest.NewCA(t, "Corp Root CA (2026)").Cert}
	if got := corp.Name(); got != "agentproxy-corp-root-ca-2026" {
		t.Errorf("got %q", got)
	}
}

func TestExpiredAndUnknown(t *testing.T) {
	m := newMachine(t)
	p := &Location{Store: "nss"}
	expired := p.judge(contents{named: []*x509.Certificate{m.Anchor.Cert}}, m.Anchor, m.Anchor.Cert.NotAfter.Add(time.Hour))
	if expired.State != Expired {
		t.Errorf("%+v", expired)
	}
	if _, err := m.Places("nosuch"); err == nil || !strings.Contains(err.Error(), "there are system, nss") {
		t.Errorf("got %v", err)
	}
	var none *NoneError
	if _, err := m.Places("nss"); !errors.As(err, &none) || none.Fix == "" {
		t.Errorf("got %v", err)
	}
}

// The tools themselves read what was written; Install has asked them, too.
func TestToolsReadTheirSettings(t *testing.T) {
	for store, c := range map[string]struct {
		what string
		argv []string
	}{
		"npm": {"npm's reading of an .npmrc", []string{"npm", "config", "get", "cafile", "--userconfig", "FILE"}},
		"git": {"git's reading of a .gitconfig", []string{"git", "config", "--file", "FILE", "--get", "http.sslCAInfo"}},
		"pip": {"pip's reading of a pip.conf", []string{"pip", "config", "list"}},
		"boto": {"Python's reading of a .boto", []string{"python3", "-c",
			"import configparser, sys; c = configparser.RawConfigParser(); c.read(sys.argv[1]); print(c.get('Boto', 'ca_certificates_file'))", "FILE"}},
	} {
		if !have(t, c.argv[0], c.what) {
			continue
		}
		m := newMachine(t)
		m.install(store)
		file := m.place(store).Path
		for i := range c.argv {
			c.argv[i] = strings.ReplaceAll(c.argv[i], "FILE", file)
		}
		cmd := exec.Command(c.argv[0], c.argv[1:]...)
		cmd.Dir, cmd.Env = "/", append(os.Environ(), "PIP_CONFIG_FILE="+file, "npm_config_cafile=", "npm_config_logs_max=0")
		if out, err := cmd.Output(); err != nil || !strings.Contains(string(out), m.Anchor.Bundle) {
			t.Errorf("%s says %q, %v", store, out, err)
		}
	}
}

func TestFirefoxPolicies(t *testing.T) {
	m := newMachine(t)
	m.System.Admin = true
	must(t, os.MkdirAll(filepath.Join(m.System.Root, "usr", "bin"), 0o755))
	must(t, os.WriteFile(filepath.Join(m.System.Root, "usr", "bin", "firefox"), nil, 0o755))
	file := filepath.Join(m.System.Root, policyFile)
	m.install("firefox")
	m.remove("firefox")
	if _, err := os.Stat(filepath.Join(m.System.Root, "etc")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("directories are left: %v", err)
	}

	const theirs = `{"policies": {"Homepage": {"URL": "https://x.example/?a=1&b=<2>"}, "Certificates": {"Install": ["corp.pem"]}}}`
	must(t, os.MkdirAll(filepath.Dir(file), 0o755))
	must(t, os.WriteFile(file, []byte(theirs), 0o644))
	m.install("firefox")
	raw, err := os.ReadFile(file)
	must(t, err)
	if text := string(raw); !strings.Contains(text, `"corp.pem"`) || !strings.Contains(text, `a=1&b=<2>`) || strings.Count(text, m.Anchor.Name()) != 1 {
		t.Errorf("merged into %s", text)
	}
	m.rotate()
	m.install("firefox")
	m.remove("firefox")
	if raw, _ := os.ReadFile(file); string(raw) != theirs {
		t.Errorf("left %s", raw)
	}
	must(t, os.WriteFile(file, []byte("{not JSON"), 0o644))
	if _, err := m.Install(m.place("firefox")); err == nil {
		t.Error("a file that cannot be read was edited")
	}
}

func onDatabase(db string, stdin []byte, args ...string) error {
	_, err := certutil(db, stdin, args...)
	return err
}

func TestNSSIsReplacedNeverDoubled(t *testing.T) {
	if !have(t, "certutil", "the user's NSS database") {
		return
	}
	m := newMachine(t)
	db := filepath.Join(m.System.Home, ".pki", "nssdb")
	must(t, os.MkdirAll(db, 0o700))
	must(t, fill(db, true, nil))
	m.install("nss")
	m.rotate()
	if r := m.Status(m.place("nss")); r.State != Earlier || r.Code != "nss_earlier" {
		t.Errorf("%+v", r)
	}
	if _, codes, err := Installed(m.State, ca.Fingerprint(m.Anchor.Cert)); err != nil || fmt.Sprint(codes) != "[nss_earlier]" {
		t.Errorf("the status document says %v, %v", codes, err)
	}
	m.install("nss")
	if got := trusted(t, db); strings.Count(got, "agentproxy") != 1 {
		t.Errorf("doubled:\n%s", got)
	}
	// A browser's own change in between stays.
	other := proxytest.NewCA(t, "other")
	must(t, onDatabase(db, other.PEM(), "-A", "-n", "other", "-t", "C,,", "-a"))
	if r := m.remove("nss"); r.Exact {
		t.Error("called exact")
	}
	if got := trusted(t, db); strings.Contains(got, "agentproxy") || !strings.Contains(got, "other") {
		t.Errorf("left\n%s", got)
	}
	must(t, onDatabase(db, nil, "-D", "-n", "other"))

	// Another's certificate under our name is told, and left.
	must(t, onDatabase(db, other.PEM(), "-A", "-n", m.Anchor.Name(), "-t", "C,,", "-a"))
	r, err := m.Install(m.place("nss"))
	if r.State != Foreign || err == nil || !strings.Contains(r.Fix, "certutil") {
		t.Errorf("%+v, %v", r, err)
	}

	// A browser that has the database open keeps it: only ours is taken out.
	must(t, onDatabase(db, nil, "-D", "-n", m.Anchor.Name()))
	m.install("nss")
	f, err := os.Open(filepath.Join(db, "cert9.db"))
	must(t, err)
	if r := m.remove("nss"); r.Exact && runtime.GOOS == "linux" {
		t.Error("a database was exchanged under its user")
	}
	must(t, f.Close())

	must(t, os.RemoveAll(db))
	must(t, os.MkdirAll(db, 0o700))
	must(t, fill(db, true, nil))
	before := m.listing()
	m.install("nss")
	if r := m.remove("nss"); !r.Exact {
		t.Error("not exact")
	}
	m.same(before)
}

// A Java store of either kind, with each of the passwords, and one that several
// links lead to.
func TestJava(t *testing.T) {
	if !have(t, "keytool", "Java's stores") {
		return
	}
	other := filepath.Join(t.TempDir(), "other.pem")
	must(t, os.WriteFile(other, proxytest.NewCA(t, "other").PEM(), 0o600))
	for name, c := range map[string]struct {
		kind, password, told string
		flags                []string
	}{
		"jks":          {kind: "JKS", password: "changeit"},
		"pkcs12":       {kind: "PKCS12", password: "changeme"},
		"none":         {kind: "PKCS12", password: "changeit", flags: []string{"-J-Dkeystore.pkcs12.certProtectionAlgorithm=NONE", "-J-Dkeystore.pkcs12.macAlgorithm=NONE"}},
		"secret jks":   {kind: "JKS", password: "secret", told: "secret"},
		"secret of 12": {kind: "PKCS12", password: "secret", told: "secret"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			security := filepath.Join(m.System.Home, ".sdkman/candidates/java/21/lib/security")
			must(t, os.MkdirAll(security, 0o755))
			store := filepath.Join(security, "cacerts")
			argv := append(c.flags, "-importcert", "-noprompt", "-alias", "other", "-file", other, "-storetype", c.kind, "-storepass", c.password, "-keystore", store)
			if out, err := exec.Command("keytool", argv...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			must(t, os.Symlink("21", filepath.Join(m.System.Home, ".sdkman/candidates/java/current")))
			before := m.listing()
			if c.told != "" {
				var password *PasswordError
				if _, err := m.Install(m.place("java")); !errors.As(err, &password) {
					t.Fatalf("without the password: %v", err)
				}
				m.System.JavaPassword = c.told
			}
			m.install("java")
			if name == "jks" {
				m.rotate()
				m.install("java")
			}
			out, err := exec.Command("keytool", "-list", "-keystore", store, "-storepass", c.password).CombinedOutput()
			if text := string(out); err != nil || strings.Count(text, "agentproxy-") != 1 || !strings.Contains(text, "other, ") {
				t.Errorf("%v: %s", err, text)
			}
			if r := m.remove("java"); !r.Exact {
				t.Error("not exact")
			}
			m.same(before)
		})
	}
}

func TestDamagedJavaStoreIsLeft(t *testing.T) {
	m := newMachine(t)
	m.write(".jdks/x/lib/security/cacerts", "no keystore", 0o644)
	before := m.listing()
	if _, err := m.Install(m.place("java")); err == nil {
		t.Error("installed into what is no keystore")
	}
	m.same(before)
}

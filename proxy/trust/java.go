package trust

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/proxy/ca"
)

// jdkHomes are where JDKs are put, by systems and by version managers. The first
// list is the machine's, the second below the home directory.
var (
	machineJDKs = []string{
		"/usr/lib/jvm/*", "/usr/lib64/jvm/*", "/usr/java/*", "/usr/local/java/*", "/opt/java/*", "/opt/jdk*",
		"/Library/Java/JavaVirtualMachines/*/Contents/Home",
		"/opt/homebrew/opt/openjdk*/libexec/openjdk.jdk/Contents/Home", "/usr/local/opt/openjdk*/libexec/openjdk.jdk/Contents/Home",
		"/home/linuxbrew/.linuxbrew/opt/openjdk*/libexec",
	}
	userJDKs = []string{
		".sdkman/candidates/java/*", ".asdf/installs/java/*", ".local/share/mise/installs/java/*", ".jenv/versions/*",
		".jdks/*", ".gradle/jdks/*", "Library/Java/JavaVirtualMachines/*/Contents/Home",
	}
)

// storesOfJDK are where a JDK has its roots, below its home: jssecacerts wins
// where there is one (JSSE reference guide), and JDK 8 has a JRE inside.
var storesOfJDK = []string{
	"lib/security/jssecacerts", "lib/security/cacerts", "jre/lib/security/jssecacerts", "jre/lib/security/cacerts",
}

// A jdk is one installation, its store and its keytool ("" for none).
type jdk struct{ store, keytool string }

// jdkHomesOf returns where JDKs may be, links to one and the same among them.
func jdkHomesOf(w *System) []string {
	homes := append([]string{w.Getenv("JAVA_HOME")}, w.machine(machineJDKs...)...)
	homes = append(homes, w.user(userJDKs...)...)
	if java, err := exec.LookPath("java"); err == nil && w.Root == "" {
		homes = append(homes, filepath.Dir(filepath.Dir(realPath(java))))
	}
	return slices.DeleteFunc(homes, func(home string) bool { return home == "" })
}

func jdks(w *System) []jdk {
	var all []jdk
	for _, home := range jdkHomesOf(w) {
		for _, store := range storesOfJDK {
			store = filepath.Join(home, store)
			if info, err := os.Stat(store); err != nil || !info.Mode().IsRegular() {
				continue
			}
			j := jdk{store: realPath(store)}
			for _, bin := range []string{"bin/keytool", "jre/bin/keytool"} {
				if path, err := exec.LookPath(filepath.Join(home, bin)); err == nil && j.keytool == "" {
					j.keytool = path
				}
			}
			all = append(all, j)
			break
		}
	}
	return all
}

// findJava returns the stores of all JDKs, one that several share once.
func findJava(w *System) []string {
	var found []string
	for _, j := range jdks(w) {
		if !slices.Contains(found, j.store) {
			found = append(found, j.store)
		}
	}
	return found
}

// JavaStores are the files in which the JDKs of a machine have their roots.
func (w *System) JavaStores() []string {
	var found []string
	for _, home := range jdkHomesOf(w) {
		for _, store := range storesOfJDK {
			path := filepath.Join(home, store)
			if _, err := os.Stat(path); err != nil {
				continue
			}
			if path, err := filepath.EvalSymlinks(path); err == nil && !slices.Contains(found, path) {
				found = append(found, path)
			}
		}
	}
	return found
}

// openJava takes the keytool of a JDK whose store it is, else any.
func openJava(w *System, path, name string) *Location {
	keytool := ""
	for _, j := range jdks(w) {
		if j.keytool != "" && (keytool == "" || j.store == path) {
			keytool = j.keytool
		}
	}
	if keytool == "" {
		keytool = program("keytool")
	}
	p := &Location{Store: "java", Path: path, name: name, files: []string{path},
		byHand:  fmt.Sprintf("%s -delete -alias %s -keystore %s", keytool, name, path),
		backend: &javaStore{path: path, alias: name, keytool: keytool, extra: w.JavaPassword}}
	if keytool == "" {
		p.lacking, p.get = "no JDK here has a keytool", "apt-get install default-jre-headless"
	}
	return p
}

type javaStore struct {
	path, alias, keytool string
	// extra is the user's password.
	extra string
}

// PasswordError says that a Java store is guarded by a password that nobody
// told us.
type PasswordError struct{ Path string }

func (e *PasswordError) Error() string {
	return "the keystore's password is neither changeit nor changeme nor empty"
}

// opened reads a keystore and says which password it has.
func (s *javaStore) opened(path string) (certs int, has contents, password string, err error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return 0, has, "", err
	}
	passwords := ca.UsualPasswords
	if s.extra != "" {
		passwords = append([]string{s.extra}, passwords...)
	}
	has.others, password, err = ca.ReadKeystore(raw, passwords)
	if errors.Is(err, ca.ErrPassword) {
		err = &PasswordError{path}
	}
	return len(has.others), has, password, err
}

// read asks keytool for what is under our name.
func (s *javaStore) read() (contents, error) {
	_, h, password, err := s.opened(s.path)
	if err != nil {
		return h, err
	}
	out, err := s.run(s.path, password, nil, "-exportcert", "-rfc", "-alias", s.alias)
	if failed := new(HelperError); errors.As(err, &failed) && strings.Contains(failed.Output, "does not exist") {
		return h, nil
	}
	h.named = ca.ParseCertificates(out)
	return h, err
}

// run runs keytool on a keystore. The password does not appear in argv, which
// everybody may read.
func (s *javaStore) run(store, password string, stdin []byte, args ...string) ([]byte, error) {
	argv := append([]string{s.keytool, "-J-Duser.language=en"}, args...)
	return helper{
		argv:  append(argv, "-keystore", store, "-storepass:env", "AGENTPROXY_STOREPASS"),
		env:   []string{"AGENTPROXY_STOREPASS=" + password, "JAVA_TOOL_OPTIONS=", "_JAVA_OPTIONS="},
		stdin: stdin,
	}.run()
}

func (s *javaStore) add(a *Anchor) error {
	return s.edit(+1, ca.EncodePEM(a.Cert), "-importcert", "-noprompt", "-alias", s.alias)
}

func (s *javaStore) take() error {
	h, err := s.read()
	if err != nil || len(h.named) == 0 {
		return err
	}
	return s.edit(-1, nil, "-delete", "-alias", s.alias)
}

// edit lets keytool work on a copy, checks that it opens as before and has as
// many more certificates as it should, and puts it in the store's place.
func (s *javaStore) edit(more int, stdin []byte, args ...string) error {
	before, _, password, err := s.opened(s.path)
	if err != nil {
		return err
	}
	like, raw, err := observe(s.path)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "agentproxy-java-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	work := filepath.Join(dir, "cacerts")
	if err := os.WriteFile(work, raw, 0o600); err != nil {
		return err
	}
	if _, err := s.run(work, password, stdin, args...); err != nil {
		return err
	}
	after, _, now, err := s.opened(work)
	if err != nil {
		return err
	}
	if after != before+more || now != password {
		return fmt.Errorf("keytool made a store of %d certificates out of one of %d; it is not used", after, before)
	}
	if raw, err = os.ReadFile(work); err != nil {
		return err
	}
	return replaceFile(s.path, raw, like)
}

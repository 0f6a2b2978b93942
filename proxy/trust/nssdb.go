package trust

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/proxy/ca"
)

// nssDatabases are those that Chromium and its relatives read on Linux: the
// user's, and its copies for packages that have a home of their own.
var nssDatabases = []string{
	".pki/nssdb",
	"snap/*/current/.pki/nssdb",
	".var/app/*/.pki/nssdb",
}

// firefoxProfiles are where Firefox and its packages keep profiles.
var firefoxProfiles = []string{
	".mozilla/firefox/*",
	".config/mozilla/firefox/*", // since Firefox 147
	"snap/firefox/common/.mozilla/firefox/*",
	".var/app/org.mozilla.firefox/.mozilla/firefox/*",
	"Library/Application Support/Firefox/Profiles/*", // macOS
}

// databases returns the directories with an NSS database, each once.
func databases(dirs []string) []string {
	var found []string
	for _, dir := range dirs {
		files, _ := filepath.Glob(filepath.Join(globQuote(dir), "cert9.db"))
		if real := realPath(dir); len(files) > 0 && !slices.Contains(found, real) {
			found = append(found, real)
		}
	}
	return found
}

// globQuote makes a path stand for itself in a pattern.
func globQuote(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

func findNSS(w *System) []string {
	dirs := append(w.user(nssDatabases...), filepath.Join(w.xdg("XDG_DATA_HOME", ".local/share"), "pki", "nssdb"))
	if w.Admin {
		dirs = append(dirs, w.machine("/etc/pki/nssdb")...) // the machine's, of Fedora and its relatives
	}
	return databases(dirs)
}

func openNSS(_ *System, dir, name string) *Location { return nssPlace("nss", dir, name) }

func nssPlace(store, dir, name string) *Location {
	p := &Location{Store: store, Path: dir, name: name, backend: &nssStore{dir, name},
		byHand: "certutil -d sql:" + dir + " -D -n " + name}
	for _, file := range []string{"cert9.db", "key4.db", "pkcs11.txt"} {
		p.files = append(p.files, filepath.Join(dir, file))
	}
	if program("certutil") == "" {
		p.lacking, p.get = ErrNoCertutil.Error(), "apt-get install libnss3-tools"
	}
	return p
}

type nssStore struct{ dir, name string }

// read asks certutil for what is under our name; without the flag C it is there
// and not trusted for servers, which is as good as not there.
func (s *nssStore) read() (contents, error) {
	var h contents
	list, err := certutil(s.dir, nil, "-L")
	if err != nil {
		return h, err
	}
	if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(s.name) + `\s+\S*C\S*,\S*,\S*\s*$`).Match(list) {
		return h, nil
	}
	out, err := certutil(s.dir, nil, "-L", "-n", s.name, "-a")
	h.named = ca.ParseCertificates(out)
	return h, err
}

func (s *nssStore) add(a *Anchor) error {
	_, err := certutil(s.dir, ca.EncodePEM(a.Cert), "-A", "-n", s.name, "-t", "C,,", "-a")
	return err
}

func (s *nssStore) take() error {
	for {
		h, err := s.read()
		if err != nil || len(h.named) == 0 {
			return err
		}
		if _, err := certutil(s.dir, nil, "-D", "-n", s.name); err != nil {
			return err
		}
	}
}

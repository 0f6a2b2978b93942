package trust

import (
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/agentproxy/agentproxy/proxy/ca"
)

// A systemRow is one way in which systems keep their roots: certificates are put
// into a directory, and a command makes everything else from it.
type systemRow struct {
	// dir is where administrators put certificates, extension what their names
	// must end with.
	dir, extension string
	// update is run after a change, without is run after a removal where that
	// needs more.
	update, without []string
	// bundle is what clients read.
	bundle string
	// made are the files that the command writes beside it, patterns.
	made []string
}

// systemRows are told apart by what is there: the directory and the command.
// The first that fits counts. Sources: the manual pages of update-ca-certificates(8)
// and update-ca-trust(8), and the scripts of the packages ca-certificates.
var systemRows = []systemRow{
	{ // Fedora, RHEL, CentOS, Amazon Linux
		dir: "/etc/pki/ca-trust/source/anchors", extension: ".pem", update: []string{"update-ca-trust", "extract"},
		bundle: "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", made: []string{"/etc/pki/ca-trust/extracted/*/*"},
	},
	{ // openSUSE, SLES
		dir: "/etc/pki/trust/anchors", extension: ".pem", update: []string{"update-ca-certificates"},
		bundle: "/var/lib/ca-certificates/ca-bundle.pem", made: []string{"/var/lib/ca-certificates/*"},
	},
	{ // Arch
		dir: "/etc/ca-certificates/trust-source/anchors", extension: ".crt", update: []string{"update-ca-trust"},
		bundle: "/etc/ca-certificates/extracted/tls-ca-bundle.pem", made: []string{"/etc/ca-certificates/extracted/*", "/etc/ssl/certs/java/cacerts"},
	},
	{ // Debian, Ubuntu, Alpine. Without --fresh Debian's leaves the link to a certificate that is gone.
		dir: "/usr/local/share/ca-certificates", extension: ".crt", update: []string{"update-ca-certificates"}, without: []string{"update-ca-certificates", "--fresh"},
		bundle: "/etc/ssl/certs/ca-certificates.crt", made: []string{"/etc/ssl/certs/java/cacerts"},
	},
}

// programs are looked for here, too: a user's PATH need not name them.
var sbin = []string{"/usr/sbin", "/usr/local/sbin", "/sbin"}

// program returns the path of one, "" for none.
func program(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range sbin {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	return ""
}

// anchorDirs returns the directory of the first row that fits.
func anchorDirs(w *System) []string {
	for _, row := range systemRows {
		dir := filepath.Join(w.Root, row.dir)
		if info, err := os.Stat(dir); err == nil && info.IsDir() && program(row.update[0]) != "" {
			return []string{dir}
		}
	}
	return nil
}

func openAnchors(w *System, dir, name string) *Location {
	row := systemRows[len(systemRows)-1]
	for _, r := range systemRows {
		if filepath.Join(w.Root, r.dir) == dir {
			row = r
		}
	}
	s := &systemStore{row: row, system: w, name: name, anchor: filepath.Join(dir, name+row.extension)}
	p := &Location{Store: "system", Path: dir, name: name, regenerates: true, byHand: "rm " + s.anchor + " && " + row.update[0], backend: s}
	p.files = []string{s.anchor, filepath.Join(w.Root, row.bundle)}
	for _, path := range w.machine(row.made...) {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			p.files = append(p.files, path)
		}
	}
	if program(row.update[0]) == "" {
		p.lacking, p.get = row.update[0]+" is not installed", "apt-get install ca-certificates"
	}
	return p
}

type systemStore struct {
	row    systemRow
	system *System
	name   string
	anchor string
}

// read says what clients see, which is in the bundle: a certificate that is
// only in the directory is not trusted yet, one that is only in the bundle is
// still.
func (s *systemStore) read() (contents, error) {
	var h contents
	bundle, err := certsIn(filepath.Join(s.system.Root, s.row.bundle))
	if err != nil {
		return h, err
	}
	put, err := certsIn(s.anchor)
	if err != nil {
		return h, err
	}
	for _, c := range bundle {
		if slices.ContainsFunc(put, c.Equal) {
			h.named = append(h.named, c)
		} else {
			h.others = append(h.others, c)
		}
	}
	return h, nil
}

// certsIn reads the certificates of a file; a missing one holds none.
func certsIn(path string) ([]*x509.Certificate, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return ca.ParseCertificates(raw), err
}

func (s *systemStore) add(a *Anchor) error {
	if err := replaceFile(s.anchor, ca.EncodePEM(a.Cert), nil); err != nil {
		return err
	}
	return s.run(s.row.update)
}

func (s *systemStore) take() error {
	if err := os.Remove(s.anchor); err != nil && !os.IsNotExist(err) {
		return err
	}
	command := s.row.without
	if command == nil {
		command = s.row.update
	}
	if err := s.run(command); err != nil {
		return err
	}
	return s.takeFromJava()
}

func (s *systemStore) run(argv []string) error {
	_, err := helper{argv: append([]string{program(argv[0])}, argv[1:]...)}.run()
	return err
}

// debianJava is the store that Debian's hook of update-ca-certificates writes
// for all JDKs. The hook is told of additions only when links are made anew.
const debianJava = "/etc/ssl/certs/java/cacerts"

func (s *systemStore) takeFromJava() error {
	path := filepath.Join(s.system.Root, debianJava)
	if _, err := os.Stat(path); err != nil || s.row.without == nil {
		return nil
	}
	java := openJava(s.system, path, "debian:"+s.name+".pem")
	if java.lacking != "" {
		return nil
	}
	h, err := java.read()
	if err != nil || len(h.named) == 0 {
		return err
	}
	return java.take()
}

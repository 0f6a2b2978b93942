package trust

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/rundir"
)

// ErrNoCertutil says that an NSS database cannot be made: certutil, of the
// package libnss3-tools, nss-tools or nss, is not installed.
var ErrNoCertutil = errors.New("certutil is not installed (Debian: libnss3-tools)")

// nssDir is where the private databases are, in the state directory.
const nssDir = "nss"

// ChromiumHome makes a home directory whose NSS database trusts the
// certificates of the files beside what the user's own database holds, and
// returns it. Chromium has no other way to be pointed at a database than HOME
// (its documentation of Linux certificate management); the directories of the
// XDG base directory specification can stay the user's.
//
// It is made once for the same certificates and the same database of the
// user's, who may have none: users is the directory ~/.pki/nssdb.
func ChromiumHome(state, users string, files ...string) (string, error) {
	certs, id, err := certificates(files)
	if err != nil {
		return "", err
	}
	var have []string
	for _, name := range []string{"cert9.db", "key4.db", "pkcs11.txt"} {
		info, err := os.Stat(filepath.Join(users, name))
		if err != nil {
			have = nil
			break
		}
		have = append(have, name)
		fmt.Fprintf(id, "%s %d %d", name, info.Size(), info.ModTime().UnixNano())
	}
	home := filepath.Join(state, nssDir, hex.EncodeToString(id.Sum(nil)[:8]))
	return home, once(home, func(tmp string) error {
		db := filepath.Join(tmp, ".pki", "nssdb")
		if err := os.MkdirAll(db, 0o700); err != nil {
			return err
		}
		for _, name := range have {
			raw, err := os.ReadFile(filepath.Join(users, name))
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(db, name), raw, 0o600); err != nil {
				return err
			}
		}
		return fill(db, len(have) == 0, certs)
	})
}

// profileAge is after how long the profile of a run is taken for left over.
const profileAge = 7 * 24 * time.Hour

// FirefoxProfile makes a new profile for one run that trusts the certificates
// of the files; Firefox trusts what the cert9.db of its profile holds. Those of
// runs long gone are removed.
func FirefoxProfile(state, run string, files ...string) (string, error) {
	certs, id, err := certificates(files)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(state, nssDir)
	old, _ := filepath.Glob(filepath.Join(dir, "firefox-*"))
	for _, profile := range old {
		if info, err := os.Stat(profile); err == nil && time.Since(info.ModTime()) > profileAge {
			os.RemoveAll(profile)
		}
	}
	template := filepath.Join(dir, "template-"+hex.EncodeToString(id.Sum(nil)[:8]))
	if err := once(template, func(tmp string) error { return fill(tmp, true, certs) }); err != nil {
		return "", err
	}
	profile := filepath.Join(dir, "firefox-"+run)
	return profile, os.CopyFS(profile, os.DirFS(template))
}

// certificates reads the files and begins an identity with what they hold.
func certificates(files []string) ([]*x509.Certificate, hash.Hash, error) {
	id := sha256.New()
	var certs []*x509.Certificate
	for _, file := range files {
		list, err := ca.ReadCertificates(file)
		if err != nil {
			return nil, nil, err
		}
		for _, c := range list {
			id.Write(c.Raw)
		}
		certs = append(certs, list...)
	}
	return certs, id, nil
}

// once makes a directory unless it is there, whole or not at all.
func once(dir string, make func(tmp string) error) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := rundir.MakeDir(filepath.Dir(dir)); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".new.*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := make(tmp); err != nil {
		return err
	}
	err = os.Rename(tmp, dir)
	if errors.Is(err, fs.ErrExist) { // another run was faster
		return nil
	}
	return err
}

// fill adds certificates to an NSS database as authorities for servers, a new
// one if it is told so.
func fill(db string, create bool, certs []*x509.Certificate) error {
	if create {
		if _, err := certutil(db, nil, "-N", "--empty-password"); err != nil {
			return err
		}
	}
	for i, c := range certs {
		if _, err := certutil(db, ca.EncodePEM(c), "-A", "-n", fmt.Sprintf("agentproxy %d", i), "-t", "C,,", "-a"); err != nil {
			return err
		}
	}
	return nil
}

// certutil runs it on a database and returns what it prints.
func certutil(db string, stdin []byte, args ...string) ([]byte, error) {
	path := program("certutil")
	if path == "" {
		return nil, ErrNoCertutil
	}
	return helper{argv: append([]string{path, "-d", "sql:" + db}, args...), stdin: stdin}.run()
}

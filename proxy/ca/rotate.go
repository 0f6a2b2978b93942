package ca

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/agentproxy/agentproxy/proxy/rundir"
)

// oldSuffix is appended to the files of an authority that was replaced.
const oldSuffix = ".old"

// Rotate puts a new authority into dir. The certificate of the old one is kept
// beside it until Forget; its key, which some store may still trust, is gone once
// the new one is whole. The caller holds the state directory's lock.
func Rotate(dir string) (*Authority, error) {
	tmp, err := os.MkdirTemp(dir, ".new.*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	if err := create(tmp); err != nil {
		return nil, fmt.Errorf("create CA: %w", err)
	}
	// The key first: a certificate is never there without its key for longer than
	// between two renames.
	for _, name := range []string{rundir.KeyFile, rundir.CertFile} {
		path := filepath.Join(dir, name)
		if err := os.Rename(path, path+oldSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	for _, name := range []string{rundir.KeyFile, rundir.CertFile} {
		if err := os.Rename(filepath.Join(tmp, name), filepath.Join(dir, name)); err != nil {
			return nil, err
		}
	}
	a, err := load(filepath.Join(dir, rundir.KeyFile), filepath.Join(dir, rundir.CertFile))
	if err != nil {
		return nil, err
	}
	return a, removed(filepath.Join(dir, rundir.KeyFile) + oldSuffix)
}

// Forget removes what Rotate kept.
func Forget(dir string) error { return removed(filepath.Join(dir, rundir.CertFile) + oldSuffix) }

// removed removes a file; one that is not there is no error.
func removed(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Publish makes sure that the authority's certificate in dir is in out, too, and
// returns where it is there.
func Publish(dir, out string) (string, error) {
	path := filepath.Join(out, rundir.CertFile)
	if dir == out {
		return path, nil
	}
	raw, err := rundir.ReadFile(filepath.Join(dir, rundir.CertFile))
	if err != nil {
		return "", err
	}
	return path, rundir.Ensure(path, raw, 0o644)
}

// Certificate reads the authority's certificate in dir without its key; nil
// when there is none.
func Certificate(dir string) (*x509.Certificate, error) {
	path := filepath.Join(dir, rundir.CertFile)
	raw, err := rundir.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	certs := ParseCertificates(raw)
	if len(certs) != 1 {
		return nil, fmt.Errorf("%s is not one certificate", path)
	}
	return certs[0], nil
}

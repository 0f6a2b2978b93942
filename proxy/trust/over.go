package trust

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/rundir"
)

// Over is a file or directory that takes the place of another in the view of a run.
type Over struct{ Source, Target string }

// RunRoots says what a run is to trust in place of what the machine does. Nothing of
// the machine's is changed.
type RunRoots struct {
	System System
	// Bundle is every root in PEM, CA those that are added to roots of others.
	Bundle, CA string
	// Dir is where copies are kept.
	Dir string
	// Path is the run's PATH, Cwd its working directory and Argv its command, by which
	// interpreters and environments with roots of their own are found.
	Path, Cwd string
	Argv      []string
	// Program is the one that is run: what it brings in a directory of its own may have
	// roots beside it.
	Program string
}

// Overs returns what to put over what, the outer directories first. Copies are made
// where there are none of what is there now.
func (r *RunRoots) Overs() ([]Over, error) {
	info, err := os.Stat(r.CA)
	if err != nil {
		return nil, err
	}
	b := overs{roots: r, stamp: stampOf(r.CA, info)}
	b.findOurs()
	for _, dir := range ca.SystemDirectories() {
		b.directory(filepath.Join(r.System.Root, dir))
	}
	for _, file := range ca.SystemBundles() {
		b.file(filepath.Join(r.System.Root, file))
	}
	for _, file := range r.System.JavaStores() {
		b.keystore(file)
	}
	for _, file := range append(r.bundled(), beside(r.Program)...) {
		b.file(file)
	}
	return b.list, b.err
}

// overs collects them.
type overs struct {
	roots *RunRoots
	// stamp says what is added, which is read only when something is made of it.
	stamp string
	// ours are the bundle and the copies that are there: a run in a run sees them in
	// place of the machine's already.
	ours []fs.FileInfo
	list []Over
	err  error
}

func (b *overs) findOurs() {
	paths, _ := filepath.Glob(filepath.Join(b.roots.Dir, overDir, "*")) // the pattern is a constant
	for _, path := range append(paths, b.roots.Bundle) {
		if info, err := os.Stat(path); err == nil {
			b.ours = append(b.ours, info)
		}
	}
}

func (b *overs) isOurs(info fs.FileInfo) bool {
	return slices.ContainsFunc(b.ours, func(other fs.FileInfo) bool { return os.SameFile(info, other) })
}

// overDir is where copies are, in the directory for them.
const overDir = "over"

var _ = rundir.Register(overDir)

func stampOf(path string, info fs.FileInfo) string {
	return fmt.Sprintf("%s\x00%d\x00%d\x00", path, info.ModTime().UnixNano(), info.Size())
}

// added are the certificates that roots of others get.
func (b *overs) added() ([]*x509.Certificate, error) { return ca.ReadCertificates(b.roots.CA) }

func (b *overs) put(source, target string) {
	if !slices.ContainsFunc(b.list, func(o Over) bool { return o.Target == target }) {
		b.list = append(b.list, Over{source, target})
	}
}

// file puts the bundle over a file, if there is one.
func (b *overs) file(path string) {
	info, err := os.Stat(path) // most are not there, and to follow links takes a call for each directory
	if err != nil || !info.Mode().IsRegular() || b.isOurs(info) {
		return
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		b.put(b.roots.Bundle, real)
	}
}

// keystore puts a copy with our certificates over a JVM's roots. One that cannot be
// read, or has a password of its own, is left: a variable points JVMs at ours.
func (b *overs) keystore(path string) {
	info, err := os.Stat(path)
	if err != nil || b.isOurs(info) {
		return
	}
	copied := b.copyOf(path, info, ".keystore")
	if _, err := os.Stat(copied); err != nil {
		raw, err := os.ReadFile(path)
		if err != nil {
			return
		}
		added, err := b.added()
		if err != nil {
			b.err = err
			return
		}
		store, err := ca.AddToKeystore(raw, added, info.ModTime())
		if err != nil {
			return
		}
		if err := rundir.Ensure(copied, store, 0o644); err != nil {
			b.err = err
			return
		}
	}
	b.put(copied, path)
}

// copyOf names the copy of what is there now.
func (b *overs) copyOf(path string, info fs.FileInfo, suffix string) string {
	sum := sha256.Sum256([]byte(stampOf(path, info) + b.stamp))
	return filepath.Join(b.roots.Dir, overDir, hex.EncodeToString(sum[:8])+suffix)
}

// hashed is how a file is named that OpenSSL finds.
var hashed = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9a-f]{8}\.[0-9]+$`) })

// directory puts a copy with our certificates over a directory of roots, if roots are
// found there by their hash.
func (b *overs) directory(path string) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil || slices.ContainsFunc(b.list, func(o Over) bool { return o.Target == real }) {
		return
	}
	info, err := os.Stat(real)
	if err != nil || !info.IsDir() || b.isOurs(info) {
		return
	}
	copied := b.copyOf(real, info, ".d")
	if _, err := os.Stat(copied); err != nil {
		entries, err := os.ReadDir(real)
		if err != nil || !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return hashed().MatchString(e.Name()) }) {
			return
		}
		if err := b.copyDirectory(real, copied); err != nil {
			b.err = err
			return
		}
	}
	b.put(copied, real)
}

// copyDirectory makes a copy of a directory, whole or not at all.
func (b *overs) copyDirectory(from, to string) error {
	// By way of a file, as that makes the directories above with the mode that others need.
	if err := rundir.Ensure(filepath.Join(filepath.Dir(to), "README"), []byte("copies that runs see in place of the machine's\n"), 0o644); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(to), ".making-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := copyEntries(from, tmp); err != nil {
		return err
	}
	added, err := b.added()
	if err != nil {
		return err
	}
	for _, cert := range added {
		if err := addHashed(tmp, cert); err != nil {
			return err
		}
	}
	if err := os.Rename(tmp, to); err != nil && !os.IsExist(err) { // another run was faster
		return err
	}
	return nil
}

// maxCopied is how large a file may be that belongs to a directory of roots.
const maxCopied = 4 << 20

// copyEntries copies files, links and directories; what cannot be read is left out.
func copyEntries(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		source, target := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		info, err := e.Info()
		if err != nil {
			continue
		}
		switch {
		case e.Type()&fs.ModeSymlink != 0:
			link, err := os.Readlink(source)
			if err != nil {
				continue
			}
			err = os.Symlink(link, target)
			if err != nil {
				return err
			}
		case e.IsDir():
			if err := os.Mkdir(target, 0o755); err != nil {
				return err
			}
			if err := copyEntries(source, target); err != nil {
				return err
			}
		case info.Mode().IsRegular() && info.Size() <= maxCopied:
			raw, err := os.ReadFile(source)
			if err != nil {
				continue
			}
			if err := os.WriteFile(target, raw, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// addHashed adds a certificate as c_rehash(1) does, unless it is there: in a file, for
// those that read all whose names end so, with a link from the first free number of its
// hash.
func addHashed(dir string, cert *x509.Certificate) error {
	hash, err := ca.SubjectHash(cert)
	if err != nil {
		return nil // one that OpenSSL cannot find either
	}
	for n := 0; ; n++ {
		path := filepath.Join(dir, fmt.Sprintf("%08x.%d", hash, n))
		if _, err := os.Lstat(path); err != nil {
			name := fmt.Sprintf("agentproxy-%08x-%d.pem", hash, n)
			if err := os.WriteFile(filepath.Join(dir, name), ca.EncodePEM(cert), 0o644); err != nil {
				return err
			}
			return os.Symlink(name, path)
		}
		if is, err := ca.ReadCertificates(path); err == nil && slices.ContainsFunc(is, cert.Equal) {
			return nil
		}
	}
}

// bundles are where packages of Python bring roots of their own, below a directory
// of packages.
var bundles = []string{"certifi/cacert.pem", "pip/_vendor/certifi/cacert.pem", "botocore/cacert.pem", "httplib2/cacerts.txt", "grpc/_cython/_credentials/roots.pem"}

// environments are where interpreters and environments are, below the home directory.
var environments = []string{".local", ".pyenv/versions/*", ".local/share/pipx/venvs/*", ".local/share/uv/tools/*", ".local/share/uv/python/*",
	"miniconda3", "anaconda3", "miniforge3", ".virtualenvs/*"}

// below returns the directory and those in it, of a directory that is not large.
func below(dir string) []string {
	dirs := []string{dir}
	f, err := os.Open(dir)
	if err != nil {
		return dirs
	}
	defer f.Close()
	entries, _ := f.ReadDir(mostEntries)
	for _, e := range entries {
		if e.IsDir() {
			dirs = append(dirs, filepath.Join(dir, e.Name()))
		}
	}
	return dirs
}

// mostEntries is how many of a directory are looked at.
const mostEntries = 1000

// bundled returns the roots of the interpreters and environments in reach.
func (r *RunRoots) bundled() []string {
	w := &r.System
	prefixes := []string{w.Getenv("VIRTUAL_ENV"), w.Getenv("CONDA_PREFIX"), filepath.Join(r.Cwd, ".venv"), filepath.Join(r.Cwd, "venv"), filepath.Join(w.Root, "usr"), filepath.Join(w.Root, "usr/local")}
	for _, dir := range below(r.Cwd) {
		if _, err := os.Stat(filepath.Join(dir, "pyvenv.cfg")); err == nil { // as Python's venv makes them
			prefixes = append(prefixes, dir)
		}
	}
	for _, word := range r.Argv {
		if dir := filepath.Dir(word); filepath.Base(dir) == "bin" {
			if !filepath.IsAbs(dir) {
				dir = filepath.Join(r.Cwd, dir)
			}
			prefixes = append(prefixes, filepath.Dir(dir))
		}
	}
	for _, dir := range filepath.SplitList(r.Path) {
		prefixes = append(prefixes, filepath.Dir(dir))
	}
	prefixes = append(prefixes, w.user(environments...)...)
	var found []string
	seen := map[string]bool{}
	for _, prefix := range prefixes {
		if seen[prefix] || !filepath.IsAbs(prefix) || prefix == "/" {
			continue
		}
		seen[prefix] = true
		found = append(found, filepath.Join(prefix, "ssl/cacert.pem"), filepath.Join(prefix, "ssl/cert.pem")) // conda
		entries, _ := os.ReadDir(filepath.Join(prefix, "lib"))
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), "python") {
				continue
			}
			for _, packages := range []string{"site-packages", "dist-packages"} {
				for _, b := range bundles {
					found = append(found, filepath.Join(prefix, "lib", e.Name(), packages, b))
				}
			}
		}
	}
	return found
}

// shared are directories of programs of many origins, below which nothing is one
// program's alone.
var shared = pattern(`^(?:/usr(?:/local)?|/snap|)/s?bin$|/(?:\.local|\.cargo|go|\.volta|\.bun|\.deno|shims)/?(?:bin)?$|/node_modules/\.bin$|/\.?v?env/bin$`)

// How far it is looked for roots beside a program.
const (
	maxBeside      = 3000 // files
	maxBesideDepth = 4
	leastInBundle  = 10 // certificates that make a file a bundle
)

// beside returns the bundles of roots in the directory that a program came in.
func beside(program string) []string {
	path, err := filepath.EvalSymlinks(program)
	if err != nil || shared().MatchString(filepath.Dir(path)) {
		return nil
	}
	top := filepath.Dir(path)
	if filepath.Base(top) == "bin" {
		top = filepath.Dir(top)
	}
	if len(strings.Split(top, "/")) < 3 { // "/", "/opt"
		return nil
	}
	var found []string
	seen := 0
	filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
		seen++
		switch depth := strings.Count(strings.TrimPrefix(path, top), "/"); {
		case err != nil:
			return nil
		case seen > maxBeside:
			return fs.SkipAll
		case e.IsDir() && (depth >= maxBesideDepth || e.Name() == ".git" || e.Name() == "node_modules"):
			return fs.SkipDir
		case e.Type().IsRegular() && slices.Contains([]string{".pem", ".crt", ".txt"}, filepath.Ext(path)) && isBundle(path):
			found = append(found, path)
		}
		return nil
	})
	return found
}

// isBundle reports whether a file holds many certificates.
func isBundle(path string) bool {
	info, err := os.Stat(path)
	if err != nil || info.Size() < 10<<10 || info.Size() > maxCopied {
		return false
	}
	raw, err := os.ReadFile(path)
	return err == nil && bytes.Count(raw, []byte("-----BEGIN CERTIFICATE-----")) >= leastInBundle
}

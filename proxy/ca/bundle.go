package ca

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/proxy/atomicfile"
	"github.com/agentproxy/agentproxy/proxy/rundir"
)

// BundleFile is the bundle's name in the state directory.
const BundleFile = "ca-bundle.crt"

var _ = rundir.Register("ca-bundle*")

// systemBundles are where systems keep their roots in one PEM file; the first
// that exists counts (the list of Go's crypto/x509/root_linux.go, and macOS).
var systemBundles = []string{
	"/etc/ssl/certs/ca-certificates.crt",                // Debian, Ubuntu, Arch, Alpine
	"/etc/pki/tls/certs/ca-bundle.crt",                  // Fedora, RHEL 6
	"/etc/ssl/ca-bundle.pem",                            // openSUSE
	"/etc/pki/tls/cacert.pem",                           // OpenELEC
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // RHEL 7 and later
	"/etc/ssl/cert.pem",                                 // Alpine, macOS, BSD
}

// SystemBundle returns the system's root bundle, or "" when there is none.
func SystemBundle() string {
	for _, path := range systemBundles {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}

// SystemBundles are the files that may hold a system's roots in PEM, on any system
// that is known.
func SystemBundles() []string {
	return append([]string{
		"/etc/ca-certificates/extracted/tls-ca-bundle.pem", // Arch
		"/var/lib/ca-certificates/ca-bundle.pem",           // SUSE
		"/etc/ssl/certs/ca-bundle.crt",                     // Fedora's link, and Nix
		"/usr/lib/ssl/cert.pem", "/usr/local/ssl/cert.pem", // OpenSSL's own default (OPENSSLDIR)
		"/usr/local/etc/openssl/cert.pem", "/usr/local/etc/openssl@3/cert.pem",
		"/usr/share/ssl/certs/ca-bundle.crt", "/etc/pki/tls/cert.pem",
	}, systemBundles...)
}

// SystemDirectories are those in which OpenSSL looks for roots by their hash.
func SystemDirectories() []string {
	return []string{"/etc/ssl/certs", "/etc/pki/tls/certs", "/etc/pki/ca-trust/extracted/pem/directory-hash", "/etc/ca-certificates/extracted/cadir",
		"/var/lib/ca-certificates/openssl", "/usr/lib/ssl/certs", "/usr/local/ssl/certs"}
}

// Roots returns the pool that origins and https:// upstreams are verified
// against: the system's roots and the extra files. It does not follow
// SSL_CERT_FILE, because one daemon serves runs with different environments;
// only where the system has no roots at all is fallback read.
func Roots(fallback string, extra ...string) (*x509.CertPool, error) {
	system := SystemBundle()
	if system == "" {
		system = fallback
	}
	pool := x509.NewCertPool()
	if system == "" {
		var err error
		if pool, err = x509.SystemCertPool(); err != nil {
			return nil, err
		}
	} else if raw, err := os.ReadFile(system); err != nil {
		return nil, err
	} else {
		pool.AppendCertsFromPEM(raw)
	}
	for _, path := range extra {
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if !pool.AppendCertsFromPEM(raw) {
			return nil, fmt.Errorf("%s holds no PEM certificate", path)
		}
	}
	return pool, nil
}

// HasRoots reports whether Roots would trust anybody.
func HasRoots(fallback string, extra ...string) bool {
	pool, err := Roots(fallback, extra...)
	return err == nil && !pool.Equal(x509.NewCertPool())
}

// Bundle is a merged PEM file.
type Bundle struct {
	// Path of the file.
	Path string
	// HasSystemRoots is true when the system's roots are in it.
	HasSystemRoots bool
	// Changed is true when this call wrote the file.
	Changed bool
}

// BuildBundle makes sure that out holds an up-to-date bundle of the system's
// roots, our CA in dir and the extra files and directories (the user's own CA
// settings), and returns it. When nothing changed it costs a stat per source, and
// a look at the bundle: one that was damaged, as by a power failure, is made anew.
// Runs with different extra sources get different files. Sources that do not
// exist or hold no certificate are passed over: they are the user's, and were
// broken before us.
func BuildBundle(dir, out string, extra ...string) (Bundle, error) {
	system := SystemBundle()
	sources := mergeSources(dir, out, system, extra)
	b := Bundle{Path: filepath.Join(out, bundleName(dir, out, system, sources)), HasSystemRoots: system != ""}
	if sameFile(system, b.Path) { // in a run in whose view it is the system's, too
		return b, nil
	}
	stamp := stampOf(sources)
	stampPath := b.Path + stampSuffix
	if old, err := rundir.ReadFile(stampPath); err == nil {
		if is, err := rundir.State(b.Path); err == nil && string(old) == stamp+is {
			return b, nil
		}
	}
	certs, err := readCerts(sources)
	if err != nil {
		return b, err
	}
	var text bytes.Buffer
	for _, der := range certs {
		text.Write(encodeCert(der))
	}
	if err := atomicfile.WriteDurably(b.Path, text.Bytes(), 0o644); err != nil {
		return b, err
	}
	b.Changed = true
	is, err := rundir.State(b.Path)
	if err != nil {
		return b, err
	}
	return b, atomicfile.Write(stampPath, []byte(stamp+is), 0o644)
}

func sameFile(a, b string) bool {
	is, err := os.Stat(a)
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(is, other)
}

// mergeSources lists the files to read, each once, our CA first.
func mergeSources(dir, out, system string, extra []string) []string {
	sources := []string{filepath.Join(dir, rundir.CertFile)}
	if system != "" {
		sources = append(sources, system)
	}
	seen := map[string]bool{filepath.Join(out, rundir.CertFile): true} // a copy of ours
	for _, s := range sources {
		seen[resolve(s)] = true
	}
	systemDir := ""
	if system != "" {
		systemDir = filepath.Dir(resolve(system))
	}
	var users []string
	for _, s := range expand(extra) {
		real := resolve(s)
		if s == "" || seen[real] || real == systemDir {
			continue
		}
		seen[real] = true
		users = append(users, s)
	}
	slices.Sort(users)
	return append(sources, users...)
}

// expand replaces bundles of ours by what they were made of: an exec inside an
// exec must end with the same bundle and not merge one into another.
func expand(extra []string) []string {
	var out []string
	for _, path := range extra {
		stamp, err := rundir.ReadFile(path + stampSuffix) // one beside a file of the user's may be anybody's
		if err != nil {
			out = append(out, path)
			continue
		}
		for line := range strings.Lines(string(stamp)) {
			if fields := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 3); len(fields) == 3 {
				out = append(out, fields[2])
			}
		}
	}
	return out
}

func resolve(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

func bundleName(dir, out, system string, sources []string) string {
	if len(sources) == len(mergeSources(dir, out, system, nil)) {
		return BundleFile
	}
	sum := sha256.Sum256([]byte(strings.Join(sources, "\x00")))
	return "ca-bundle-" + hex.EncodeToString(sum[:6]) + ".crt"
}

// stampSuffix is appended to a bundle's name for the file that says what it was
// made of, and last what it is: its state when it was written.
const stampSuffix = ".stamp"

// stampOf describes the state of the sources without reading them, a line
// "size mtime path" each.
func stampOf(sources []string) string {
	var b strings.Builder
	for _, s := range sources {
		if info, err := os.Stat(s); err == nil {
			fmt.Fprintf(&b, "%d %d %s\n", info.Size(), info.ModTime().UnixNano(), s)
		} else {
			fmt.Fprintf(&b, "- - %s\n", s)
		}
	}
	return b.String()
}

// readCerts reads the certificates of all sources, each certificate once.
func readCerts(sources []string) ([][]byte, error) {
	var certs [][]byte
	seen := map[[32]byte]bool{}
	for i, path := range sources {
		raw, err := readSource(path)
		if err != nil && i == 0 {
			return nil, err // our own CA must be there
		}
		for _, der := range certificates(raw) {
			cert, err := x509.ParseCertificate(der)
			if err != nil {
				continue
			}
			if sum := sha256.Sum256(cert.Raw); !seen[sum] {
				seen[sum] = true
				certs = append(certs, cert.Raw)
			}
		}
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("no certificate found in %s", strings.Join(sources, ", "))
	}
	return certs, nil
}

// certificates returns those of a PEM file, or of a JVM's truststore.
func certificates(raw []byte) [][]byte {
	var ders [][]byte
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" || block.Type == "TRUSTED CERTIFICATE" {
			ders = append(ders, block.Bytes)
		}
	}
	if len(ders) == 0 {
		return keystore(raw)
	}
	return ders
}

// readSource reads a PEM file, or every file of a directory (SSL_CERT_DIR).
func readSource(path string) ([]byte, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return os.ReadFile(path)
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	var all []byte
	for _, e := range entries {
		if raw, err := os.ReadFile(filepath.Join(path, e.Name())); err == nil {
			all = append(append(all, raw...), '\n')
		}
	}
	return all, nil
}

// ParseCertificates returns the certificates of PEM text, without those that
// cannot be parsed.
func ParseCertificates(raw []byte) []*x509.Certificate {
	var certs []*x509.Certificate
	for _, der := range certificates(raw) {
		if c, err := x509.ParseCertificate(der); err == nil {
			certs = append(certs, c)
		}
	}
	return certs
}

// ReadCertificates parses the certificates of a PEM file.
func ReadCertificates(path string) ([]*x509.Certificate, error) {
	ders, err := readCerts([]string{path})
	if err != nil {
		return nil, err
	}
	certs := make([]*x509.Certificate, 0, len(ders))
	for _, der := range ders {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
	return certs, nil
}

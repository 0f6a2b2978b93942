package trust

import (
	"crypto/sha1"
	"crypto/x509"
	"encoding/hex"
	"path/filepath"

	"github.com/agentproxy/agentproxy/proxy/ca"
)

// macOS keeps roots in keychains, which security(1) reads and writes: the
// system's for an administrator, else the user's own. This was compiled and
// never run by us.
const systemKeychain = "/Library/Keychains/System.keychain"

func findSystem(w *System) []string {
	if w.Admin {
		return []string{systemKeychain}
	}
	return []string{filepath.Join(w.Home, "Library", "Keychains", "login.keychain-db")}
}

func openSystem(_ *System, path, name string) *Location {
	return &Location{Store: "system", Path: path, name: name, backend: &keychain{path: path, name: name},
		byHand: "open the certificate in Keychain Access and delete it"}
}

type keychain struct{ path, name string }

// read lists the keychain's certificates; whether one is trusted is a setting
// beside it, that add makes and take removes.
func (k *keychain) read() (contents, error) {
	var h contents
	out, err := helper{argv: []string{"security", "find-certificate", "-a", "-p", k.path}}.run()
	if err != nil {
		return h, err
	}
	for _, c := range ca.ParseCertificates(out) {
		if name(c) == k.name {
			h.named = append(h.named, c)
		} else {
			h.others = append(h.others, c)
		}
	}
	return h, nil
}

func (k *keychain) add(a *Anchor) error {
	_, err := helper{argv: append(k.command("add-trusted-cert", "-r", "trustRoot", "-k", k.path), a.File)}.run()
	return err
}

func (k *keychain) take() error {
	h, err := k.read()
	if err != nil {
		return err
	}
	for _, c := range h.named {
		// Without trust settings there is nothing to remove, and that is no failure.
		helper{argv: k.command("remove-trusted-cert", "/dev/stdin"), stdin: ca.EncodePEM(c)}.run()
		if _, err := (helper{argv: []string{"security", "delete-certificate", "-Z", fingerprintSHA1(c), k.path}}).run(); err != nil {
			return err
		}
	}
	return nil
}

// command is one of security's that sets trust, for the whole machine (-d) when
// the keychain is the system's.
func (k *keychain) command(verb string, args ...string) []string {
	argv := []string{"security", verb}
	if k.path == systemKeychain {
		argv = append(argv, "-d")
	}
	return append(argv, args...)
}

// fingerprintSHA1 is how security(1) names a certificate.
func fingerprintSHA1(c *x509.Certificate) string {
	sum := sha1.Sum(c.Raw)
	return hex.EncodeToString(sum[:])
}

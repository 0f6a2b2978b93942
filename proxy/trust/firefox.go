package trust

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/agentproxy/agentproxy/proxy/ca"
)

// policyFile is where Firefox reads an administrator's policies on Linux, for
// all users and profiles (Mozilla's policy templates; Certificates.Install is
// the only one of its ways that works there, measured with Firefox 153 ESR).
const policyFile = "/etc/firefox/policies/policies.json"

// firefoxPrograms are there when Firefox is installed.
var firefoxPrograms = []string{"/usr/bin/firefox*", "/usr/lib/firefox*", "/usr/lib64/firefox*", "/opt/firefox*", "/snap/bin/firefox", "/etc/firefox"}

func findFirefox(w *System) []string {
	found := databases(w.user(firefoxProfiles...))
	if w.Admin && len(w.machine(firefoxPrograms...)) > 0 {
		found = append(found, filepath.Join(w.Root, policyFile))
	}
	return found
}

func openFirefox(_ *System, path, name string) *Location {
	if filepath.Base(path) != filepath.Base(policyFile) {
		return nssPlace("firefox", path, name)
	}
	s := &policyStore{file: path, cert: filepath.Join(filepath.Dir(path), name+".crt")}
	return &Location{Store: "firefox", Path: path, name: name, files: []string{path, s.cert}, byHand: "rm " + s.cert, backend: s}
}

// policyStore is one entry in the list Certificates.Install, and beside the file
// the certificate that it names, which every user can read.
type policyStore struct{ file, cert string }

// object is a JSON object whose other members stay as they are written.
type object map[string]json.RawMessage

// policies is the document, taken apart as far as our entry is deep.
type policies struct {
	document, policies, certificates object
	install                          []string
}

func (s *policyStore) load() (*policies, error) {
	p := &policies{}
	raw, err := os.ReadFile(s.file)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	for _, level := range []struct {
		member string
		into   any
	}{{"policies", &p.policies}, {"Certificates", &p.certificates}, {"Install", &p.install}} {
		var o object
		if err := json.Unmarshal(raw, &o); err != nil {
			return nil, fmt.Errorf("%s: %w", s.file, err)
		}
		if level.member == "policies" {
			p.document = o
		}
		if raw = o[level.member]; raw == nil {
			break
		}
		if err := json.Unmarshal(raw, level.into); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", s.file, level.member, err)
		}
	}
	return p, nil
}

// store puts the document together again, without members that we emptied.
func (s *policyStore) store(p *policies) error {
	document, err := put(p.certificates, "Install", p.install, len(p.install) == 0)
	if err == nil {
		document, err = put(p.policies, "Certificates", document, len(document) == 0)
	}
	if err == nil {
		document, err = put(p.document, "policies", document, len(document) == 0)
	}
	if err != nil {
		return err
	}
	before, _, err := observe(s.file)
	if err != nil {
		return err
	}
	if len(document) == 0 {
		return os.Remove(s.file)
	}
	raw, err := encode(document, "  ")
	if err != nil {
		return err
	}
	return replaceFile(s.file, raw, before)
}

// encode writes a value as it was: json.Marshal would escape <, > and &.
func encode(value any, indent string) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	err := enc.Encode(value)
	return b.Bytes(), err
}

// put sets a member, or removes an empty one.
func put(o object, member string, value any, empty bool) (object, error) {
	if o == nil {
		o = object{}
	}
	if empty {
		delete(o, member)
		return o, nil
	}
	raw, err := encode(value, "")
	o[member] = raw
	return o, err
}

func (s *policyStore) read() (contents, error) {
	var h contents
	p, err := s.load()
	if err != nil || !slices.Contains(p.install, s.cert) {
		return h, err
	}
	h.named, err = certsIn(s.cert)
	return h, err
}

func (s *policyStore) add(a *Anchor) error {
	p, err := s.load()
	if err != nil {
		return err
	}
	if err := replaceFile(s.cert, ca.EncodePEM(a.Cert), nil); err != nil {
		return err
	}
	if !slices.Contains(p.install, s.cert) {
		p.install = append(p.install, s.cert)
	}
	return s.store(p)
}

func (s *policyStore) take() error {
	p, err := s.load()
	if err != nil {
		return err
	}
	if i := slices.Index(p.install, s.cert); i >= 0 {
		p.install = slices.Delete(p.install, i, i+1)
		if err := s.store(p); err != nil {
			return err
		}
	}
	if err := os.Remove(s.cert); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

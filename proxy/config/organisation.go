package config

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/agentproxy/agentproxy/proxy/atomicfile"
	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/rundir"
)

// machinePolicy is the file with the rules for everybody on this machine.
var machinePolicy = "/etc/agentproxy/policy.toml"

// addOrganisation reads the rules of the machine, where there are any, and those of
// the file that the configuration names.
func (c *Config) addOrganisation() error {
	var files []string
	if _, err := os.Stat(machinePolicy); !errors.Is(err, fs.ErrNotExist) {
		files = append(files, machinePolicy)
	}
	if named := c.Policy.Organisation; named != "" && !isURL(named) {
		if !filepath.IsAbs(named) {
			named = filepath.Join(filepath.Dir(c.Path), named)
		}
		files = append(files, named)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("your organisation's policy: %w", err)
		}
		layer, err := parseLayer(file, raw)
		if err != nil {
			return err
		}
		c.Organisation = append(c.Organisation, Project{Path: file, Policy: layer})
	}
	return nil
}

func isURL(organisation string) bool { return strings.Contains(organisation, "://") }

// parsePublisher checks where an organisation publishes its policy.
func parsePublisher(organisation string) error {
	u, err := url.Parse(organisation)
	switch {
	case err != nil:
		return errors.New("not a URL")
	case u.Scheme != "https" || u.Hostname() == "":
		return errors.New("neither a file nor an https URL")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errors.New("the URL has more than host, port and path")
	}
	return nil
}

// parseKey reads an Ed25519 public key: its 32 bytes in base64.
func parseKey(text string) (ed25519.PublicKey, error) {
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("it is not the %d bytes of an Ed25519 public key in base64", ed25519.PublicKeySize)
	}
	return key, nil
}

// checkOrganisation checks each of the two values by itself.
func (p Policy) checkOrganisation() error {
	if isURL(p.Organisation) {
		if err := parsePublisher(p.Organisation); err != nil {
			return fmt.Errorf("policy.organisation: %w", err)
		}
	}
	if p.OrganisationKey != "" {
		if _, err := parseKey(p.OrganisationKey); err != nil {
			return fmt.Errorf("policy.organisation_key: %w", err)
		}
	}
	return nil
}

// checkPinned checks them together.
func (p Policy) checkPinned() error {
	if isURL(p.Organisation) && p.OrganisationKey == "" {
		return errors.New("policy.organisation is a URL, and no policy.organisation_key says who must have signed what is there")
	}
	if p.OrganisationKey != "" && !isURL(p.Organisation) {
		return errors.New("policy.organisation_key is for a policy.organisation that is an https URL")
	}
	return nil
}

// Publisher is where an organisation's policy is published, and the key that signs
// it. Its zero value is none.
type Publisher struct {
	// URL is https.
	URL string
	key string // ed25519.PublicKey, to be compared
}

// Publisher is the organisation's; ok is false where it has none.
func (p Policy) Publisher() (from Publisher, ok bool) {
	key, err := parseKey(p.OrganisationKey)
	if err != nil || !isURL(p.Organisation) {
		return Publisher{}, false
	}
	return Publisher{URL: p.Organisation, key: string(key)}, true
}

// Copy is a policy as it was fetched. It lies in the state directory.
type Copy struct {
	Policy    []byte `json:"policy"`
	Signature []byte `json:"signature"` // Ed25519 (RFC 8032) over Policy
	ETag      string `json:"etag,omitempty"`
	// Fetched is when the publisher last said that it is the current one.
	Fetched time.Time `json:"fetched"`
	// Problem is why the last attempt to say so failed, "" when it did not.
	Problem string `json:"problem,omitempty"`
}

const copyName = "organisation-"

var _ = rundir.Register(copyName + "*.json")

func (from Publisher) path(dir string) string {
	sum := sha256.Sum256([]byte(from.URL + "\x00" + from.key))
	return filepath.Join(dir, copyName+hex.EncodeToString(sum[:6])+".json")
}

// Read returns the copy in a state directory; fs.ErrNotExist when there is none. One
// with a wrong signature is an error.
func (from Publisher) Read(dir string) (*Copy, error) {
	raw, err := rundir.ReadFile(from.path(dir))
	if err != nil {
		return nil, err
	}
	c := new(Copy)
	if err := json.Unmarshal(raw, c); err != nil {
		return nil, fmt.Errorf("%s: %w", from.path(dir), err)
	}
	_, err = from.layer(c)
	return c, err
}

// Write puts a copy into a state directory.
func (from Publisher) Write(dir string, c *Copy) error {
	raw, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return atomicfile.Write(from.path(dir), raw, 0o600)
}

// Accept makes what was fetched a copy: the policy, and the base64 text of its
// signature. The error says why it is not believed.
func (from Publisher) Accept(policy, signature []byte, etag string, now time.Time) (*Copy, error) {
	decoded, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(signature)), ""))
	if err != nil {
		return nil, fmt.Errorf("%s.sig is no base64", from.URL)
	}
	c := &Copy{Policy: policy, Signature: decoded, ETag: etag, Fetched: now}
	_, err = from.layer(c)
	return c, err
}

// layer are the rules of a copy. Nothing is read before the signature is right.
func (from Publisher) layer(c *Copy) (Layer, error) {
	if !ed25519.Verify(ed25519.PublicKey(from.key), c.Policy, c.Signature) {
		return Layer{}, fmt.Errorf("%s: the signature is not one by policy.organisation_key", from.URL)
	}
	return parseLayer(from.URL, c.Policy)
}

// Published is an organisation's policy as its newest copy has it.
type Published struct {
	URL    string
	Policy Layer
	// Fetched is zero when there has never been a good copy; see Copy for the rest.
	Fetched time.Time
	Problem string
	// Text is what was signed.
	Text []byte
}

// addPublished reads the newest copy in the state directories. That there is none is
// no error yet: a tunnel fetches it.
func (c *Config) addPublished(m machine, dirs []string) {
	from, ok := c.Policy.Publisher()
	if !ok {
		return
	}
	c.Published = &Published{URL: from.URL}
	for _, dir := range dirs {
		is, err := from.Read(dir)
		if err != nil || !is.Fetched.After(c.Published.Fetched) {
			continue
		}
		layer, _ := from.layer(is) // Read has read it
		c.Published.Policy, c.Published.Fetched, c.Published.Problem, c.Published.Text = layer, is.Fetched, is.Problem, is.Policy
	}
	for _, list := range []*[]string{&c.Published.Policy.Allow, &c.Published.Policy.Deny} {
		var empty []string
		*list, empty = m.expand(*list)
		c.Policy.Empty = append(c.Policy.Empty, empty...)
	}
}

// Unfetched is an error when an organisation's policy has never been fetched: then it
// is not known what is allowed.
func (c *Config) Unfetched() error {
	if c.Published == nil || !c.Published.Fetched.IsZero() {
		return nil
	}
	return fmt.Errorf("your organisation's policy %s has not been fetched yet", c.Published.URL)
}

// FromState is the configuration with the organisation's policy as the state directory
// has it, for a process that was handed the rest.
func (c *Config) FromState(s *Source, dir string) (*Config, error) {
	if s == nil {
		s = &Source{}
	}
	whole := *c
	whole.addPublished(machine{getenv: s.getenv, dir: s.Dir, root: "/"}, []string{dir})
	if err := whole.Unfetched(); err != nil {
		return nil, err
	}
	_, err := policy.New(whole.rules())
	return &whole, err
}

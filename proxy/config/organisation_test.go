package config

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/proxytest/leftout"
	"github.com/agentproxy/agentproxy/proxy/rundir"
)

const publishedAt = "https://policy.example/agentproxy.toml"

// publisher is one with a new key.
func publisher(t *testing.T) (Publisher, ed25519.PrivateKey, string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	key := base64.StdEncoding.EncodeToString(public)
	from, ok := Policy{Organisation: publishedAt, OrganisationKey: key}.Publisher()
	if !ok {
		t.Fatal("it is no publisher")
	}
	return from, private, key
}

func signature(private ed25519.PrivateKey, text string) []byte {
	return []byte(base64.StdEncoding.EncodeToString(ed25519.Sign(private, []byte(text))) + "\n")
}

func TestOnlyWhatTheKeySignedIsAccepted(t *testing.T) {
	from, private, _ := publisher(t)
	_, stranger, _ := publisher(t)
	const text = "[policy]\ndeny = [\"evil.example\"]\n"
	for name, c := range map[string]struct {
		text, want string
		signature  []byte
	}{
		"right":           {text, "", signature(private, text)},
		"another's":       {text, "the signature is not one by policy.organisation_key", signature(stranger, text)},
		"of another text": {text + "\n", "the signature is not one by", signature(private, text)},
		"none":            {text, "the signature is not one by", nil},
		"no base64":       {text, publishedAt + ".sig is no base64", []byte("<html>")},
		"not a policy":    {"[policy]\ndney = []\n", publishedAt + ":2:1: unknown key policy.dney", signature(private, "[policy]\ndney = []\n")},
	} {
		_, err := from.Accept([]byte(c.text), c.signature, "", time.Now())
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// A copy that somebody has changed is none.
func TestACopyIsVerifiedWhenItIsRead(t *testing.T) {
	from, private, key := publisher(t)
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	if err := rundir.MakeDir(state); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(path, []byte("[policy]\norganisation = \""+publishedAt+"\"\norganisation_key = \""+key+"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	load := func() *Config {
		c, err := Load(path, func(name string) string {
			return map[string]string{"AGENT_PROXY_STATE_DIR": state}[name]
		}, "")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if _, err := from.Read(state); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a copy: %v", err)
	}
	if err := load().Unfetched(); err == nil {
		t.Error("without a copy nothing is missing")
	}
	const text = "[policy]\ndeny = [\"evil.example\"]\n"
	is, err := from.Accept([]byte(text), signature(private, text), `"1"`, time.Now())
	if err == nil {
		err = from.Write(state, is)
	}
	if err != nil {
		t.Fatal(err)
	}
	c := load()
	if layers := c.Rules().Layers; c.Unfetched() != nil || len(layers) != 1 || !layers[0].Fixed || layers[0].Deny[0] != "evil.example" {
		t.Errorf("%+v", layers)
	}
	is.Policy = []byte("[policy]\n")
	raw, err := json.Marshal(is)
	if err == nil {
		err = os.WriteFile(from.path(state), raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if load().Unfetched() == nil {
		t.Error("a changed copy is believed")
	}
	if info, err := os.Stat(from.path(state)); err != nil || info.Mode().Perm() != 0o600 || !rundir.IsRegistered(info.Name()) {
		t.Errorf("%v, %v", info, err)
	}
}

func TestAnOrganisationsURLIsChecked(t *testing.T) {
	_, _, key := publisher(t)
	for _, c := range []struct{ text, want string }{
		{"organisation = \"" + publishedAt + "\"\n", "no policy.organisation_key says who must have signed"},
		{"organisation = \"corp.toml\"\norganisation_key = \"" + key + "\"\n", "is for a policy.organisation that is an https URL"},
		{"organisation = \"http://policy.example/x\"\n", "c.toml:2:16: policy.organisation: neither a file nor an https URL"},
		{"organisation = \"https://me:hunter2@policy.example/x\"\n", "more than host, port and path"},
		{"organisation = \"https://policy.example/x?token=hunter2\"\n", "more than host, port and path"},
		{"organisation = \"" + publishedAt + "\"\norganisation_key = \"short\"\n", "c.toml:3:20: policy.organisation_key: it is not the 32 bytes"},
		{"organisation = \"" + publishedAt + "\"\norganisation_key = \"" + key + "\"\ndeny = [\"a b\"]\n", "c.toml:4:9: policy.deny"},
	} {
		_, err := Parse("/etc/c.toml", []byte("[policy]\n"+c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %s", c.text, err, c.want)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("a secret is in the error: %v", err)
		}
	}
}

// The commands that the policy's page gives to administrators make what is accepted.
func TestSignedAsDocumented(t *testing.T) {
	if exec.Command("openssl", "genpkey", "-algorithm", "ed25519").Run() != nil {
		leftout.Note(t, "signing with openssl, which is not here or does not know Ed25519")
		return
	}
	page, err := os.ReadFile("../policy/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, commands, ok := strings.Cut(string(page), "```sh\nopenssl genpkey")
	commands, _, end := strings.Cut("openssl genpkey"+commands, "```")
	if !ok || !end {
		t.Fatal("the page does not say how to sign")
	}
	dir := t.TempDir()
	const text = "[policy]\ndeny = [\"evil.example\"]\n"
	if err := os.WriteFile(filepath.Join(dir, "agentproxy.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-e")
	cmd.Dir, cmd.Stdin, cmd.Stderr = dir, strings.NewReader(commands), os.Stderr
	key, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	signature, err := os.ReadFile(filepath.Join(dir, "agentproxy.toml.sig"))
	if err != nil {
		t.Fatal(err)
	}
	from, ok := Policy{Organisation: publishedAt, OrganisationKey: strings.TrimSpace(string(key))}.Publisher()
	if !ok {
		t.Fatalf("%q is no key", key)
	}
	if _, err := from.Accept([]byte(text), signature, "", time.Now()); err != nil {
		t.Error(err)
	}
}

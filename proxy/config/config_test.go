package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "corp.pem"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := Parse(filepath.Join(dir, "config.toml"), []byte(`
[egress]
extra_roots = ["corp.pem"]
[egress.connect_to]
"API.test.:443" = "127.0.0.1:8443"
[policy]
default = "deny"
allow = ["*.example.com"]
private = ["10.1.2.0/24"]
[front]
idle_exit = "0"
compat = false
`))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Egress.ExtraRoots[0]; got != filepath.Join(dir, "corp.pem") {
		t.Errorf("extra root %s", got)
	}
	if got := c.Egress.ConnectTo["api.test:443"]; got != "127.0.0.1:8443" {
		t.Errorf("connect_to %v", c.Egress.ConnectTo)
	}
	if idle, err := c.Front.Idle(); idle != 0 || err != nil || c.Front.CompatEnabled() {
		t.Errorf("front %+v: %s, %v", c.Front, idle, err)
	}
}

func TestParseErrorsSayWhere(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"[policy]\nalow = []\n", "c.toml:2:1: unknown key policy.alow"},
		{"[egres]\nupstream = \"\"\n", "c.toml:1:2: unknown key egres"},
		{"[policy]\nallow = \"x\"\n", "c.toml:2:9: "},
		{"[policy\n", "c.toml:1:"},
		{"[policy]\ndefault = \"maybe\"\n", `"maybe"`},
		{"[policy]\ndeny = [\"a b\"]\n", `policy.deny: "a b"`},
		{"[egress]\nupstream = \"ftp://x\"\n", `egress.upstream: the scheme must be http or https, not "ftp"`},
		{"[egress]\nupstream = \"http://me:hunter2@\"\n", "egress.upstream: the URL names no host"},
		{"[egress]\nextra_roots = [\"nope.pem\"]\n", "nope.pem"},
		{"[egress.connect_to]\n\"x\" = \"y:1\"\n", `egress.connect_to: "x" has no port`},
		{"[front]\nidle_exit = \"soon\"\n", `front.idle_exit: "soon"`},
		{"[front]\nport = 70000\n", "front.port: 70000"},
	} {
		_, err := Parse("/etc/c.toml", []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %s", c.text, err, c.want)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the password is in the error: %v", err)
		}
	}
}

func TestLoad(t *testing.T) {
	home := t.TempDir()
	getenv := func(vars map[string]string) func(string) string {
		return func(name string) string { return vars[name] }
	}
	if c, err := Load("", getenv(map[string]string{"XDG_CONFIG_HOME": home}), ""); err != nil || c.Path != "" {
		t.Errorf("no file: %+v, %v", c, err)
	}
	if _, err := Load("", getenv(map[string]string{"AGENTPROXY_CONFIG": home + "/nope"}), ""); err == nil {
		t.Error("a file that was named and is not there must be an error")
	}
	path := filepath.Join(home, "agentproxy", "config.toml")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("[policy]\ndefault = \"deny\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if c, err := Load("", getenv(map[string]string{"XDG_CONFIG_HOME": home}), ""); err != nil || c.Path != path || c.Policy.Default != "deny" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestUpstreamURL(t *testing.T) {
	for in, want := range map[string]string{
		"http://proxy.test": "http://proxy.test:80", "https://u:p@proxy.test/": "https://proxy.test:443", "http://[::1]:3128": "http://[::1]:3128",
	} {
		u, err := ParseUpstream(in)
		if err != nil || Redact(u) != want {
			t.Errorf("%s: %v, %v", in, u, err)
		}
	}
}

// No input panics, and what is accepted is complete.
func FuzzParse(f *testing.F) {
	f.Add("[policy]\nallow = [\"*.example.com\", \"10.0.0.0/8\"]\n")
	f.Add("[egress]\nupstream = \"http://u:p@h:1\"\n[egress.connect_to]\n\"a:1\"=\"b:2\"\n")
	f.Add("[front]\nport=1\nidle_exit=\"1h\"\n")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := Parse("/c.toml", []byte(s))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "/c.toml:") {
				t.Fatalf("the error does not name the file: %v", err)
			}
			return
		}
		if _, err := c.Front.Idle(); err != nil {
			t.Fatal(err)
		}
		for from := range c.Egress.ConnectTo {
			if from != strings.ToLower(from) {
				t.Fatalf("connect_to is not normalised: %q", from)
			}
		}
	})
}

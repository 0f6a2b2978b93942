package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
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

// What is wrong with a file is said with its place, marked in its text, and in words of
// the file's.
func TestProblems(t *testing.T) {
	for text, want := range map[string]string{
		"[policy]\nalow = [\"x\"]\n": `f:2:1: unknown key policy.alow; did you mean policy.allow?
  2 | alow = ["x"]
    | ^^^^
[policy] has default, allow, deny`,
		"[polcy]\n":                  "f:1:2: unknown key polcy; did you mean policy?\n  1 | [polcy]\n    |  ^^^^^\na configuration has the tables egress, policy",
		"[egress]\ndeny = [\"x\"]\n": "f:2:1: unknown key egress.deny; it belongs into [policy]\n  2 | deny = [\"x\"]\n    | ^^^^\n[egress] has upstream, ",
		"[policy]\n\tdeny = [\n\t\t\"é.example\",\n\"ok\", \"https://me:s3cret@evil.example/x\"]\n": `f:4:7: policy.deny: a URL stands where a host is wanted; write "evil.example"
  4 | "ok", "https://…@evil.example/x"]
    |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^`,
		"[policy]\ndeny = \"x\"\n":              "f:2:8: policy.deny takes a list of texts, such as [\"one\", \"two\"]\n  2 | deny = \"x\"\n    |        ^",
		"[front]\nport = \"x\"\n":               "f:2:8: front.port takes a number\n  2 | port = \"x\"\n    |        ^",
		"[front]\ncompat = 1\n":                 "f:2:10: front.compat takes true or false\n  2 | compat = 1\n    |          ^",
		"[egress]\nupstream = \"p:3128\"\n":     "f:2:12: egress.upstream: the scheme is missing; write http:// or https:// before the address\n  2 | upstream = \"p:3128\"\n    |            ^^^^^^^^",
		"egress.connect_to = {\"a\" = \"b\"}\n": "f:1:1: egress.connect_to: \"a\" has no port\n  1 | egress.connect_to = {\"a\" = \"b\"}\n    | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^",
		"[policy\n":                             "f:1:8: expected ']' to close table name\n  1 | [policy\n    |        ^",
		"\xff\xfe[":                             "f: it is UTF-16; save it as UTF-8",
	} {
		_, err := Parse("f", []byte(text))
		var problem *Problem
		if !errors.As(err, &problem) {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := strings.Join(append([]string{problem.Error()}, problem.Detail()...), "\n"); !strings.HasPrefix(got, want) {
			t.Errorf("%q:\n%s\nwant\n%s", text, got, want)
		}
	}
	if _, err := Parse("f", []byte("\xef\xbb\xbf[policy]\r\ndefault = \"deny\"\r\n")); err != nil {
		t.Error(err)
	}
}

func FuzzProblem(f *testing.F) {
	f.Add([]byte("[policy]\nallow = [\"a b\"]"))
	f.Add([]byte("egress.upstream = \"me:s3cret@x\""))
	f.Add([]byte("a=\"\u024b\x9d"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var problem *Problem
		if _, err := Parse("/nonexistent/f", raw); errors.As(err, &problem) {
			problem.Detail()
		}
	})
}

// The manual's file is one that is taken, and has every key.
func TestManual(t *testing.T) {
	_, text, _ := strings.Cut(Manual, "```toml\n")
	text, _, _ = strings.Cut(text, "```")
	var c Config
	if err := toml.NewDecoder(strings.NewReader(text)).DisallowUnknownFields().Decode(&c); err != nil {
		t.Fatal(err)
	}
	for _, table := range keysOf(reflect.TypeFor[Config]()) {
		in, _ := fieldOf(reflect.TypeFor[Config](), table)
		_, section, _ := strings.Cut(text, "["+table+"]")
		for _, key := range keysOf(in) {
			if !strings.Contains(section, "\n"+key+" = ") && !strings.Contains(text, "["+table+"."+key+"]") {
				t.Errorf("%s.%s is not in the manual", table, key)
			}
		}
	}
}

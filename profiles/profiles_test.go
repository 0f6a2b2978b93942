package profiles

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every profile that we ship is whole, and its examples get their classes.
func TestBuiltIn(t *testing.T) {
	l := Open("")
	owner := map[string]string{}
	for _, name := range l.Names() {
		file, data, err := l.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Parse(file, data)
		if err != nil {
			t.Error(err)
			continue
		}
		if p.Runtime != "" {
			if runtime, _ := l.Named(p.Runtime); runtime == nil || len(runtime.Commands) == 0 {
				t.Errorf("%s: the runtime %q has no profile with commands", name, p.Runtime)
			}
		}
		if (len(p.Commands) == 0) != (p.Library || name == BaseName) {
			t.Errorf("%s covers no command, or is a library and covers some", name)
		}
		for _, c := range p.Commands {
			if owner[c] != "" {
				t.Errorf("%s and %s both cover %s", owner[c], name, c)
			}
			owner[c] = name
			if found, err := l.ForCommand(c); err != nil || found == nil || found.Name != name {
				t.Errorf("%s is not found by its command %s: %v", name, c, err)
			}
		}
	}
}

func TestErrorsSayWhere(t *testing.T) {
	for text, want := range map[string]string{
		"summary = 1\n":                 "t.txtar:1:11: ",
		"summary = \"x\"\ncolour = 1\n": `t.txtar:2:1: no field is called "colour"`,
		"summary = \"x\"\n[[env]]\nset = \"A\"\nvalue = \"{cat}\"\nreason = \"r\"\n":              "t.txtar:4:10: {cat} is nothing that can be filled in",
		"summary = \"x\"\n[[env]]\nset = \"A\"\nvalue = \"x\"\n":                                  "t.txtar:3:8: A needs a reason",
		"summary = \"x\"\n[[env]]\nset = \"A\"\nunset = \"B\"\nreason = \"r\"\n":                  "t.txtar:2:1: an env entry has one of",
		"summary = \"x\"\n[[env]]\nset = \"A\"\nwhen = \"22\"\nreason = \"r\"\n":                  `t.txtar:4:8: "22" is no comparison`,
		"summary = \"x\"\n[[rule]]\nclass = \"tls\"\nmatch = 'x'\n":                               `t.txtar:3:9: no class is called "tls"`,
		"summary = \"x\"\n[[rule]]\nclass = \"none\"\nmatch = '(x'\n":                             "t.txtar:4:10: error parsing regexp",
		"summary = \"x\"\n[[env]]\nset = \"A\"\nvalue=\"{file.rc}\"\nreason = \"r\"\n":            `t.txtar:4:8: no [[file]] is called "rc"`,
		"summary = \"x\"\n[[argv]]\ninsert = [\"-a\"]\nbehind = \"it\"\nreason = \"r\"\n":         `t.txtar:4:10: arguments go behind the command's name, or behind = "subcommand", not "it"`,
		"summary = \"x\"\n[[argv]]\ninsert = [\"-a\"]\ninside = true\nreason = \"r\"\n":           "t.txtar:4:1: where a tool is started inside another",
		"summary = \"x\"\n[[argv]]\ninsert = [\"-a\"]\nunless_match = '(x'\nreason = \"r\"\n":     "t.txtar:4:17: error parsing regexp",
		"summary = \"x\"\n[[rule]]\nclass = \"pinned\"\nmatch = '\\d+'\n":                         "t.txtar:4:10: the match needs a word of 7 letters",
		"summary = \"x\"\n[[rule]]\nclass = \"pinned\"\nmatch = '{nothing} known'\n":              "t.txtar:4:10: {nothing} is no phrase; there are {asked}",
		"summary = \"x\"\n[[rule]]\nclass = \"pinned\"\nmatch = 'is pinned'\nhost = \"remote\"\n": `t.txtar:4:10: host = "remote" needs a group "host"`,
		"summary = \"x\"\n[[rule]]\nclass = \"pinned\"\nmatch = 'pinned'\nnear = '(x'\n":          "t.txtar:5:9: error parsing regexp",
		"summary = \"x\"\n[[rule]]\nclass = \"pinned\"\n":                                         "t.txtar:2:1: a rule needs a match",
		"summary = \"x\"\n[[rule]]\nclass = \"pinned\"\nmatch = 'pinned'\nsuccess = true\n":       `t.txtar:3:9: success is of the class none`,
		"summary = \"x\"\n-- nonsense here --\nx\n":                                               `t.txtar:2:1: no class is called "nonsense"`,
		"summary = \"x\"\ncommands = [\n\"x\"]\n":                                                 "t.txtar:2:1: the commands must stand on one line",
		"commands = [\"x\"]\n": "t.txtar:1:1: a summary is missing",
	} {
		_, err := Parse("t.txtar", []byte(text))
		var where *Error
		if err == nil || !errors.As(err, &where) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
	}
}

func TestCondition(t *testing.T) {
	for _, c := range []struct {
		condition, version string
		want               bool
	}{
		{">=22.21 <23 || >=24.5", "22.21.0", true},
		{">=22.21 <23 || >=24.5", "22.20.9", false},
		{">=22.21 <23 || >=24.5", "23.11.1", false},
		{">=22.21 <23 || >=24.5", "24.10", true},
		{">=22.21 <23 || >=24.5", "", false},
		{"=2", "2.0.0", true},
		{">2", "2.0.1", true},
		{"<=3.8", "3.8.1", false},
	} {
		var condition Condition
		if err := condition.UnmarshalText([]byte(c.condition)); err != nil {
			t.Fatal(err)
		}
		if got := condition.Holds(c.version); got != c.want {
			t.Errorf("%q holds for %q: %v", c.condition, c.version, got)
		}
	}
}

func TestFindVersion(t *testing.T) {
	for output, want := range map[string]string{
		"v20.20.2\n": "20.20.2", "Python 3.13.0": "3.13.0", "openjdk version \"17.0.15\" 2025": "17.0.15", "no number 7": "",
	} {
		if got := (Probe{}).Find(output); got != want {
			t.Errorf("%q: %q", output, got)
		}
	}
	if got := (Probe{Pattern: `^gem (\S+)`}).Find("gem 3x"); got != "3x" {
		t.Errorf("with a pattern: %q", got)
	}
}

func testLibrary(t *testing.T, heads map[string]string) *Library {
	t.Helper()
	dir := t.TempDir()
	for name, head := range heads {
		if err := os.WriteFile(filepath.Join(dir, name+Ending), []byte(head), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Open(dir)
}

func TestUsersProfileReplacesOurs(t *testing.T) {
	l := testLibrary(t, map[string]string{"node": "summary = \"mine\"\ncommands = [\"node\"]\n"})
	if p, err := l.ForCommand("node"); err != nil || p.Summary != "mine" {
		t.Errorf("%v, %v", p, err)
	}
	broken := testLibrary(t, map[string]string{"mine": "commands = [\"mine\"]\nsummary = 1\n"})
	var where *Error
	if _, err := broken.ForCommand("mine"); !errors.As(err, &where) || where.Line != 2 {
		t.Errorf("a broken profile: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("summary = \"x\"\ncommands = [\"x\"]\n-- none a --\ny\n"))
	f.Add(head([]byte("[[env]]\nset = \"A\"\n")))
	f.Fuzz(func(t *testing.T, data []byte) {
		full, err := Parse("f.txtar", data)
		if err != nil {
			return
		}
		// What is whole can be read for a run, too.
		p, err := parse("f.txtar", data)
		if err != nil || p.Summary != full.Summary {
			t.Errorf("%v, %v", p, err)
		}
	})
}

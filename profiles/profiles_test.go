package profiles

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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

// machine has the programs and files that are named.
func machine(programs map[string]string, files map[string]string) World {
	return World{
		Home: "/home", Dir: "/home/p",
		LookPath: func(name string) string {
			if strings.Contains(name, "/") {
				if _, ok := files[name]; ok {
					return name
				}
				return ""
			}
			if _, ok := programs[name]; ok {
				return "/bin/" + name
			}
			return ""
		},
		Exists: func(p string) bool { _, ok := files[p]; return ok },
		ReadFile: func(p string) ([]byte, error) {
			if text, ok := files[p]; ok {
				return []byte(text), nil
			}
			return nil, fs.ErrNotExist
		},
		Version: func(program string, _ Probe) string { return programs[path.Base(program)] },
	}
}

// library has profiles of these heads, beside the base.
func testLibrary(t *testing.T, heads map[string]string) *Library {
	t.Helper()
	dir := t.TempDir()
	heads["base"] = `summary = "base"`
	for name, head := range heads {
		if err := os.WriteFile(filepath.Join(dir, name+Ending), []byte(head), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Open(dir)
}

var wrappers = map[string]string{
	"tool":    "summary = \"t\"\ncommands = [\"tool\", \"tool2\"]\nleaf = true\nruntime = \"engine\"\n",
	"engine":  "summary = \"e\"\ncommands = [\"engine\"]\n[inner]\nmodule = \"-m\"\n",
	"carrier": "summary = \"c\"\ncommands = [\"carry\"]\n[inner]\nassignments = true\nflags = [\"-u\"]\n",
	"bundle":  "summary = \"b\"\ncommands = [\"bundle\"]\n[inner]\nafter = [\"exec\"]\n",
	"timeout": "summary = \"t\"\ncommands = [\"timeout\"]\n[inner]\nskip = 1\n",
	"shell":   "summary = \"s\"\ncommands = [\"sh\"]\n[inner]\nshell = \"c\"\nscript = true\n",
}

func TestFindsToolsThroughWrappers(t *testing.T) {
	l := testLibrary(t, wrappers)
	w := machine(map[string]string{"script": "", "sh": ""}, map[string]string{
		"./run.sh":        "#!/bin/sh\nset -e\nif true; then tool install; fi\n",
		"/bin/script":     "#!/usr/bin/env -S engine --flag\nx\n",
		"/opt/bin/tool":   "ELF",
		"./plain":         "ELF",
		"/home/deploy.sh": "#!/bin/sh\n\"tool\" x\n",
		"/home/p/deploy":  "tool x\n",
	})
	for line, want := range map[string]struct {
		tools string
		open  bool
	}{
		"tool install":                        {"engine tool", false},
		"/opt/bin/tool install":               {"engine tool", false},
		"tool2 x":                             {"engine tool", false},
		"tool-3.13 x":                         {"engine tool", false},
		"unknown":                             {"", true},
		"carry A=1 -u B tool x":               {"carrier engine tool", false},
		"carry timeout 5 bundle exec tool":    {"carrier timeout bundle engine tool", false},
		"bundle install":                      {"bundle", true},
		"bundle exec unknown":                 {"bundle", true},
		"engine -m tool x":                    {"engine tool", false},
		"engine x.js":                         {"engine", true},
		"sh -ec X=1§tool§x;§echo§hi":          {"shell engine tool", false},
		"sh -c true§&&§tool§x§|§unknown":      {"shell engine tool", true},
		"sh -c echo§$(tool§x)":                {"shell engine tool", false},
		"sh -c echo§\"a§$(tool§x)\"":          {"shell engine tool", false},
		"sh -c echo§'tool§x;§tool'":           {"shell", false},
		"sh -c #§tool":                        {"shell", false},
		"sh -c carry§tool":                    {"shell carrier engine tool", false},
		"sh /home/deploy.sh":                  {"shell engine tool", true},
		"sh deploy":                           {"shell engine tool", true},  // no first line, and before one in PATH
		"sh -e bin/tool x":                    {"shell engine tool", false}, // a tool's own launcher
		"./run.sh":                            {"engine tool", true},
		"script x":                            {"engine", true},
		"./plain x":                           {"", true},
		"carry carry carry carry carry carry": {"carrier carrier carrier carrier carrier carrier", true},
	} {
		var argv []string
		for _, word := range strings.Fields(line) {
			argv = append(argv, strings.ReplaceAll(word, "§", " "))
		}
		s, err := l.Survey(argv, w)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, tool := range s.Tools[1:] {
			names = append(names, tool.Name)
			if tool.Index >= 0 && argv[tool.Index] != tool.Command {
				t.Errorf("%s: %s is not at %d", line, tool.Command, tool.Index)
			}
		}
		if got := strings.Join(names, " "); got != want.tools || s.Open != want.open {
			t.Errorf("%s: got %q, open %v; want %q, %v", line, got, s.Open, want.tools, want.open)
		}
	}
}

func TestEntriesApplyWhereTheySay(t *testing.T) {
	l := testLibrary(t, map[string]string{"tool": `
summary = "t"
commands = ["tool"]
leaf = true
[[env]]
set = "ALWAYS"
reason = "r"
[[env]]
set = "NEW"
when = ">=2"
reason = "r"
[[env]]
set = "OLD"
when = "<2"
reason = "r"
[[env]]
set = "RUN"
args = ["run", "exec"]
reason = "r"
[[env]]
set = "WIDE"
wide = true
reason = "r"
[[env]]
set = "PROJECT"
project = ["lib/marker"]
reason = "r"
[[env]]
set = "INSIDE"
inside = true
reason = "r"
[[argv]]
insert = ["--rc={state}"]
unless = ["--rc"]
unless_in = ["TOOL_OPTS"]
reason = "r"
[[argv]]
insert = ["--proxy"]
behind = "subcommand"
args = ["run"]
unless_match = '^localhost:'
reason = "r"
`, "wrapper": "summary = \"w\"\ncommands = [\"sh\"]\n[inner]\nshell = \"c\"\n"})
	marker := map[string]string{"/home/lib/marker": ""}
	for _, c := range []struct {
		argv  []string
		w     World
		env   []string
		argvs []int // their places
	}{
		{[]string{"tool", "-v", "run"}, machine(map[string]string{"tool": "1.9"}, nil), []string{"ALWAYS", "OLD", "RUN"}, []int{0, 2}},
		{[]string{"tool", "run", "localhost:1"}, machine(nil, nil), []string{"ALWAYS", "RUN"}, []int{0}},
		{[]string{"sh", "-c", "tool run"}, machine(nil, nil), []string{"ALWAYS", "RUN", "INSIDE"}, nil},
		{[]string{"tool", "--rc=mine"}, machine(map[string]string{"tool": "2.0"}, marker), []string{"ALWAYS", "NEW", "PROJECT"}, nil},
		{[]string{"tool"}, machine(nil, nil), []string{"ALWAYS"}, []int{0}},
		{[]string{"tool"}, withEnviron(machine(nil, nil), "TOOL_OPTS=-x --rc=mine"), []string{"ALWAYS"}, nil},
	} {
		s, err := l.Survey(c.argv, c.w)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range s.Env {
			names = append(names, e.Name())
		}
		var places []int
		for _, a := range s.Argv {
			places = append(places, a.Index)
		}
		if diff := cmp.Diff(c.env, names) + cmp.Diff(c.argvs, places); diff != "" {
			t.Errorf("%q: %s", c.argv, diff)
		}
	}
}

func withEnviron(w World, environ ...string) World {
	w.Environ = environ
	return w
}

func TestConflictsAndSwitches(t *testing.T) {
	l := testLibrary(t, map[string]string{"tool": `
summary = "t"
commands = ["tool"]
[[insecure]]
variable = "TOOL_INSECURE"
value = "^1$"
[[insecure]]
flags = ["-k", "--insecure"]
[[override]]
code = "tool_proxy"
files = ["$TOOL_RC", "./.toolrc", "~/.toolrc"]
match = '(?m)^\s*proxy\s*=\s*(\S*)'
is = "proxy"
advice = "remove it"
[[override]]
code = "tool_ca"
files = ["~/.toolrc"]
match = '(?m)^ca=(\S+)'
is = "ca"
env = [{set = "TOOL_CA", value = "{bundle}", reason = "r"}]
`})
	files := map[string]string{"/home/.toolrc": "x\n\nproxy = http://u:secret@p:1\nca=mine.pem\n"}
	w := machine(nil, files)
	w.Environ = []string{"TOOL_INSECURE=1"}
	s, err := l.Survey([]string{"tool", "-sSk", "x"}, w)
	if err != nil {
		t.Fatal(err)
	}
	want := []Conflict{
		{Code: "tool_proxy", Tool: "tool", File: "/home/.toolrc", Line: 3, Is: "proxy", Value: "http://u:secret@p:1", Advice: "remove it"},
		{Code: "tool_ca", Tool: "tool", File: "/home/.toolrc", Line: 4, Is: "ca", Value: "/home/mine.pem", Overruled: true,
			Env: []Env{{Set: "TOOL_CA", Value: "{bundle}", Reason: "r"}}},
	}
	if diff := cmp.Diff(want, s.Conflicts, cmp.AllowUnexported(Condition{})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Switch{{"TOOL_INSECURE", "TOOL_INSECURE=1"}, {"", "tool -sSk"}}, s.Switches); diff != "" {
		t.Error(diff)
	}

	files["/home/p/.toolrc"] = "proxy = http://nearer\n"
	w.Environ = nil
	if s, err = l.Survey([]string{"tool", "--", "-k"}, w); err != nil || len(s.Switches) != 0 || s.Conflicts[0].Value != "http://nearer" {
		t.Errorf("the nearest file counts, and -k behind -- is no flag: %v, %v, %v", s.Switches, s.Conflicts, err)
	}
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

func BenchmarkSurvey(b *testing.B) {
	w := machine(map[string]string{"node": "20.20.2"}, nil)
	for b.Loop() {
		if _, err := Open("").Survey([]string{"env", "A=1", "node", "x"}, w); err != nil {
			b.Fatal(err)
		}
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

func FuzzShellCommands(f *testing.F) {
	f.Add("a; b \"$(c d)\" | 'e' && # f\n`g`")
	f.Fuzz(func(t *testing.T, text string) {
		for _, argv := range shellCommands(text) {
			if len(argv) == 0 || argv[0] == "" {
				t.Errorf("%q has a command without a name: %q", text, argv)
			}
		}
	})
}

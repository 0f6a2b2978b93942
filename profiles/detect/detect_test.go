package detect

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/profiles"
	"github.com/google/go-cmp/cmp"
)

// machine has the programs and files that are named.
func machine(programs map[string]string, files map[string]string) System {
	return System{
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
		Version: func(program string, _ profiles.Probe) string { return programs[path.Base(program)] },
	}
}

// library has profiles of these heads, beside the base.
func testLibrary(t *testing.T, heads map[string]string) *profiles.Library {
	t.Helper()
	dir := t.TempDir()
	heads["base"] = `summary = "base"`
	for name, head := range heads {
		if err := os.WriteFile(filepath.Join(dir, name+profiles.Ending), []byte(head), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return profiles.Open(dir)
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
		s, err := Command(l, argv, w)
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
		w     System
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
		s, err := Command(l, c.argv, c.w)
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

func withEnviron(w System, environ ...string) System {
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
	s, err := Command(l, []string{"tool", "-sSk", "x"}, w)
	if err != nil {
		t.Fatal(err)
	}
	want := []Conflict{
		{Code: "tool_proxy", Tool: "tool", File: "/home/.toolrc", Line: 3, Is: "proxy", Value: "http://u:secret@p:1", Advice: "remove it"},
		{Code: "tool_ca", Tool: "tool", File: "/home/.toolrc", Line: 4, Is: "ca", Value: "/home/mine.pem", Overruled: true,
			Env: []profiles.Env{{Set: "TOOL_CA", Value: "{bundle}", Reason: "r"}}},
	}
	if diff := cmp.Diff(want, s.Conflicts, cmp.AllowUnexported(profiles.Condition{})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Switch{{"TOOL_INSECURE", "TOOL_INSECURE=1"}, {"", "tool -sSk"}}, s.Switches); diff != "" {
		t.Error(diff)
	}

	files["/home/p/.toolrc"] = "proxy = http://nearer\n"
	w.Environ = nil
	if s, err = Command(l, []string{"tool", "--", "-k"}, w); err != nil || len(s.Switches) != 0 || s.Conflicts[0].Value != "http://nearer" {
		t.Errorf("the nearest file counts, and -k behind -- is no flag: %v, %v, %v", s.Switches, s.Conflicts, err)
	}
}
func BenchmarkSurvey(b *testing.B) {
	w := machine(map[string]string{"node": "20.20.2"}, nil)
	for b.Loop() {
		if _, err := Command(profiles.Open(""), []string{"env", "A=1", "node", "x"}, w); err != nil {
			b.Fatal(err)
		}
	}
}

package shell

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/profiles/env"
)

// flags keep shells from reading what the user has set up.
var flags = map[string][]string{"bash": {"--norc"}, "zsh": {"-f"}, "fish": {"--no-config"}}

// each runs a test in every shell that is installed; sh always is.
func each(t *testing.T, test func(t *testing.T, s Shell, run func(text string, environ ...string) string)) {
	for _, name := range Names() {
		if _, err := exec.LookPath(name); err != nil && name != "sh" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, ok := Named(name)
			if !ok {
				t.Fatal("it is none of ours")
			}
			test(t, s, func(text string, environ ...string) string {
				t.Helper()
				cmd := exec.Command(name, append(slices.Clone(flags[name]), "-c", text)...)
				cmd.Env = append(append(os.Environ(), "HOME="+t.TempDir()), environ...)
				out, err := cmd.Output()
				if err != nil {
					t.Errorf("%v: %s", err, text)
				}
				return string(out)
			})
		})
	}
}

// Every shell has a hook, and every hook is a shell's.
func TestNames(t *testing.T) {
	t.Parallel()
	hooks, err := fs.Glob(files, "hook.*")
	if err != nil || len(hooks) != len(Names()) {
		t.Errorf("the shells %v have the hooks %v, %v", Names(), hooks, err)
	}
	for _, s := range Shells() {
		if !slices.Contains(hooks, "hook."+s.Name) {
			t.Errorf("%s has no hook", s.Name)
		}
	}
	if s, ok := Named("dash"); !ok || s.Name != "sh" {
		t.Errorf("dash is %v", s.Name)
	}
	if _, ok := Named("csh"); ok {
		t.Error("csh has a hook")
	}
}

func TestAssignments(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s Shell, run func(string, ...string) string) {
		value := "it's $HOME `id` \"x\"\n\\"
		text := s.Assignments([]env.Edit{{Name: "NEW", Value: value}, {Name: "OLD", Unset: true}}) + "printenv NEW; printenv OLD; true"
		if got := run(text, "OLD=old"); got != value+"\n" {
			t.Errorf("the children of the shell see %q", got)
		}
	})
}

func TestPrepend(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s Shell, run func(string, ...string) string) {
		dir := filepath.Join(t.TempDir(), "a dir")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		text := s.Prepend(dir)
		path := strings.TrimSuffix(run(text+text+"printenv PATH"), "\n")
		if !strings.HasPrefix(path, dir+":") || strings.Count(path, dir) != 1 {
			t.Errorf("PATH is %q", path)
		}
	})
}

// A hook tells its functions what was there before.
func TestEnter(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s Shell, run func(string, ...string) string) {
		text := s.Enter(State{
			Edits:    []env.Edit{{Name: "SET", Value: "a b"}, {Name: "GONE", Unset: true}},
			Exported: func(name string) bool { return name == "GONE" }, File: "/f ile", Config: "/c", Seen: "/s",
		})
		functions := "__agentproxy_put() { printf '[put %s]' \"$*\"; }\n__agentproxy_drop() { printf '[drop %s]' \"$*\"; }\n__agentproxy_watch() { printf '[watch %s %s %s]' \"$@\"; }\n"
		if s.dialect == fish {
			functions = "function __agentproxy_put; printf '[put %s]' \"$argv\"; end\nfunction __agentproxy_drop; printf '[drop %s]' \"$argv\"; end\nfunction __agentproxy_watch; printf '[watch %s %s %s]' $argv; end\n"
		}
		if got, want := run(functions+text), "[put SET plain a b][drop GONE exported][watch /f ile /c /s]"; got != want {
			t.Errorf("the hook is told %q, want %q", got, want)
		}
	})
}

// What a hook, the functions and the completion are can be read by their shell.
func TestTextsAreOfTheirShell(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s Shell, run func(string, ...string) string) {
		texts := map[string]string{"hook": s.Hook("/no such/agentproxy")}
		if s.Wraps() {
			texts["wrap"] = s.Wrap("/no such/agentproxy", []string{"curl", "python3.13"})
		}
		if s.Completes() {
			texts["completion"] = s.Completion("/no such/agentproxy")
		}
		for name, text := range texts {
			file := filepath.Join(t.TempDir(), name)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(s.Name, "-n", file).CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s", name, err, out)
			}
			if !strings.Contains(text, "no such/agentproxy") {
				t.Errorf("%s does not know the program", name)
			}
		}
	})
}

func TestWord(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{"/usr/bin/x-1.2": "/usr/bin/x-1.2", "": "''", "a b": "'a b'", "it's": `'it'\''s'`} {
		if got := Word(value); got != want {
			t.Errorf("%q becomes %s, want %s", value, got, want)
		}
	}
}

// A shim and the agents' script, without the program behind them, run the command
// itself.
func TestScriptsWithoutTheProgram(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	shims, bin := filepath.Join(dir, "shims"), filepath.Join(dir, "bin")
	for path, text := range map[string]string{
		filepath.Join(shims, "tool"): Shim(filepath.Join(dir, "none", "it's"), shims, "tool"),
		filepath.Join(bin, "tool"):   "#!/bin/sh\necho real \"$@\"\n",
		filepath.Join(dir, "agent"):  AgentShell(filepath.Join(dir, "none")),
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(filepath.Join(shims, "tool"), "a b", "c")
	cmd.Env = []string{"PATH=" + shims + ":" + bin + ":" + os.Getenv("PATH"), "HOME=" + dir}
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "real a b c\n" {
		t.Errorf("the shim: %q, %v", out, err)
	}
	cmd = exec.Command(filepath.Join(dir, "agent"), "echo one; exit 3")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
	if out, err := cmd.Output(); string(out) != "one\n" || cmd.ProcessState.ExitCode() != 3 {
		t.Errorf("the agents' script: %q, %v", out, err)
	}
	if plugin := OpenCodePlugin(`/a "b"`); !strings.HasPrefix(plugin, `const script = "/a \"b\"";`+"\n") {
		t.Errorf("the plugin begins %.60q", plugin)
	}
}

func TestRCPath(t *testing.T) {
	t.Parallel()
	none := func(string) string { return "" }
	there := func(string) string { return "/there" }
	relative := func(string) string { return "there" }
	for _, c := range []struct {
		shell, want string
		getenv      func(string) string
	}{
		{"bash", "/home/.bashrc", there}, {"zsh", "/home/.zshrc", none}, {"zsh", "/there/.zshrc", there}, {"zsh", "/home/.zshrc", relative},
		{"fish", "/home/.config/fish/config.fish", none}, {"fish", "/there/fish/config.fish", there}, {"sh", "/home/.profile", none},
	} {
		s, _ := Named(c.shell)
		if got := s.RCPath("/home", c.getenv); got != c.want {
			t.Errorf("%s reads %s, want %s", c.shell, got, c.want)
		}
	}
}

// An rc file is edited through its links, keeps its mode, has a backup, and is as it
// was when the hook is taken out.
func TestInstallAndRemove(t *testing.T) {
	t.Parallel()
	for _, s := range Shells() {
		dir := t.TempDir()
		file, link := filepath.Join(dir, "dotfiles", "rc"), filepath.Join(dir, "rc")
		const old = "alias x=y\n# no newline"
		if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(old), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(file, link); err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			if changed, err := s.InstallHook(link, "/opt/agent proxy", "hook "+s.Name); err != nil || changed != (i == 0) {
				t.Errorf("%s: time %d: changed %v, %v", s.Name, i, changed, err)
			}
		}
		text, err := os.ReadFile(file)
		info, serr := os.Stat(file)
		if err != nil || serr != nil || info.Mode() != 0o600 || !strings.HasPrefix(string(text), old) || !strings.Contains(string(text), "'/opt/agent proxy' hook "+s.Name) {
			t.Errorf("%s: %v, %q", s.Name, info.Mode(), text)
		}
		if backup, err := os.ReadFile(file + backupEnding); err != nil || string(backup) != old {
			t.Errorf("%s: the backup is %q, %v", s.Name, backup, err)
		}
		if changed, err := RemoveHook(link); err != nil || !changed {
			t.Errorf("%s: %v, %v", s.Name, changed, err)
		}
		if text, err := os.ReadFile(file); err != nil || string(text) != old {
			t.Errorf("%s: it is %q afterwards, %v", s.Name, text, err)
		}
		if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
			t.Errorf("%s: the link is gone", s.Name)
		}
	}
}

func TestInstallWhereNothingIs(t *testing.T) {
	t.Parallel()
	s, _ := Named("sh")
	file := filepath.Join(t.TempDir(), "none", "rc")
	if changed, err := s.InstallHook(file, "/a", "hook sh"); err != nil || !changed {
		t.Fatal(changed, err)
	}
	if _, err := os.Stat(file + backupEnding); err == nil {
		t.Error("there is a backup of nothing")
	}
	dangling := filepath.Join(t.TempDir(), "rc")
	if err := os.Symlink("/nowhere/at/all", dangling); err != nil {
		t.Fatal(err)
	}
	if _, err := s.InstallHook(dangling, "/a", "hook sh"); err == nil || !strings.Contains(err.Error(), "a link to nowhere") {
		t.Errorf("a link to nowhere: %v", err)
	}
}

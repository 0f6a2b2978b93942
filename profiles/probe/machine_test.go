package probe

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/profiles"
	"golang.org/x/sys/unix"
)

// tool writes a program that tells a version and notes each time that it is asked.
// Tests that use it are not parallel: a program cannot be started while a child
// forked for another test still has it open for writing (ETXTBSY, execve(2)).
func tool(t *testing.T, dir, version string) (program, asked string) {
	t.Helper()
	program, asked = filepath.Join(dir, "tool"), filepath.Join(dir, "asked")
	script := "#!/bin/sh\necho \"$PWD $*\" >>" + asked + "\necho tool " + version + "\n"
	write(t, program, script, 0o700)
	return program, asked
}

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

// times is how often a tool was asked.
func times(t *testing.T, asked string) int {
	t.Helper()
	raw, err := os.ReadFile(asked)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return bytes.Count(raw, []byte("\n"))
}

// A program is asked once; the next command line remembers what it said, until the
// program is another one.
func TestVersionsAreRemembered(t *testing.T) {
	dir := t.TempDir()
	program, asked := tool(t, dir, "1.2.3")
	memory := filepath.Join(dir, "versions.json")
	ask := func(want string, n int) {
		t.Helper()
		m := Open(os.Environ(), memory)
		for range 2 {
			if got := m.System(t.Context(), "", dir).Version(program, profiles.Probe{}); got != want {
				t.Errorf("version %q, want %q", got, want)
			}
		}
		m.Save()
		if got := times(t, asked); got != n {
			t.Errorf("it was asked %d times, want %d", got, n)
		}
		if got := Versions(memory); len(got) != 1 || got[program] != want {
			t.Errorf("remembered: %v", got)
		}
	}
	ask("1.2.3", 1)
	ask("1.2.3", 1)
	tool(t, dir, "1.2.4") // of the same size
	if err := os.Chtimes(program, time.Time{}, time.Unix(1e9, 0)); err != nil {
		t.Fatal(err)
	}
	ask("1.2.4", 2)
	if info, err := os.Stat(memory); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, error %v", info, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".versions.*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A memory that is damaged costs a question, no more.
func TestDamagedMemory(t *testing.T) {
	for name, damage := range map[string]string{"cut": `{"/x":{"ver`, "null": "null", "another": `["x"]`, "empty": ""} {
		dir := t.TempDir()
		program, _ := tool(t, dir, "1.2.3")
		memory := filepath.Join(dir, "versions.json")
		write(t, memory, damage, 0o600)
		if got := Versions(memory); len(got) != 0 {
			t.Errorf("%s: %v", name, got)
		}
		m := Open(os.Environ(), memory)
		if got := m.System(t.Context(), "", dir).Version(program, profiles.Probe{}); got != "1.2.3" {
			t.Errorf("%s: version %q", name, got)
		}
		m.Save()
		if got := Versions(memory); got[program] != "1.2.3" {
			t.Errorf("%s: it is not mended: %v", name, got)
		}
	}
}

// Nothing is written where nothing was learned, nor where nothing may be; a
// directory that is not there is no failure of the command's.
func TestSaveWritesOnlyWhatWasLearned(t *testing.T) {
	dir := t.TempDir()
	program, _ := tool(t, dir, "1.2.3")
	memory := filepath.Join(dir, "versions.json")
	Open(nil, memory).Save()
	for _, where := range []string{"", filepath.Join(dir, "none", "versions.json")} {
		m := Open(os.Environ(), where)
		m.System(t.Context(), "", dir).Version(program, profiles.Probe{})
		m.Save()
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 { // the tool, and who asked it
		t.Errorf("%v, error %v", entries, err)
	}
}

// A program is asked as the command would be, away from the project: what lies in
// the directory has no say in what runs.
func TestHowAProgramIsAsked(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "tool")
	write(t, program, "#!/bin/sh\necho \"at $PWD: $*\"\necho \"$ANSWER\" >&2\nexit 3\n", 0o700)
	m := Open([]string{"ANSWER=tool 4.5.6", "PATH=" + os.Getenv("PATH")}, "")
	if got := m.System(t.Context(), "", dir).Version(program, profiles.Probe{}); got != "4.5.6" {
		t.Errorf("version %q: it stands on stderr, of a program that fails", got)
	}
	said := ask(t.Context(), program, profiles.Probe{Args: []string{"version", "-short"}, Pattern: `at (.*)`}, nil)
	if said != "/: version -short" {
		t.Errorf("it was asked %q", said)
	}
	if got := m.System(t.Context(), "", dir).Version(filepath.Join(dir, "none"), profiles.Probe{}); got != "" {
		t.Errorf("a program that is not there has version %q", got)
	}
}

// What a detection asks about files is answered without waiting, however large the
// file is or whatever else has its name.
func TestFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	system := Open(nil, "").System(t.Context(), "/home/me", dir)
	if system.Home != "/home/me" || system.Dir != dir {
		t.Errorf("home %s, directory %s", system.Home, system.Dir)
	}
	file, link, pipe, none := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "pipe"), filepath.Join(dir, "none")
	write(t, file, strings.Repeat("x", 3*beginning), 0o600)
	if err := os.Symlink("file", link); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if data, err := system.ReadFile(link); err != nil || len(data) != beginning {
		t.Errorf("%d bytes, error %v", len(data), err)
	}
	for _, path := range []string{pipe, dir, none} {
		if data, err := system.ReadFile(path); err == nil {
			t.Errorf("%s: %d bytes", path, len(data))
		}
	}
	if !system.Exists(link) || system.Exists(none) {
		t.Error("what exists does not, or the other way round")
	}
	real, err := filepath.EvalSymlinks(file)
	if err != nil {
		t.Fatal(err)
	}
	if system.Follow(link) != real || system.Follow(none) != none {
		t.Errorf("%s and %s", system.Follow(link), system.Follow(none))
	}
}

// A program that is not there has no path, and is looked for once.
func TestLookPathOfNothing(t *testing.T) {
	t.Parallel()
	m := Open(nil, "")
	for range 2 {
		if got := m.System(t.Context(), "", "/").LookPath("no-such-program-anywhere"); got != "" {
			t.Errorf("%q", got)
		}
	}
}

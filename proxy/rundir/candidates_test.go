package rundir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// environment is a getenv with these variables and no others.
func environment(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

// The wanted directory comes first, and what may stand in for it after it; one that
// was named has no substitutes.
func TestCandidates(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	named, home, state, runtime := filepath.Join(base, "named"), filepath.Join(base, "home"), filepath.Join(base, "state"), filepath.Join(base, "run")
	for _, c := range []struct {
		name   string
		getenv func(string) string
		first  []string
		only   bool
	}{
		{"named", environment("AGENT_PROXY_STATE_DIR", named, "HOME", home), []string{named}, true},
		{"home", environment("HOME", home), []string{filepath.Join(home, ".local", "state", "agentproxy")}, false},
		{"state home", environment("HOME", home, "XDG_STATE_HOME", state, "XDG_RUNTIME_DIR", runtime),
			[]string{filepath.Join(state, "agentproxy"), filepath.Join(runtime, "agentproxy")}, false},
		{"relative state home", environment("HOME", home, "XDG_STATE_HOME", "state", "XDG_RUNTIME_DIR", "run"),
			[]string{filepath.Join(home, ".local", "state", "agentproxy")}, false}, // to be ignored (XDG Base Directory)
	} {
		got, err := Candidates(c.getenv)
		if err != nil || len(got) < len(c.first) || !slices.Equal(got[:len(c.first)], c.first) {
			t.Errorf("%s: %q, error %v, want %q first", c.name, got, err, c.first)
			continue
		}
		if only := len(got) == len(c.first); only != c.only {
			t.Errorf("%s: %q", c.name, got)
		}
		for i, dir := range got {
			if !filepath.IsAbs(dir) || slices.Contains(got[:i], dir) {
				t.Errorf("%s: %q", c.name, got)
			}
		}
		if last := got[len(got)-1]; !c.only && filepath.Base(last) != fmt.Sprintf("agentproxy-%d", os.Geteuid()) {
			t.Errorf("%s: last %s", c.name, last)
		}
	}
}

// A relative name is one in the working directory, which may change later.
func TestNamedDirectoryIsAbsolute(t *testing.T) {
	t.Chdir(t.TempDir())
	here, err := os.Getwd()
	must(t, err)
	if got, err := Candidates(environment("AGENT_PROXY_STATE_DIR", "here")); err != nil || !slices.Equal(got, []string{filepath.Join(here, "here")}) {
		t.Errorf("%q, error %v", got, err)
	}
}

// Another agent proxy's sessions name its directory by the same variable: it is not
// ours, since its authority's key is not there.
func TestAnotherProxysDirectoryIsNotTaken(t *testing.T) {
	t.Parallel()
	dir, _ := place(t)
	getenv := environment("AGENT_PROXY_STATE_DIR", dir, "HOME", t.TempDir())
	must(t, os.WriteFile(filepath.Join(dir, CertFile), nil, 0o600))
	if got, err := Candidates(getenv); err != nil || slices.Contains(got, dir) || HasKey(dir) {
		t.Errorf("%q, error %v", got, err)
	}
	must(t, os.WriteFile(filepath.Join(dir, KeyFile), nil, 0o600))
	if got, err := Candidates(getenv); err != nil || !slices.Equal(got, []string{dir}) || !HasKey(dir) {
		t.Errorf("%q, error %v", got, err)
	}
}

// Home is what the environment says; where it says nothing, the system knows.
func TestHome(t *testing.T) {
	t.Parallel()
	if home, err := Home(environment("HOME", "/somewhere")); err != nil || home != "/somewhere" {
		t.Errorf("%q, error %v", home, err)
	}
	if home, err := Home(environment()); err != nil || !filepath.IsAbs(home) {
		t.Errorf("%q, error %v", home, err)
	}
}

// Only directories that are there and ours are looked into; of the others that are
// there it is said why not.
func TestUsable(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	state, runtime := filepath.Join(base, "state"), filepath.Join(base, "run")
	unsafe, good := filepath.Join(state, "agentproxy"), filepath.Join(runtime, "agentproxy")
	must(t, os.MkdirAll(unsafe, 0o700))
	must(t, os.MkdirAll(good, 0o700))
	must(t, os.Chmod(unsafe, 0o750))
	dirs, passed, err := Usable(environment("HOME", base, "XDG_STATE_HOME", state, "XDG_RUNTIME_DIR", runtime))
	if err != nil || !slices.Contains(dirs, good) || slices.Contains(dirs, unsafe) {
		t.Errorf("%q, error %v", dirs, err)
	}
	if i := slices.IndexFunc(passed, func(u *UnsafeError) bool { return u.Path == unsafe }); i < 0 || !strings.Contains(passed[i].Error(), "fix it with: chmod 0700 "+unsafe) {
		t.Errorf("passed over: %v", passed)
	}
}

// A directory is made where there is none, for its user alone.
func TestOpenMakesTheDirectory(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "b")
	d, err := Open(environment("AGENT_PROXY_STATE_DIR", dir))
	if err != nil || *d != (Dir{Path: dir}) {
		t.Fatalf("%+v, error %v", d, err)
	}
	for _, path := range []string{dir, filepath.Dir(dir)} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, error %v", path, info.Mode(), err)
		}
	}
}

// What cannot be used is passed over with the reason, in words that say what to do
// where something can be done.
func TestOpenPassesOver(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, dir string)
		why   string
	}{
		{"others get in", func(t *testing.T, dir string) {
			must(t, os.MkdirAll(dir, 0o700))
			must(t, os.Chmod(dir, 0o755))
		}, "has mode 0755, which lets others in; fix it with: chmod 0700 "},
		{"others can replace it", func(t *testing.T, dir string) {
			must(t, os.MkdirAll(dir, 0o700))
			must(t, os.Chmod(filepath.Dir(dir), 0o777))
		}, "has mode 0777, so that others can replace what is in it"},
		{"a file is in the way", func(t *testing.T, dir string) { must(t, os.WriteFile(filepath.Dir(dir), nil, 0o600)) }, "not a directory"},
		{"a link", func(t *testing.T, dir string) {
			must(t, os.MkdirAll(filepath.Dir(dir), 0o700))
			must(t, os.Symlink(t.TempDir(), dir))
		}, "is a symbolic link; fix it with: rm "},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			base := t.TempDir()
			state, runtime := filepath.Join(base, "state"), filepath.Join(base, "run")
			wanted, instead := filepath.Join(state, "agentproxy"), filepath.Join(runtime, "agentproxy")
			c.spoil(t, wanted)
			d, err := Open(environment("HOME", base, "XDG_STATE_HOME", state, "XDG_RUNTIME_DIR", runtime))
			if err != nil {
				t.Fatal(err)
			}
			if d.Path != instead || d.Instead != wanted || !strings.HasPrefix(d.Why, c.why) {
				t.Errorf("%+v", d)
			}
			if strings.Contains(d.Why, "export") {
				t.Errorf("the advice is what has been done already: %s", d.Why)
			}
			if d, err := Open(environment("AGENT_PROXY_STATE_DIR", wanted)); err == nil {
				t.Errorf("it is used where it was named: %+v", d)
			}
		})
	}
}

// A directory that was named and is not safe is refused, not replaced, and the
// error can be told from others.
func TestOpenRefusesWhatWasNamed(t *testing.T) {
	t.Parallel()
	dir, _ := place(t)
	must(t, os.Chmod(dir, 0o755))
	_, err := Open(environment("AGENT_PROXY_STATE_DIR", dir))
	if unsafe := new(UnsafeError); !errors.As(err, &unsafe) || unsafe.Path != dir || unsafe.Fix != "chmod 0700 "+dir {
		t.Errorf("error %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	if _, err := Open(environment("AGENT_PROXY_STATE_DIR", filepath.Join(file, "x"))); err == nil || !strings.HasPrefix(err.Error(), "no usable state directory: ") {
		t.Errorf("error %v", err)
	}
}

// A file that holds a secret is for its owner alone.
func TestCheckPrivate(t *testing.T) {
	t.Parallel()
	_, file := place(t)
	must(t, CheckPrivate(file))
	must(t, os.Chmod(file, 0o640))
	if err := CheckPrivate(file); err == nil || !strings.Contains(err.Error(), "chmod 0600 "+file) {
		t.Errorf("error %v", err)
	}
	if err := CheckPrivate(file + ".none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

// Links that lead in a circle end in an error, and what is not there is said to be so.
func TestWaysThatLeadNowhere(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	must(t, os.Symlink("b", filepath.Join(base, "a")))
	must(t, os.Symlink("a", filepath.Join(base, "b")))
	for path, want := range map[string]string{
		filepath.Join(base, "a", "state"):          "too many levels of symbolic links",
		filepath.Join(base, "none", "..", "state"): "no such file",
		"relative": "not an absolute path",
	} {
		if err := CheckDir(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", path, err, want)
		}
	}
}

// A directory below a state directory is ours, and made with those above it.
func TestMakeDir(t *testing.T) {
	t.Parallel()
	dir, file := place(t)
	below := filepath.Join(dir, "a", "b")
	for range 2 {
		must(t, MakeDir(below))
	}
	if info, err := os.Stat(below); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, error %v", info, err)
	}
	must(t, os.Chmod(below, 0o770))
	unsafe := new(UnsafeError)
	if err := MakeDir(below); !errors.As(err, &unsafe) {
		t.Errorf("error %v", err)
	}
	if err := MakeDir(filepath.Join(file, "x")); err == nil {
		t.Error("a directory was made in a file")
	}
}

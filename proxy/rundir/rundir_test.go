package rundir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/proxytest/leftout"
	"golang.org/x/sys/unix"
)

// place makes a directory with a file in it, as a state directory of ours is.
func place(t *testing.T) (dir, file string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, "endpoint-x.json")
	if err := os.WriteFile(file, []byte(`{"key":"x","port":1,"secret":"s"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, file
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What somebody else could have made or changed is not read, whatever it is, and
// nothing waits for it.
func TestNobodyElsesFilesAreOurs(t *testing.T) {
	const other = 4242
	for _, c := range []struct {
		name  string
		root  bool // only root can set it up
		spoil func(t *testing.T, dir, file string)
		says  string
	}{
		{"a file of another user", true, func(t *testing.T, _, file string) { must(t, os.Chown(file, other, 0)) }, "belongs to user 4242"},
		{"a directory of another user", true, func(t *testing.T, dir, _ string) { must(t, os.Chown(dir, other, 0)) }, "belongs to user 4242"},
		{"a directory in one of another user's", true, func(t *testing.T, dir, _ string) { must(t, os.Chown(filepath.Dir(dir), other, 0)) }, "belongs to user 4242"},
		{"a link of another user's on the way", true, func(t *testing.T, dir, _ string) {
			above := filepath.Dir(dir)
			must(t, os.Rename(above, above+".real"))
			must(t, os.Symlink(above+".real", above))
			must(t, os.Lchown(above, other, 0))
			t.Cleanup(func() { os.RemoveAll(above + ".real") })
		}, "belongs to user 4242"},
		{"a file that others can write", false, func(t *testing.T, _, file string) { must(t, os.Chmod(file, 0o666)) }, "has mode 0666"},
		{"a file that a group can write", false, func(t *testing.T, _, file string) { must(t, os.Chmod(file, 0o660)) }, "has mode 0660"},
		{"a directory that others can write", false, func(t *testing.T, dir, _ string) { must(t, os.Chmod(dir, 0o707)) }, "has mode 0707"},
		{"a directory that others can write, sticky", false, func(t *testing.T, dir, _ string) { must(t, os.Chmod(dir, 0o777|fs.ModeSticky)) }, "has mode 1777"},
		{"a directory that others can replace", false, func(t *testing.T, dir, _ string) { must(t, os.Chmod(filepath.Dir(dir), 0o777)) }, "others can replace"},
		{"a link to a file", false, func(t *testing.T, _, file string) {
			must(t, os.Rename(file, file+".real"))
			must(t, os.Symlink(file+".real", file))
		}, "is a symbolic link"},
		{"a link to a directory", false, func(t *testing.T, dir, _ string) {
			must(t, os.Rename(dir, dir+".real"))
			must(t, os.Symlink(dir+".real", dir))
		}, "is a symbolic link"},
		{"a pipe", false, func(t *testing.T, _, file string) {
			must(t, os.Remove(file))
			must(t, unix.Mkfifo(file, 0o600))
		}, "is not a regular file"},
		{"a directory for a file", false, func(t *testing.T, _, file string) {
			must(t, os.Remove(file))
			must(t, os.Mkdir(file, 0o700))
		}, "is not a regular file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.root && os.Geteuid() != 0 {
				leftout.Note(t, "another user's files: only root can give some away")
				return
			}
			dir, file := place(t)
			if _, err := Read(dir, "x"); err != nil {
				t.Fatalf("before: %v", err)
			}
			c.spoil(t, dir, file)
			done := make(chan error, 1)
			go func() {
				_, err := Read(dir, "x")
				done <- err
			}()
			select {
			case err := <-done:
				unsafe := new(UnsafeError)
				if !errors.As(err, &unsafe) || !strings.Contains(unsafe.Problem, c.says) {
					t.Errorf("error %v, want one that says %q", err, c.says)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("it waits for ever")
			}
			if all := ReadAll(dir); len(all) != 0 {
				t.Errorf("%d records were believed", len(all))
			}
		})
	}
}

// A way that only its owners can change is no obstacle, however it is made.
func TestWaysThatAreSafe(t *testing.T) {
	for _, c := range []struct {
		name  string
		adapt func(t *testing.T, dir string)
	}{
		{"a sticky directory of everybody's above", func(t *testing.T, dir string) { must(t, os.Chmod(filepath.Dir(dir), 0o777|fs.ModeSticky)) }},
		{"a directory above for our own group", func(t *testing.T, dir string) { must(t, os.Chmod(filepath.Dir(dir), 0o775)) }},
		{"a link of ours above", func(t *testing.T, dir string) {
			above := filepath.Dir(dir)
			must(t, os.Rename(above, above+".real"))
			must(t, os.Symlink(filepath.Base(above)+".real", above))
			t.Cleanup(func() { os.RemoveAll(above + ".real") })
		}},
		{"a file that everybody may read", func(t *testing.T, dir string) { must(t, os.Chmod(filepath.Join(dir, "endpoint-x.json"), 0o644)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, _ := place(t)
			c.adapt(t, dir)
			if r, err := Read(dir, "x"); err != nil || r.Port != 1 {
				t.Errorf("record %v, error %v", r, err)
			}
			if err := CheckDir(dir); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestEnsureMendsWhatIsDamaged(t *testing.T) {
	dir, _ := place(t)
	path := filepath.Join(dir, "hooks", "node.cjs")
	want := []byte("// a hook")
	for _, damage := range []func(){func() {}, func() { os.Truncate(path, 0) }, func() { os.WriteFile(path, []byte("// a hoo\x00"), 0o600) }, func() { os.RemoveAll(filepath.Dir(path)) }} {
		damage()
		must(t, Ensure(path, want, 0o600))
		if got, err := ReadFile(path); err != nil || string(got) != string(want) {
			t.Errorf("%q, error %v", got, err)
		}
	}
	must(t, os.Remove(path))
	must(t, os.Symlink("/etc/passwd", path))
	if err := Ensure(path, want, 0o600); err == nil {
		t.Error("a link was taken for the file")
	}
}

func TestPortsAreRemembered(t *testing.T) {
	dir, _ := place(t)
	for port := range keptPorts + 10 {
		must(t, HadPort(dir, 2000+port))
	}
	must(t, HadPort(dir, 2050)) // again: it stays longest
	for port, want := range map[string]bool{"2000": false, "2009": false, "2050": true, "2209": true, "80": false} {
		if got := WasOurs(dir, port); got != want {
			t.Errorf("port %s: %v", port, got)
		}
	}
}

func TestForeignFileThatSomebodyElseCouldHaveWritten(t *testing.T) {
	dir, file := place(t)
	must(t, CheckForeign(file))
	must(t, os.Chmod(file, 0o646))
	if CheckForeign(file) == nil {
		t.Error("a file that everybody can write passed")
	}
	must(t, os.Chmod(file, 0o644))
	must(t, os.Chmod(dir, 0o777))
	if CheckForeign(file) == nil {
		t.Error("a file in a directory that everybody can write passed")
	}
	if CheckForeign("relative") == nil {
		t.Error("a relative path passed")
	}
}

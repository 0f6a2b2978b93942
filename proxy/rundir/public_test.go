//go:build unix

package rundir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// publicPlace makes a base for public directories, in one that others may enter.
func publicPlace(t *testing.T) (base, dir string) {
	t.Helper()
	above := filepath.Join(t.TempDir(), "above")
	must(t, os.Mkdir(above, 0o755))
	dir, _ = place(t)
	return filepath.Join(above, "agentproxy"), dir
}

// Other users can read what is in a public directory and change nothing; which state
// directory it belongs to is nobody else's business.
func TestPublicDirectory(t *testing.T) {
	t.Parallel()
	base, dir := publicPlace(t)
	path, err := publicIn(base, dir)
	must(t, err)
	for _, p := range []string{base, path} {
		if info, err := os.Stat(p); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("%s: %v, error %v", p, info, err)
		}
	}
	if info, err := os.Stat(filepath.Join(path, ownerFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, error %v", info, err)
	}
	if again, err := publicIn(base, dir); err != nil || again != path {
		t.Errorf("then %s, error %v", again, err)
	}
	other, _ := place(t)
	if theirs, err := publicIn(base, other); err != nil || theirs == path {
		t.Errorf("another's is %s, error %v", theirs, err)
	}
}

// What belongs to a state directory that is no more goes when the next is made;
// what somebody is about to make stays.
func TestPublicDirectoriesAreSwept(t *testing.T) {
	t.Parallel()
	base, dir := publicPlace(t)
	dead, _ := place(t)
	old, err := publicIn(base, dead)
	must(t, err)
	must(t, os.RemoveAll(dead))
	making := filepath.Join(base, "being-made")
	must(t, os.Mkdir(making, 0o755))
	_, err = publicIn(base, dir)
	must(t, err)
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(making); err != nil {
		t.Error(err)
	}
}

// A place that is not there is not made, and one that others can write is not used.
func TestPublicPlacesThatAreRefused(t *testing.T) {
	t.Parallel()
	base, dir := publicPlace(t)
	if _, err := publicIn(filepath.Join(base, "none", "agentproxy"), dir); err == nil {
		t.Error("the place was made")
	}
	must(t, os.Mkdir(base, 0o755))
	must(t, os.Chmod(base, 0o777))
	if path, err := publicIn(base, dir); err == nil {
		t.Errorf("%s lies where everybody can replace it", path)
	}
}

// For root, what commands are pointed at lies where other users can read it; for
// others it is the state directory. It is removed with it, and nobody else's is.
func TestPublicAndItsRemoval(t *testing.T) {
	base, dir := publicPlace(t)
	old := publicBases
	publicBases = []string{filepath.Join(base, "none", "agentproxy"), base}
	t.Cleanup(func() { publicBases = old })
	other, _ := place(t)
	theirs, err := publicIn(base, other)
	must(t, err)
	path := Public(dir)
	if want := map[bool]string{true: publicPath(base, dir), false: dir}[os.Geteuid() == 0]; path != want {
		t.Errorf("%s, want %s", path, want)
	}
	made, err := publicIn(base, dir)
	must(t, err)
	must(t, RemovePublic(dir))
	if _, err := os.Stat(made); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	for _, p := range []string{theirs, dir} {
		if _, err := os.Stat(p); err != nil {
			t.Error(err)
		}
	}
	must(t, RemovePublic(other))
	if _, err := os.Stat(base); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the last one gone, the place is left: %v", err)
	}
}

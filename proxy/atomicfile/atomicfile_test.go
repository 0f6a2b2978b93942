package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestWrite(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(string, []byte, fs.FileMode) error{"Write": Write, "WriteDurably": WriteDurably} {
		dir := t.TempDir()
		path := filepath.Join(dir, "file")
		for _, text := range []string{"first", "second"} {
			if err := write(path, []byte(text), 0o640); err != nil {
				t.Fatal(name, err)
			}
			info, err := os.Stat(path)
			if data, rerr := os.ReadFile(path); err != nil || rerr != nil || string(data) != text || info.Mode() != 0o640 {
				t.Errorf("%s: %q, %v, %v", name, data, info.Mode(), err)
			}
		}
		onlyEntry(t, dir)
	}
}

// What goes wrong leaves the old file, and nothing beside it.
func TestAFailedWriteChangesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := Write(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	failed := errors.New("failed")
	if err := Replace(path, []byte("new"), func(*os.File) error { return failed }); !errors.Is(err, failed) {
		t.Error(err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "old" {
		t.Errorf("%q, %v", data, err)
	}
	onlyEntry(t, dir)
	if err := Write(filepath.Join(dir, "none", "file"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func onlyEntry(t *testing.T, dir string) {
	t.Helper()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
}

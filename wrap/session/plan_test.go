package session

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/agentproxy/agentproxy/wrap/plan"
)

func TestWriteFilesOnce(t *testing.T) {
	p := plan.Plan{Files: []plan.File{{Path: filepath.Join(t.TempDir(), "files", "hash", "rc"), Content: []byte("x\n")}}}
	for range 2 {
		if err := write(p); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(p.Files[0].Path); err != nil || string(got) != "x\n" {
		t.Errorf("%q, %v", got, err)
	}
	p.Files[0].Path = filepath.Join(p.Files[0].Path, "below-a-file")
	if err := write(p); !errors.Is(err, fs.ErrExist) && err == nil {
		t.Error("an unwritable place is no error")
	}
}

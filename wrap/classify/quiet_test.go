package classify

import (
	"os"
	"path/filepath"
	"testing"
)

// What successful runs printed, with frightening words in it, is silent without
// the exit status being known.
func TestQuiet(t *testing.T) {
	files, err := filepath.Glob("testdata/quiet/*.txt")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	o := known(t)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if v := resultOf(t, o, string(data), Status{}); v.Class != "none" || v.Unclear {
			t.Errorf("%s: %s, unclear %v: %s", filepath.Base(file), v.Class, v.Unclear, findings(v))
		}
	}
}

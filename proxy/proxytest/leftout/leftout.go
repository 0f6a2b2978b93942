// Package leftout lets a test say what it left out for want of something on the
// machine, where "go test" would not show a passing test's log.
package leftout

import (
	"fmt"
	"os"
	"testing"
)

// Note logs what was left out, and appends it to the file that $LEFT_OUT names,
// which .ci/test prints at the end.
func Note(t testing.TB, what string) {
	t.Helper()
	t.Log("left out: " + what)
	path := os.Getenv("LEFT_OUT")
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, "left out: %s (%s)\n", what, t.Name()); err != nil {
		t.Fatal(err)
	}
}

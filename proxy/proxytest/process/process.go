// Package process is for tests that start processes: a test binary that can be the
// process, and a terminal to start one on. It imports nothing of the module.
package process

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// Main is a TestMain whose test binary can also be one of several processes, by its
// first argument. What those cover counts as covered by the test that started them,
// as long as they end by themselves and get its environment.
func Main(m *testing.M, roles map[string]func(args []string) error) {
	if len(os.Args) > 1 {
		if role := roles[os.Args[1]]; role != nil {
			if err := role(os.Args[2:]); err != nil {
				fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[1], err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	flag.Parse()
	if dir := flag.Lookup("test.gocoverdir"); dir != nil && dir.Value.String() != "" {
		os.Setenv("GOCOVERDIR", dir.Value.String())
	}
	if os.Getenv("GORACE") == "" {
		os.Setenv("GORACE", "atexit_sleep_ms=0") // else every process stays for a second under -race
	}
	os.Exit(m.Run())
}

// Command returns the test binary as one of the processes that Main knows.
func Command(t testing.TB, role string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exec.Command(self, append([]string{role}, args...)...)
}

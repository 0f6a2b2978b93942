package probe

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/agentproxy/agentproxy/profiles"
)

// A program is asked by the name that it is called by.
func TestVersionOfLinks(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\ncase ${0##*/} in cargo) echo cargo 1.95.0 ;; *) echo tool 9.9.9 ;; esac\n"
	for _, name := range []string{"rustup", "python3.13"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for link, program := range map[string]string{"cargo": "rustup", "python3": "python3.13"} {
		if err := os.Symlink(program, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	world := Open(os.Environ(), "").System(t.Context(), "", dir)
	for name, want := range map[string][2]string{"cargo": {"cargo", "1.95.0"}, "rustup": {"rustup", "9.9.9"}, "python3": {"python3.13", "9.9.9"}} {
		path := world.LookPath(name)
		if version := world.Version(path, profiles.Probe{}); filepath.Base(path) != want[0] || version != want[1] {
			t.Errorf("%s: %s, version %q", name, path, version)
		}
	}
}

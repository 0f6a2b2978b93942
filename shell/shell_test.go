package shell

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// Whatever is in a value, the shell reads it back as it was.
func TestQuote(t *testing.T) {
	value := "it's '' \\ \\' \"$x\" `id` $(id) * ~ !!\n\ttab é \x01"
	for _, s := range Shells() {
		if _, err := exec.LookPath(s.Name); err != nil {
			continue
		}
		options := flags[s.Name]
		if s.Name == "zsh" {
			options = []string{"-f", "-o", "rcquotes"}
		}
		got, err := exec.Command(s.Name, append(slices.Clone(options), "-c", "printf '%s' "+s.quote(value))...).Output()
		if err != nil || string(got) != value {
			t.Errorf("%s reads %q, %v", s.Name, got, err)
		}
	}
}

func FuzzBlock(f *testing.F) {
	f.Add([]byte("alias x=y"))
	f.Add([]byte("alias x=y\n"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, old []byte) {
		if bytes.Contains(old, []byte("agentproxy hook")) {
			return
		}
		first := InsertBlock(old, "one")
		if again := InsertBlock(first, "one"); !bytes.Equal(again, first) {
			t.Errorf("inserted twice: %q", again)
		}
		if got := RemoveBlock(InsertBlock(first, "another")); !bytes.Equal(got, old) {
			t.Errorf("after removal: %q, was %q", got, old)
		}
	})
}

// What the user adds behind the block stays, a block without its end is left
// alone, a link to nowhere is not replaced by a file.
func TestBlockAmongOthers(t *testing.T) {
	text := append(InsertBlock([]byte("a"), "line"), "b\n"...)
	if got := RemoveBlock(text); string(got) != "a\nb\n" {
		t.Errorf("got %q", got)
	}
	open := []byte("a\n" + blockBegin + "line\nb\n")
	if got := RemoveBlock(open); !bytes.Equal(got, open) {
		t.Errorf("got %q", got)
	}
	link := filepath.Join(t.TempDir(), "rc")
	if err := os.Symlink("nowhere/rc", link); err != nil {
		t.Fatal(err)
	}
	sh, _ := Named("bash")
	if _, err := sh.InstallHook(link, "/bin/true", "hook bash"); err == nil {
		t.Error("a link to nowhere was edited")
	}
}

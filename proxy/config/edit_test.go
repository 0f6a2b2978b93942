package config

import (
	"os"
	"path/filepath"
	"testing"
)

// An entry is added, and nothing else of the file is another, comments included.
func TestAddAllow(t *testing.T) {
	for name, c := range map[string]struct{ before, after string }{
		"one line":  {"# mine\n[policy] # rules\nallow = [\"a.example\"] # those\n[front]\nport = 0\n", "# mine\n[policy] # rules\nallow = [\"new.example\", \"a.example\"] # those\n[front]\nport = 0\n"},
		"empty":     {"[policy]\nallow = []\n", "[policy]\nallow = [\"new.example\"]\n"},
		"lines":     {"[policy]\nallow = [ # by hand\n    \"a.example\", # why\n]\n", "[policy]\nallow = [ # by hand\n    \"new.example\",\n    \"a.example\", # why\n]\n"},
		"no key":    {"[policy]\nmode = \"ask\"\n[exec]\ncapture = \"never\"\n", "[policy]\nallow = [\"new.example\"]\nmode = \"ask\"\n[exec]\ncapture = \"never\"\n"},
		"there":     {"[policy]\nallow = [\"new.example\"]\n", "[policy]\nallow = [\"new.example\"]\n"},
		"no table":  {"policy.mode = \"ask\"\n", ""},
		"inline":    {"policy = {mode = \"ask\"}\n", ""},
		"in a text": {"[egress]\n[policy]\norganisation = '''\n[policy]\nallow = [\n'''\n", "[egress]\n[policy]\nallow = [\"new.example\"]\norganisation = '''\n[policy]\nallow = [\n'''\n"},
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "dotfiles.toml")
		path := filepath.Join(dir, "config.toml") // as people keep their dotfiles
		if err := os.WriteFile(file, []byte(c.before), 0o640); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(file, path); err != nil {
			t.Fatal(err)
		}
		err := AddAllow(path, "new.example")
		want := c.after
		if want == "" {
			want = c.before
		}
		is, reading := os.ReadFile(file)
		if (err != nil) != (c.after == "") || reading != nil || string(is) != want {
			t.Errorf("%s: %v, %q", name, err, is)
		}
		backup, _ := os.ReadFile(file + BackupSuffix)
		if changed := c.after != "" && c.after != c.before; changed != (string(backup) == c.before) {
			t.Errorf("%s: the backup is %q", name, backup)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o640 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

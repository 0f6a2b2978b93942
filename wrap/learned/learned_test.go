package learned

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/agentproxy/agentproxy/profiles/rules"
)

func TestMemory(t *testing.T) {
	dir := t.TempDir()
	fix := Fix{Tool: "node", Version: "20.1", Project: "/p", Class: rules.ProxyBypassed}
	other := fix
	other.Version = "22.0"
	for range 2 { // learned twice is known once
		if err := Open(dir).Add(fix); err != nil {
			t.Fatal(err)
		}
	}
	m := Open(dir)
	if !m.Has(fix) || m.Has(other) || len(m.All()) != 1 {
		t.Errorf("%v", m.All())
	}
	if info, err := os.Stat(filepath.Join(dir, File)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if n, err := m.Drop(func(f Fix) bool { return f.Tool == "node" }); n != 1 || err != nil || Open(dir).Has(fix) {
		t.Errorf("dropped %d, %v", n, err)
	}
	if n, err := m.Drop(func(Fix) bool { return true }); n != 0 || err != nil {
		t.Errorf("dropped %d of none, %v", n, err)
	}
	if err := os.WriteFile(filepath.Join(dir, File), []byte("{broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if broken := Open(dir); broken.Has(fix) || broken.Add(other) != nil || !Open(dir).Has(other) {
		t.Error("a broken file is not begun again")
	}
	if err := Open(filepath.Join(dir, "none")).Add(fix); err == nil {
		t.Error("an unwritable memory is no error")
	}
}

func TestProject(t *testing.T) {
	top := t.TempDir()
	sub := filepath.Join(top, "a", "b")
	if err := os.MkdirAll(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	if got := Project(sub); got != sub {
		t.Errorf("without a project: %s", got)
	}
	if err := os.WriteFile(filepath.Join(top, "package.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := Project(sub); got != top {
		t.Errorf("in a project: %s", got)
	}
}

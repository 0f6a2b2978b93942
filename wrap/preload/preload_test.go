package preload

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// written returns the files under dir with their state, as ls would tell.
func written(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			files[path] = info.Mode().String() + " " + info.ModTime().String()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "preload")
	var wg sync.WaitGroup
	for range 8 { // runs that start together
		wg.Go(func() {
			if _, err := Write(dir); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	hooks, err := Write(dir)
	if err != nil {
		t.Fatal(err)
	}
	// Whoever the run becomes can read them, nobody else can write.
	before := written(t, dir)
	for path, state := range before {
		if strings.Contains(filepath.Base(path), ".new-") || !strings.HasPrefix(state, "drwxr-xr-x ") && !strings.HasPrefix(state, "-rw-r--r-- ") {
			t.Errorf("%s: %s", path, state)
		}
	}
	for _, path := range []string{hooks.Node, filepath.Join(hooks.Python, "sitecustomize.py"), hooks.Ruby, filepath.Join(hooks.PHP, "agentproxy.ini")} {
		if _, ok := before[path]; !ok {
			t.Errorf("no %s", path)
		}
	}

	// Nothing is written again, but what is damaged.
	if err := os.WriteFile(hooks.Ruby, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(hooks.Node); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(dir); err != nil {
		t.Fatal(err)
	}
	after := written(t, dir)
	for path, state := range before {
		damaged := path == hooks.Ruby || path == hooks.Node || path == filepath.Dir(hooks.Node)
		if after[path] == "" || !damaged && after[path] != state {
			t.Errorf("%s: %s, then %s", path, state, after[path])
		}
	}

	if _, err := Write(filepath.Join(hooks.Node, "below a file")); err == nil {
		t.Error("no error where nothing can be written")
	}
}

// Every runtime that is here takes the hook's syntax, and so does Python 2.
func TestSyntax(t *testing.T) {
	checks := map[string][]string{}
	for version, node := range nodes(t) {
		checks["node "+version] = []string{node, "--check", "node.cjs"}
	}
	for version, python := range pythons(t) {
		const compile = "import sys; [compile(open(f).read(), f, 'exec') for f in sys.argv[1:]]"
		files := []string{"python/sitecustomize.py", "python/agentproxy_preload.py"}
		if version == "2.7" {
			files = files[:1] // the other is never loaded there
		}
		checks["python "+version] = append([]string{python, "-c", compile}, files...)
	}
	if ruby := installed(t, "ruby"); ruby != "" {
		checks["ruby"] = []string{ruby, "-cw", "ruby.rb"}
	}
	if php := installed(t, "php"); php != "" {
		checks["php"] = []string{php, "-l", "php/prepend.php"}
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{dir: here, environ: os.Environ()}
	for name, argv := range checks {
		if r := w.run(t, argv...); r.status != 0 || r.stderr != "" {
			t.Errorf("%s: %v", name, r)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		if _, err := Write(dir); err != nil {
			b.Fatal(err)
		}
	}
}

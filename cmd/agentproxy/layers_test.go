package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/profiles/env"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/proxy/trust"
)

// layers is the policy of imports inside the module: a package (by the longest
// prefix that names it) may import only what is listed. It is a statement of
// intent; change it when the design changes, not to make a test pass.
var layers = map[string][]string{
	"cmd":             {"wrap", "shell", "proxy", "profiles"},
	"wrap":            {"wrap", "profiles", "proxy"},
	"wrap/classify":   {"profiles", "wrap/term"},
	"wrap/term":       {},
	"wrap/preload":    {},
	"wrap/gitenv":     {"profiles"},
	"shell":           {"profiles/env"},
	"profiles":        {"profiles/env"},
	"profiles/env":    {},
	"profiles/probe":  {"profiles"},
	"proxy":           {"proxy/status", "proxy/policy", "proxy/handoff", "proxy/idle"},
	"proxy/status":    {},
	"proxy/handoff":   {},
	"proxy/peer":      {},
	"proxy/policy":    {"proxy/status"},
	"proxy/rundir":    {"proxy/status"},
	"proxy/page":      {"proxy/status"},
	"proxy/audit":     {"proxy/rundir", "proxy/status"},
	"proxy/ca":        {"proxy/rundir"},
	"proxy/trust":     {"proxy/ca", "proxy/rundir"},
	"proxy/config":    {"proxy/policy", "proxy/rundir"},
	"proxy/egress":    {"proxy/ca", "proxy/handoff", "proxy/idle", "proxy/policy", "proxy/status"},
	"proxy/idle":      {},
	"proxy/canary":    {"proxy", "proxy/ca", "proxy/egress"},
	"proxy/daemon":    {"proxy"},
	"proxy/attach":    {"proxy"},
	"proxy/proxytest": {"proxy"},
	"testdata/bench":  {"proxy/proxytest"},
	"testdata/matrix": {"proxy/proxytest"},
}

// program is what README's first command builds at the top; git ignores it.
const program = "agentproxy"

// topLevel is everything that may stand at the top of the repository, beside
// dotfiles.
var topLevel = []string{"cmd", "wrap", "profiles", "proxy", "shell", "testdata", "go.mod", "go.sum", "README.md", "LICENSE"}

const module = "github.com/agentproxy/agentproxy/"

func TestTopLevel(t *testing.T) {
	entries, err := os.ReadDir("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && e.Name() != program && !slices.Contains(topLevel, e.Name()) {
			t.Errorf("%s does not belong at the top level", e.Name())
		}
	}
}

func TestLayers(t *testing.T) {
	seen := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		pkg := filepath.ToSlash(filepath.Dir(path))[len("../../"):]
		allowed, ok := layers[longest(pkg)]
		if !ok {
			t.Errorf("%s is in no layer", path)
			return nil
		}
		for _, imported := range imports(t, path) {
			seen++
			if !permitted(allowed, imported) {
				t.Errorf("%s must not import %s", path, imported)
			}
		}
		return nil
	})
	if err != nil || seen == 0 {
		t.Fatalf("%d imports seen, %v", seen, err)
	}
}

// longest returns the most special key of layers that names pkg.
func longest(pkg string) string {
	for p := pkg; p != "."; p = filepath.Dir(p) {
		if _, ok := layers[p]; ok {
			return p
		}
	}
	return ""
}

func permitted(allowed []string, imported string) bool {
	return slices.ContainsFunc(allowed, func(a string) bool {
		// "proxy" alone permits all of it, except where only parts are listed.
		return imported == a || strings.HasPrefix(imported, a+"/")
	})
}

func imports(t *testing.T, path string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, spec := range f.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		if own, ok := strings.CutPrefix(p, module); ok {
			list = append(list, own)
		}
	}
	return list
}

// The status document and a run's environment may not import each other; what
// they say about NO_PROXY is the same.
func TestNoProxyIsOne(t *testing.T) {
	got := env.Tunnel{}.Facts(nil)["no_proxy"]
	if got != status.DefaultNoProxy {
		t.Errorf("a run gets %q, the status document says %q", got, status.DefaultNoProxy)
	}
}

// TestDependencies holds every direct dependency to its line in the README.
func TestDependencies(t *testing.T) {
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mod)) {
		fields := strings.Fields(line)
		if len(fields) != 2 || !strings.Contains(fields[0], ".") {
			continue // indirect ones have a comment behind them
		}
		if !strings.Contains(string(readme), "`"+fields[0]+"`") {
			t.Errorf("README.md does not say what %s is for", fields[0])
		}
	}
}

// Every store and every state that has a code is in the README's tables.
func TestStoresAreDocumented(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	stores, _ := trust.Stores()
	for _, store := range stores {
		if !strings.Contains(string(readme), "\n| `"+store+"` | ") {
			t.Errorf("README.md has no row for the store %s", store)
		}
	}
	for _, state := range []trust.State{trust.Absent, trust.Earlier, trust.Expired, trust.Foreign, trust.Taken, trust.Unavailable, trust.Unreadable} {
		if !strings.Contains(string(readme), "\n| `<store>_"+string(state)+"` | ") {
			t.Errorf("README.md has no row for the code of the state %s", state)
		}
	}
}

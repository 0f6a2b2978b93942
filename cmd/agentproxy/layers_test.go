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
)

// layers is the policy of imports inside the module: a package (by the longest
// prefix that names it) may import only what is listed. It is a statement of
// intent; change it when the design changes, not to make a test pass.
var layers = map[string][]string{
	"cmd":                   {"wrap/...", "shell", "proxy/...", "profiles/..."},
	"wrap/session":          {"proxy/capture/sockets", "proxy/contract", "proxy/policy", "wrap/capture", "proxy/atomicfile", "profiles", "profiles/detect", "profiles/env", "profiles/probe", "profiles/rules", "proxy/attach", "proxy/ca", "proxy/config", "proxy/guard", "proxy/rundir", "proxy/status", "proxy/trust", "wrap/child", "wrap/classify", "wrap/container", "wrap/gitenv", "wrap/inspect", "wrap/learned", "wrap/plan", "wrap/preload", "wrap/term", "wrap/verdict"},
	"wrap/plan":             {"profiles", "profiles/detect", "profiles/env", "wrap/gitenv"},
	"wrap/child":            {"proxy/guard", "wrap/capture", "wrap/term"},
	"wrap/capture":          {"proxy/capture/sockets", "wrap/term"},
	"wrap/inspect":          {"proxy/ca", "proxy/handshake"},
	"wrap/container":        {"proxy/atomicfile", "profiles", "profiles/detect", "profiles/env", "proxy/contract", "proxy/rundir", "wrap/gitenv", "wrap/plan"},
	"wrap/doctor":           {"profiles", "profiles/env", "profiles/rules", "proxy/contract", "proxy/status", "wrap/plan"},
	"wrap/learned":          {"proxy/atomicfile", "profiles/rules", "proxy/rundir"},
	"wrap/verdict":          {"proxy/atomicfile", "profiles/detect", "profiles/env", "profiles/rules", "proxy/guard", "proxy/rundir", "proxy/status", "wrap/classify"},
	"wrap/classify":         {"profiles", "profiles/env", "profiles/rules", "wrap/term"},
	"wrap/term":             {"proxy/guard"},
	"wrap/preload":          {"proxy/atomicfile", "proxy/rundir"},
	"wrap/gitenv":           {"profiles/detect", "profiles/env"},
	"shell":                 {"profiles/env", "proxy/atomicfile"},
	"profiles":              {"profiles/rules"},
	"profiles/rules":        {},
	"profiles/detect":       {"profiles", "profiles/env", "profiles/rules"},
	"profiles/env":          {},
	"profiles/probe":        {"profiles", "profiles/detect"},
	"proxy":                 {"proxy/status"},
	"proxy/front":           {"proxy", "proxy/guard", "proxy/handoff", "proxy/idle", "proxy/policy", "proxy/status"},
	"proxy/contract":        {"proxy/config", "proxy/status"},
	"proxy/guard":           {},
	"proxy/atomicfile":      {},
	"proxy/status":          {},
	"proxy/handoff":         {},
	"proxy/peer":            {},
	"proxy/policy":          {"proxy/status"},
	"proxy/rundir":          {"proxy/atomicfile", "proxy/peer", "proxy/status"},
	"proxy/page":            {"proxy/contract", "proxy/status"},
	"proxy/audit":           {"proxy/atomicfile", "proxy/guard", "proxy/rundir", "proxy/status"},
	"proxy/ca":              {"proxy/atomicfile", "proxy/rundir"},
	"proxy/trust":           {"proxy/atomicfile", "proxy/ca", "proxy/rundir"},
	"proxy/config":          {"proxy/atomicfile", "proxy/policy", "proxy/rundir"},
	"proxy/egress":          {"proxy/ca", "proxy/egress/http1", "proxy/egress/message", "proxy/egress/wire", "proxy/handoff", "proxy/handshake", "proxy/idle", "proxy/policy", "proxy/status"},
	"proxy/egress/http1":    {"proxy/egress/message", "proxy/egress/wire", "proxy/idle", "proxy/status"},
	"proxy/egress/message":  {"proxy/egress/wire", "proxy/status"},
	"proxy/egress/wire":     {"proxy/idle"},
	"proxy/idle":            {},
	"proxy/handshake":       {},
	"proxy/capture":         {"proxy/capture/sockets", "proxy/peer", "proxy/policy"},
	"proxy/capture/sockets": {},
	"proxy/canary":          {"proxy", "proxy/ca", "proxy/contract", "proxy/egress"},
	"proxy/daemon":          {"proxy/capture", "proxy/capture/sockets", "proxy/atomicfile", "proxy", "proxy/audit", "proxy/ca", "proxy/canary", "proxy/config", "proxy/contract", "proxy/egress", "proxy/front", "proxy/guard", "proxy/idle", "proxy/page", "proxy/peer", "proxy/policy", "proxy/rundir", "proxy/status", "proxy/trust"},
	"proxy/attach":          {"proxy/capture/sockets", "proxy/atomicfile", "proxy/ca", "proxy/config", "proxy/contract", "proxy/peer", "proxy/policy", "proxy/rundir", "proxy/status"},
	"proxy/proxytest":       {"proxy/..."},
	"proxy/proxytest/tcp":   {},
	".ci/package":           {},
	"testdata/bench":        {"proxy/proxytest/..."},
	"testdata/dockerfiles":  {},
	"testdata/lyingorigin":  {"proxy/proxytest/..."},
	"testdata/matrix":       {"proxy/proxytest/..."},
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

// permitted reports whether a row allows an import; "proxy/..." allows proxy and
// all below it.
func permitted(allowed []string, imported string) bool {
	return slices.ContainsFunc(allowed, func(a string) bool {
		below, all := strings.CutSuffix(a, "...")
		return imported == a || all && strings.HasPrefix(imported+"/", below)
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

// TestDependencies holds every direct dependency to its line in CONTRIBUTING.
func TestDependencies(t *testing.T) {
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../.github/CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mod)) {
		fields := strings.Fields(line)
		if len(fields) != 2 || !strings.Contains(fields[0], ".") {
			continue // indirect ones have a comment behind them
		}
		if !strings.Contains(string(readme), "`"+fields[0]+"`") {
			t.Errorf("CONTRIBUTING.md does not say what %s is for", fields[0])
		}
	}
}

// What runs a command links nothing that serves one: an exec must not pay for
// the daemon's start, nor depend on its inside.
func TestTheClientStandsOnNoServer(t *testing.T) {
	seen := map[string]bool{}
	var visit func(pkg string)
	visit = func(pkg string) {
		if seen[pkg] {
			return
		}
		seen[pkg] = true
		files, err := filepath.Glob("../../" + pkg + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatalf("%s has no files, %v", pkg, err)
		}
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") {
				for _, imported := range imports(t, file) {
					visit(imported)
				}
			}
		}
	}
	visit("wrap/session")
	for _, server := range []string{"proxy/audit", "proxy/canary", "proxy/daemon", "proxy/egress", "proxy/front", "proxy/page"} {
		if seen[server] {
			t.Errorf("wrap/session links %s", server)
		}
	}
	if !seen["proxy/attach"] {
		t.Error("nothing was looked at")
	}
}

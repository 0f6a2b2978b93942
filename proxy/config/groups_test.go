package config

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/proxy/policy"
)

// place writes files below a directory, in the form of their paths and contents.
func place(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
}

// Each group stands for the hosts that its tool is configured for, and for no other.
func TestGroups(t *testing.T) {
	for _, c := range []struct {
		why, group string
		files      map[string]string
		env        map[string]string
		want       string
	}{
		{"nothing is configured", "pip", nil, nil, ""},
		{"pip's files", "pip", map[string]string{"home/.config/pip/pip.conf": "[global]\nindex-url = https://user:pw@index.example/simple\n# https://old.example\nextra-index-url =\n  https://more.example:8443/simple\nproxy = https://proxy.example\n"}, nil,
			"index.example more.example:8443"},
		{"pip's variable replaces the default", "pip", map[string]string{"bin/pip": "#!", "lib/python3.13/site-packages/pip/_internal/models/index.py": `PyPI = PackageIndex("https://index.default.example/", file_storage_domain="files.default.example")`},
			map[string]string{"PIP_INDEX_URL": "https://mirror.example/simple"}, "mirror.example"},
		{"pip's default, with where its files are", "pip", map[string]string{"bin/pip": "#!", "lib/python3.13/site-packages/pip/_internal/models/index.py": `PyPI = PackageIndex("https://index.default.example/", file_storage_domain="files.default.example")`},
			nil, "index.default.example files.default.example"},
		{"npm's files, from the project up", "npm", map[string]string{"project/.npmrc": "@scope:registry=https://scoped.example/\n//scoped.example/:_authToken=x\n", "home/.npmrc": "registry=https://npm.example/\nhttps-proxy=https://proxy.example\n"}, nil,
			"scoped.example npm.example"},
		{"npm's default, and a scope beside it", "npm", map[string]string{"bin/npm": "#!", "node_modules/@npmcli/config/lib/definitions/definitions.js": "  registry: new Definition('registry', {\n    default: 'https://npm.default.example/',\n", "home/.npmrc": "@scope:registry=https://scoped.example/\n"}, nil,
			"scoped.example npm.default.example"},
		{"cargo", "cargo", map[string]string{"project/.cargo/config.toml": "[source.mirror]\nregistry = \"sparse+https://cargo.example/index/\"\n[http]\nproxy = \"https://proxy.example\"\n"}, nil, "cargo.example"},
		{"go's variables", "go", map[string]string{"home/.config/go/env": "GOPROXY=https://file.example\nGOSUMDB=sum.example+033de0ae https://sums.example\n"}, map[string]string{"GOPROXY": "https://a.example,https://b.example|direct"},
			"a.example b.example sum.example sums.example"},
		{"go's installation", "go", map[string]string{"bin/go": "#!", "go.env": "GOPROXY=https://go.default.example,direct\nGOSUMDB=off\n"}, nil, "go.default.example"},
		{"maven", "maven", map[string]string{"home/.m2/settings.xml": "<settings xmlns=\"https://schema.example\">\n<!-- <url>https://comment.example</url> -->\n<mirror><url>https://maven.example/repo</url></mirror>\n</settings>"}, nil, "maven.example"},
		{"apt over HTTPS", "apt", map[string]string{"root/etc/apt/sources.list": "deb https://apt.example/debian stable main\n# deb https://no.example x y\ndeb http://plain.example/debian stable main\n", "root/etc/apt/sources.list.d/x.sources": "URIs: https://more.example/x\n"}, nil,
			"apt.example more.example"},
	} {
		t.Run(c.why, func(t *testing.T) {
			dir := t.TempDir()
			place(t, dir, c.files)
			m := machine{dir: filepath.Join(dir, "project"), root: filepath.Join(dir, "root"), getenv: func(name string) string {
				switch name {
				case "HOME":
					return filepath.Join(dir, "home")
				case "PATH":
					return filepath.Join(dir, "bin")
				}
				return c.env[name]
			}}
			got := m.hosts(groups[slices.Index(Groups(), c.group)])
			if want := strings.Fields(c.want); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// git itself tells its remotes, those over SSH among them: they go over HTTPS in a run.
func TestGitGroup(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{{"init", "-q"}, {"remote", "add", "a", "https://a.example/x.git"}, {"remote", "add", "b", "git@b.example:org/x.git"},
		{"remote", "add", "c", "ssh://git@c.example:2222/x"}, {"remote", "add", "d", "../local"}, {"config", "url.https://e.example/.insteadOf", "e:"}} {
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v, %s", args, err, out)
		}
	}
	m := machine{dir: dir, root: "/", getenv: os.Getenv}
	got := m.hosts(groups[slices.Index(Groups(), "git")])
	for _, want := range []string{"a.example", "b.example", "c.example", "e.example"} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is not among %q", want, got)
		}
	}
}

// Groups are replaced when the configuration is loaded; what they came from stays in
// the rule, and a name that is none is an error.
func TestGroupsInAPolicy(t *testing.T) {
	home := t.TempDir()
	place(t, home, map[string]string{".npmrc": "registry=https://npm.example/\n",
		".config/agentproxy/config.toml": "[policy]\ndefault = \"deny\"\nallow = [\"@npm\", \"GET @npm\", \"@cargo\", \"a.example\"]\ndeny = [\"@npm push\"]\n"})
	c, err := Load("", func(name string) string { return map[string]string{"HOME": home}[name] }, "")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"npm.example (@npm)", "GET npm.example (@npm)", "a.example"}; !slices.Equal(c.Policy.Allow, want) {
		t.Errorf("allow %q", c.Policy.Allow)
	}
	if want := []string{"npm.example push (@npm)"}; !slices.Equal(c.Policy.Deny, want) {
		t.Errorf("deny %q", c.Policy.Deny)
	}
	if !slices.Equal(c.Policy.Empty, []string{"cargo"}) {
		t.Errorf("empty %q", c.Policy.Empty)
	}
	if _, err := Parse("/c.toml", []byte("[policy]\nallow = [\"@nmp\"]\n")); err == nil || !strings.Contains(err.Error(), "@nmp is no group: there are @pip, @npm") {
		t.Errorf("%v", err)
	}
}

// A project's file narrows, and widens once it is trusted as it is.
func TestProject(t *testing.T) {
	home, project := t.TempDir(), t.TempDir()
	getenv := func(name string) string { return map[string]string{"HOME": home}[name] }
	file := filepath.Join(project, ProjectFile)
	place(t, project, map[string]string{ProjectFile: "[policy]\nallow = [\"a.example\"]\n", "below/deep/x": ""})
	load := func() *Project {
		t.Helper()
		c, err := Load("", getenv, filepath.Join(project, "below/deep"))
		if err != nil {
			t.Fatal(err)
		}
		return c.Project
	}
	if p := load(); p == nil || p.Path != file || p.Trusted {
		t.Fatalf("%+v", p)
	}
	if p, err := Trust(getenv, file); err != nil || !p.Trusted {
		t.Fatalf("%+v, %v", p, err)
	}
	if p := load(); !p.Trusted {
		t.Error("not trusted")
	}
	place(t, project, map[string]string{ProjectFile: "[policy]\nallow = [\"*\"]\n"})
	if p := load(); p.Trusted {
		t.Error("trusted although it was changed")
	}
	place(t, project, map[string]string{ProjectFile: "[policy]\nallow = [\"a.example\"]\n"})
	if was, err := Distrust(getenv, file); !was || err != nil {
		t.Errorf("%v, %v", was, err)
	}
	if p := load(); p.Trusted {
		t.Error("trusted although that was taken back")
	}
	for text, want := range map[string]string{"[policy]\nprivate = []\n": ".agentproxy.toml:2:1: unknown key policy.private", "[policy]\nallow = [\"a b\"]\n": `policy.allow: "a b"`, "[egress]\n": "unknown key egress"} {
		place(t, project, map[string]string{ProjectFile: text})
		if _, err := Load("", getenv, project); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if c, err := Load("", getenv, home); err != nil || c.Project != nil {
		t.Errorf("%+v, %v", c, err)
	}
}

// The rules of the machine hold whatever the configuration says, and so do those of the
// file that it names.
func TestOrganisation(t *testing.T) {
	dir := t.TempDir()
	place(t, dir, map[string]string{"machine.toml": "[policy]\ndeny = [\"evil.example\"]\n", "named.toml": "[policy]\ndefault = \"deny\"\nallow = [\"a.example\"]\n",
		"config.toml": "[policy]\norganisation = \"named.toml\"\nallow = [\"evil.example\", \"b.example:8443\"]\n"})
	before := machinePolicy
	t.Cleanup(func() { machinePolicy = before })
	machinePolicy = filepath.Join(dir, "machine.toml")
	none := func(string) string { return "" }
	c, err := Load(filepath.Join(dir, "config.toml"), none, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.ForRun(Layer{Allow: []string{"*"}}, true, none, ""); err != nil {
		t.Fatal(err)
	}
	p, err := policy.New(c.Rules())
	if err != nil {
		t.Fatal(err)
	}
	for host, lets := range map[string]bool{"a.example:443": true, "evil.example:443": false, "b.example:8443": false, "c.example:443": false} {
		target, err := policy.ParseTarget(host)
		if err != nil {
			t.Fatal(err)
		}
		if d := p.Decide(target); p.Lets(d) != lets {
			t.Errorf("%s: %+v", host, d)
		}
	}
	if files := c.Source.Files(); !slices.Contains(files, machinePolicy) || !slices.Contains(files, filepath.Join(dir, "named.toml")) {
		t.Errorf("watched: %q", files)
	}
	for file, text := range map[string]string{"machine.toml": "[policy]\nprivate = []\n", "named.toml": "[policy]\nallow = [\"a b\"]\n"} {
		place(t, dir, map[string]string{file: text})
		if _, err := Load(filepath.Join(dir, "config.toml"), none, ""); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", file, err)
		}
		place(t, dir, map[string]string{file: "[policy]\n"})
	}
	if err := os.Remove(filepath.Join(dir, "named.toml")); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(filepath.Join(dir, "config.toml"), none, ""); err == nil || !strings.Contains(err.Error(), "your organisation's policy") {
		t.Errorf("without the file: %v", err)
	}
}

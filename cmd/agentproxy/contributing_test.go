package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/proxy/proxytest/leftout"
	"github.com/agentproxy/agentproxy/proxy/rundir"
)

func contributing(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../.github/CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// block is a block of code in the document, with what stands before it.
var block = regexp.MustCompile("(?m)(?:^`+ ?(?:([^`\n]+)`)(, .+):\n\n)?^```(\\w+)\n((?s:.*?))^```$")

// walkVariable has the document walked, which builds the program anew for each of its
// ways: a step of CI of its own.
const walkVariable = "CONTRIBUTING_WALK"

// TestContributing follows the document to the letter, in a copy of the repository.
func TestContributing(t *testing.T) {
	if os.Getenv(walkVariable) == "" {
		leftout.Note(t, "the ways of .github/CONTRIBUTING.md, which $"+walkVariable+" has walked")
		return
	}
	t.Parallel()
	c := newContributor(t)
	seen := map[string]int{}
	for _, section := range strings.Split(contributing(t), "\n## ")[1:] {
		title, text, _ := strings.Cut(section, "\n")
		for _, b := range block.FindAllStringSubmatch(text, -1) {
			switch file, place, language, code := b[1], b[2], b[3], b[4]; {
			case file != "":
				seen["edit"]++
				c.edit(title, file, place, code)
			case language == "console":
				seen["console"]++
				c.enter(title, code)
			default:
				seen[language]++
				c.namesWhatThereIs(code)
			}
			if t.Failed() {
				t.FailNow()
			}
		}
	}
	if seen["sh"] != 1 || seen["edit"] != 6 || seen["console"] != 5 {
		t.Errorf("the document has %v", seen)
	}
}

// contributor has a copy of the repository and a home.
type contributor struct {
	t       *testing.T
	dir     string
	environ []string
}

func newContributor(t *testing.T) *contributor {
	base := t.TempDir()
	c := &contributor{t: t, dir: filepath.Join(base, "repository")}
	for _, name := range append([]string{".ci", ".github"}, topLevel...) {
		c.copy(name)
	}
	home := filepath.Join(base, "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH", "GOENV"} {
		value, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		c.environ = append(c.environ, name+"="+strings.TrimSpace(string(value)))
	}
	c.environ = append(c.environ, "PATH="+os.Getenv("PATH"), "HOME="+home)
	t.Cleanup(func() {
		c.run("test ! -e agentproxy || ./agentproxy down")
		rundir.RemovePublic(filepath.Join(home, ".local", "state", "agentproxy"))
	})
	return c
}

// copy copies a file or a directory of the repository's.
func (c *contributor) copy(name string) {
	c.t.Helper()
	err := fs.WalkDir(os.DirFS("../.."), name, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(c.dir, path)
		if d.IsDir() {
			return os.MkdirAll(to, 0o700)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		copyFile(c.t, filepath.Join("../..", path), to, info.Mode().Perm())
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// edit puts the code where the document says.
func (c *contributor) edit(title, file, place, code string) {
	c.t.Helper()
	path := filepath.Join(c.dir, file)
	old, err := os.ReadFile(path)
	text := string(old)
	line, below := strings.CutPrefix(place, ", below `")
	switch {
	case place == ", a new file":
		if err == nil {
			c.t.Errorf("%s: %s is there already", title, file)
		}
		text, err = code, nil
	case place == ", at its end":
		text += code
	case place == ", above its first example":
		at := strings.Index(text, "\n-- ") + 1
		text = text[:at] + code + text[at:]
	case below:
		line = "\n" + strings.Trim(line, "` ")
		if strings.Count(text, line) != 1 {
			c.t.Fatalf("%s: %s has %d lines %q", title, file, strings.Count(text, line), line)
		}
		at := strings.Index(text, line) + len(line)
		at += strings.Index(text[at:], "\n") + 1
		text = text[:at] + code + text[at:]
	default:
		c.t.Errorf("%s: nobody knows where %q is", title, place)
	}
	if err != nil {
		c.t.Fatalf("%s: %v", title, err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// enter runs the lines with a $, of which each must print the lines behind it,
// and succeed unless that is an error.
func (c *contributor) enter(title, code string) {
	c.t.Helper()
	for _, command := range strings.Split("\n"+code, "\n$ ")[1:] {
		line, want, _ := strings.Cut(strings.TrimSuffix(command, "\n"), "\n")
		out, err := c.run(line)
		if fails := strings.HasPrefix(want, "agentproxy: "); fails != (err != nil) {
			c.t.Errorf("%s: %s ends with %v: %s", title, line, err, out)
		}
		for part := range strings.Lines(want) {
			if !strings.Contains(spaced(out), spaced(part)) {
				c.t.Errorf("%s: %s does not print %q, but %s", title, line, part, out)
			}
		}
	}
}

// spaced is the text with one blank between words.
func spaced(text string) string { return strings.Join(strings.Fields(text), " ") }

func (c *contributor) run(line string) (out string, err error) {
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir, cmd.Env = c.dir, c.environ
	both, err := cmd.CombinedOutput()
	return string(both), err
}

// namesWhatThereIs holds commands that take long to the scripts, steps and cases
// that they name.
func (c *contributor) namesWhatThereIs(code string) {
	c.t.Helper()
	for line := range strings.Lines(code) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		list, err := "", error(nil)
		switch words[0] {
		case "go":
			_, script, _ := strings.Cut(strings.Trim(words[len(words)-1], "'"), "/")
			words = []string{"", script + ".txtar"}
			list, err = c.run("ls testdata/script")
		case ".ci/run", "testdata/matrix/run":
			list, err = c.run(words[0] + " --list")
		default:
			words = []string{"", words[0]}
			list, err = c.run("ls " + words[1])
		}
		if err != nil {
			c.t.Errorf("%s: %v", line, err)
		}
		for _, name := range words[1:] {
			if !strings.HasPrefix(name, "--") && !regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(name)+`\b`).MatchString(list) {
				c.t.Errorf("%s: there is no %s", line, name)
			}
		}
	}
}

// TestWordsAreThoseOfTheCode holds each word of the document's table to the package
// or the name that it is said to be.
func TestWordsAreThoseOfTheCode(t *testing.T) {
	_, table, _ := strings.Cut(contributing(t), "\n## Words\n")
	row := regexp.MustCompile("(?m)^\\| ([a-z][^|]*) \\| [^|]+ \\| ((?:`[^`]+`(?:, )?)+) \\|$")
	rows := row.FindAllStringSubmatch(table, -1)
	if lines := strings.Count(table, "\n|"); len(rows) != lines-2 || len(rows) == 0 {
		t.Errorf("of %d rows %d can be read", lines-2, len(rows))
	}
	for _, r := range rows {
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(r[2], -1) {
			pkg, of, _ := strings.Cut(name[1], ".")
			if !declares(t, filepath.Join("../..", pkg), of) {
				t.Errorf("%s is %s, which there is none of", r[1], name[1])
			}
		}
	}
}

// declares reports whether a package, and a name in it if one is given, is there.
func declares(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if name == "" || declared(parsed, name) {
			return true
		}
	}
	return false
}

func declared(file *ast.File, name string) bool {
	found := false
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			found = found || d.Recv == nil && d.Name.Name == name
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					found = found || spec.Name.Name == name
				case *ast.ValueSpec:
					for _, n := range spec.Names {
						found = found || n.Name == name
					}
				}
			}
		}
	}
	return found
}

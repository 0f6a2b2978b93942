package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/profiles/rules"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/spf13/pflag"
	"mvdan.cc/sh/v3/syntax"
)

// generated are the parts of documents that are made from the code: between two marks,
// or the whole where there are none.
var generated = []struct {
	file, begin, end string
	text             func() string
}{
	{file: "README.md", text: reference},
	{"../../wrap/README.md", "<!-- classes: written by go generate ./cmd/agentproxy -->\n", "<!-- end of classes -->\n", classTable},
}

// A generated part is as the code has it; with UPDATE_DOCS it is made so.
func TestGenerated(t *testing.T) {
	for _, g := range generated {
		data, err := os.ReadFile(g.file)
		if err != nil {
			t.Fatal(err)
		}
		before, rest, ok := strings.Cut(string(data), g.begin)
		_, after, end := strings.Cut(rest, g.end)
		if g.begin == "" {
			before, after, ok, end = "", "", true, true
		}
		want := before + g.begin + g.text() + g.end + after
		switch {
		case !ok || !end:
			t.Errorf("%s has no %q", g.file, g.begin)
		case string(data) == want:
		case os.Getenv("UPDATE_DOCS") != "":
			if err := os.WriteFile(g.file, []byte(want), 0o644); err != nil {
				t.Error(err)
			}
		default:
			t.Errorf("%s is stale: go generate ./cmd/agentproxy", g.file)
		}
	}
}

func classTable() string {
	var b strings.Builder
	b.WriteString("| class | meaning | |\n|---|---|---|\n")
	for _, c := range rules.Classes() {
		final := ""
		if c.Final() {
			final = "final"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", c, c.Meaning(), final)
	}
	return b.String()
}

// reference is README.md beside this file.
func reference() string {
	var b strings.Builder
	b.WriteString("# Commands\n\n<!-- Written by go generate ./cmd/agentproxy from the help. -->\n\n| command | |\n|---|---|\n")
	for _, c := range commands() {
		if !c.hidden {
			fmt.Fprintf(&b, "| [`%s`](#agentproxy-%s) | %s |\n", c.name, c.name, c.short)
		}
	}
	b.WriteString("\n`agentproxy COMMAND --help` prints the same for a command.")
	for _, t := range topics() {
		fmt.Fprintf(&b, " `agentproxy help %s` is about %s.", t.name, t.short)
	}
	b.WriteString("\n")
	for _, c := range commands() {
		if c.hidden {
			continue
		}
		referenceOf(&b, "##", c)
		for _, v := range c.verbs {
			referenceOf(&b, "###", v)
		}
	}
	b.WriteString("\n## Exit status\n\n| status | when |\n|---|---|\n")
	for _, e := range exitStatuses {
		fmt.Fprintf(&b, "| %s | %s |\n", e[0], e[1])
	}
	return b.String()
}

func referenceOf(b *strings.Builder, level string, c *command) {
	fmt.Fprintf(b, "\n%s agentproxy %s\n\n%s.\n\n```sh\n%s```\n\nUsage: `%s`\n", level, c.name, c.short, outdented(alignedExamples(c.examples)), c.synopsis())
	b.WriteString(prose(c.long))
	if list := c.options(); len(list) > 0 {
		b.WriteString("\n| flag | |\n|---|---|\n")
		for _, o := range list {
			fmt.Fprintf(b, "| `%s` | %s |\n", o, strings.ReplaceAll(o.text, "|", `\|`))
		}
	}
}

// documents are what users and contributors read.
func documents(t *testing.T) (files []string) {
	t.Helper()
	for _, pattern := range []string{"guide.md", "../../README.md", "../../*/README.md", "../../*/*/README.md", "../../.github/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range found {
			if !slices.Contains(files, file) {
				files = append(files, file)
			}
		}
	}
	if len(files) < 12 {
		t.Fatalf("there are only %v", files)
	}
	return files
}

// The tunnel's document has every kind of failure, and the shell's table every agent.
func TestTablesAreComplete(t *testing.T) {
	text := read(t, "../../proxy/README.md")
	for _, k := range status.Kinds {
		if !strings.Contains(text, "`"+string(k.Kind)+"`") {
			t.Errorf("proxy/README.md has no kind %s", k.Kind)
		}
	}
	text = read(t, "../../wrap/README.md")
	for _, name := range agentNames() {
		if !strings.Contains(text, "\n| `"+name+"` | ") {
			t.Errorf("wrap/README.md has no agent %s", name)
		}
	}
}

// Every relative link leads to a file, and to a heading of it.
func TestLinks(t *testing.T) {
	for _, file := range documents(t) {
		text := read(t, file)
		for _, link := range regexp.MustCompile(`\]\(([^)\s]+)\)|src="([^"]+)"`).FindAllStringSubmatch(text, -1) {
			to := link[1] + link[2]
			if strings.Contains(to, "://") {
				continue
			}
			path, heading, _ := strings.Cut(to, "#")
			target := file
			if path != "" {
				target = filepath.Join(filepath.Dir(file), path)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %s leads nowhere", file, to)
			} else if heading != "" && !slices.Contains(headings(read(t, target)), heading) {
				t.Errorf("%s: %s has no such heading", file, to)
			}
		}
	}
}

// headings are the names of a document's headings in links.
func headings(text string) (list []string) {
	for _, h := range regexp.MustCompile("(?m)^#+ (.*)$").FindAllStringSubmatch(text, -1) {
		name := regexp.MustCompile(`[^\w\- ]`).ReplaceAllString(strings.ToLower(h[1]), "")
		list = append(list, strings.ReplaceAll(name, " ", "-"))
	}
	return list
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// Every command line of ours in a document, and in the help, is one that we take.
func TestDocumentedCommands(t *testing.T) {
	seen := 0
	for _, file := range documents(t) {
		text := read(t, file)
		for _, b := range regexp.MustCompile("(?ms)^ *```(\\w*)\n(.*?)^ *```$").FindAllStringSubmatch(text, -1) {
			switch b[1] {
			case "sh":
				seen += checkLines(t, file, b[2])
			case "console", "":
				for line := range strings.Lines(b[2]) {
					if line, ok := strings.CutPrefix(line, "$ "); ok {
						seen += checkLines(t, file, line)
					}
				}
			}
		}
		for _, code := range regexp.MustCompile("`(agentproxy [^`\n]+)`").FindAllStringSubmatch(text, -1) {
			seen += checkLines(t, file, strings.ReplaceAll(code[1], "…", ""))
		}
	}
	for _, c := range every() {
		for line := range strings.Lines(c.examples) {
			seen += checkLines(t, c.name, line)
		}
	}
	if seen < 150 {
		t.Errorf("only %d command lines were found", seen)
	}
}

// checkLines holds the calls of agentproxy in a text of the shell's to what there is, and
// counts them.
func checkLines(t *testing.T, where, text string) (seen int) {
	t.Helper()
	file, err := syntax.NewParser().Parse(strings.NewReader(regexp.MustCompile("[<{][a-z| ]+[>}]").ReplaceAllString(text, "x")), where)
	if err != nil {
		t.Errorf("%s: %q: %v", where, text, err)
		return 0
	}
	syntax.Walk(file, func(node syntax.Node) bool {
		call, ok := node.(*syntax.CallExpr)
		if !ok || len(call.Args) == 0 || filepath.Base(call.Args[0].Lit()) != "agentproxy" || strings.Contains(call.Args[0].Lit(), "/cmd/") {
			return true
		}
		var words []string
		for _, w := range call.Args[1:] {
			word := w.Lit()
			if word == "" {
				word = "quoted"
			}
			words = append(words, word)
		}
		seen++
		if err := acceptable(words); err != nil {
			t.Errorf("%s: agentproxy %s: %v", where, strings.Join(words, " "), err)
		}
		return true
	})
	return seen
}

// acceptable says what is wrong with a command line, as far as it can be told without
// running it. Placeholders in capitals stand for anything.
func acceptable(words []string) error {
	if len(words) == 0 || words[0] == strings.ToUpper(words[0]) {
		return nil
	}
	if words[0] == "help" {
		if named(commands(), words[1]) == nil && !slices.ContainsFunc(topics(), func(t topic) bool { return t.name == words[1] }) && words[1] != "TOPIC" {
			return errors.New("there is no such topic")
		}
		return nil
	}
	c := named(commands(), words[0])
	if c == nil {
		return errors.New("there is no such command")
	}
	words = words[1:]
	if len(words) > 0 {
		if verb := named(c.verbs, words[0]); verb != nil {
			c, words = verb, words[1:]
		}
	}
	flags, act := c.flags()
	if err := flags.Parse(words); err != nil && !errors.Is(err, pflag.ErrHelp) {
		return err
	}
	if act == nil && flags.NArg() > 0 && flags.Arg(0) != "COMMAND" {
		return fmt.Errorf("it has no %s", flags.Arg(0))
	}
	return nil
}

// The documents are short and plain: README within its lines, no sentence too long.
func TestProse(t *testing.T) {
	const longest = 30
	if lines := strings.Count(read(t, "../../README.md"), "\n"); lines > 220 {
		t.Errorf("README.md has %d lines", lines)
	}
	for _, file := range documents(t) {
		all, n := 0, 0
		for _, s := range sentences(read(t, file)) {
			words := len(strings.Fields(s))
			if words > longest {
				t.Errorf("%s: %d words: %s", file, words, s)
			}
			if stilted := stilted.FindString(s); stilted != "" {
				t.Errorf("%s: %q in %s", file, stilted, s)
			}
			if words > 0 {
				all, n = all+words, n+1
			}
		}
		t.Logf("%s: %d lines, %.1f words a sentence", strings.TrimPrefix(file, "../../"), strings.Count(read(t, file), "\n"), float64(all)/float64(max(1, n)))
	}
}

// stilted is what has crept into these documents before.
var stilted = regexp.MustCompile(`\b(mends?|mended|told of|tells of|bar|that there is (something|none))\b`)

// sentences are those of the paragraphs and lists of a document.
func sentences(text string) (list []string) {
	text = regexp.MustCompile("(?ms)^ *```.*?^ *```$").ReplaceAllString(text, "\n")
	text = regexp.MustCompile(`(?m)^(\||#|<).*$`).ReplaceAllString(text, "\n")
	text = regexp.MustCompile(`(?m)^ *[-0-9]+\.? `).ReplaceAllString(text, "\n\n")
	text = regexp.MustCompile("`[^`]+`").ReplaceAllString(text, "code")
	for _, paragraph := range regexp.MustCompile(`\n\s*\n`).Split(text, -1) {
		list = append(list, regexp.MustCompile(`[.!?](\*\*)?(\s|$)`).Split(strings.Join(strings.Fields(paragraph), " "), -1)...)
	}
	return list
}

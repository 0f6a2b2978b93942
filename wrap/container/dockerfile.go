package container

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"
)

// Dockerfile is what an image is built from (the format is documented as
// "Dockerfile reference").
type Dockerfile struct {
	instructions []instruction
}

// instruction is one with its lines as they were written, or one line that is
// none: a comment, a blank.
type instruction struct {
	name string // in capitals, "" for what is no instruction
	text string
	rest int // where in text its arguments begin, -1 when its name goes over a line's end
	// line is its arguments in one line, docs the lines of its here-documents, ends
	// included.
	line, docs string
	documents  int // how many there are
	// script is what the documents say where they are all that a RUN has.
	script string
}

// directive is a parser directive; those stand at the head of the file.
var directive = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$`) })

// directives are the names that BuildKit knows; behind another comment there are none.
var directives = []string{"syntax", "escape", "check"}

// ParseDockerfile divides it into instructions as BuildKit does
// (frontend/dockerfile/parser); it finds no fault with any.
func ParseDockerfile(text string) *Dockerfile {
	d := &Dockerfile{}
	reader := lineReader{lines: strings.SplitAfter(text, "\n"), escape: `\`}
	for head := true; len(reader.lines) > 0; {
		line := strings.TrimSpace(strings.TrimPrefix(reader.lines[0], "\ufeff"))
		m := directive().FindStringSubmatch(line)
		if head = head && m != nil && slices.Contains(directives, strings.ToLower(m[1])); head && strings.EqualFold(m[1], "escape") {
			reader.escape = m[2]
		}
		if line == "" || line[0] == '#' {
			d.instructions = append(d.instructions, instruction{text: reader.take()})
			continue
		}
		d.instructions = append(d.instructions, reader.instruction())
	}
	return d
}

// lineReader takes a file's lines one after another.
type lineReader struct {
	lines  []string // with their ends
	escape string
}

func (r *lineReader) take() string {
	line := r.lines[0]
	r.lines = r.lines[1:]
	return line
}

// instruction takes one.
func (r *lineReader) instruction() instruction {
	raw, whole := r.logical()
	words := strings.TrimSpace(strings.TrimPrefix(whole, "\ufeff"))
	name := words[:len(words)-len(strings.TrimLeftFunc(words, func(c rune) bool { return !unicode.IsSpace(c) }))]
	i := instruction{name: strings.ToUpper(name), text: raw, line: strings.TrimSpace(words[len(name):])}
	i.rest = strings.Index(raw, name) + len(name)
	var docs []heredoc
	if i.mayHaveDocuments() {
		docs = heredocs(words)
	}
	i.documents = len(docs)
	for _, doc := range docs {
		body := r.document(doc)
		i.docs += body.text
		i.script += body.content
	}
	i.text += i.docs
	if name == "" || i.rest < len(name) || strings.TrimSpace(strings.TrimPrefix(raw[:i.rest], "\ufeff")) != name {
		i.rest = -1
	}
	return i
}

// logical takes a line with those that continue it: as they are written, and as
// one.
func (r *lineReader) logical() (raw, whole string) {
	var text, joined strings.Builder
	for first := true; len(r.lines) > 0; first = false {
		line := r.take()
		text.WriteString(line)
		trimmed := strings.TrimSpace(line)
		if !first && (trimmed == "" || trimmed[0] == '#') { // these do not count in an instruction
			continue
		}
		line = strings.TrimRight(line, "\r\n")
		open, continued := strings.CutSuffix(strings.TrimRight(line, " \t"), r.escape)
		if !continued || strings.HasSuffix(open, r.escape) {
			joined.WriteString(line)
			break
		}
		joined.WriteString(open)
	}
	return text.String(), joined.String()
}

// mayHaveDocuments reports whether an instruction is one that here-documents may
// follow: not one in the JSON form.
func (i *instruction) mayHaveDocuments() bool {
	name, line := i.name, i.line
	if name == "ONBUILD" {
		if fields := strings.Fields(line); len(fields) > 0 {
			name, line = strings.ToUpper(fields[0]), line[len(fields[0]):]
		}
	}
	return (name == "RUN" || name == "COPY" || name == "ADD") && jsonForm(withoutFlags(line)) == nil
}

// withoutFlags returns arguments behind those that begin with "--".
func withoutFlags(line string) string {
	line = strings.TrimSpace(line)
	for strings.HasPrefix(line, "--") {
		end := strings.IndexFunc(line, unicode.IsSpace)
		if end < 0 {
			return ""
		}
		line = strings.TrimSpace(line[end:])
	}
	return line
}

// jsonForm returns the words of arguments that are a JSON array, nil for others.
func jsonForm(line string) []string {
	var words []string
	if json.Unmarshal([]byte(line), &words) != nil {
		return nil
	}
	return words
}

// document is one as it stands in the file, and what it says.
type document struct{ text, content string }

func (r *lineReader) document(doc heredoc) document {
	var text, content strings.Builder
	for len(r.lines) > 0 {
		line := r.take()
		text.WriteString(line)
		if doc.tabs {
			line = strings.TrimLeft(line, "\t")
		}
		if strings.TrimRight(line, "\r\n") == doc.name {
			break
		}
		content.WriteString(line)
	}
	return document{text.String(), content.String()}
}

// Shell returns the commands of the steps, as shell text.
func (d *Dockerfile) Shell() string {
	var b strings.Builder
	for _, i := range d.instructions {
		if i.name != "RUN" {
			continue
		}
		line := withoutFlags(i.line)
		switch words := jsonForm(line); {
		case words != nil:
			line = strings.Join(words, " ")
		case i.docs != "" && isDocuments(line):
			line = i.script
		default:
			line += "\n" + i.docs
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

// Given returns it with variables for every stage and options for every step.
// Neither is kept in the image, though its history names the variables; one that
// the image itself sets wins.
func (d *Dockerfile) Given(variables []string, options string) string {
	var b strings.Builder
	for _, i := range d.instructions {
		switch {
		case i.name == "RUN" && i.rest >= 0:
			b.WriteString(i.text[:i.rest] + " " + options + i.text[i.rest:])
		case i.name == "FROM":
			b.WriteString(i.text)
			if !strings.HasSuffix(i.text, "\n") {
				b.WriteByte('\n')
			}
			b.WriteString("ARG")
			for _, v := range variables {
				b.WriteString(" " + quoted(v))
			}
			b.WriteByte('\n')
		default:
			b.WriteString(i.text)
		}
	}
	return b.String()
}

// quoted is NAME=VALUE as ARG reads it.
func quoted(variable string) string {
	name, value, _ := strings.Cut(variable, "=")
	if !strings.ContainsAny(value, " \t\"'$\\") {
		return variable
	}
	return name + `="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`).Replace(value) + `"`
}

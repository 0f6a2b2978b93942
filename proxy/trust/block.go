package trust

import (
	"regexp"
	"slices"
	"strings"
)

// The lines around what is ours in a configuration file. Every format that we
// edit takes "#" at the beginning of a line for a comment.
const (
	blockBegin = `# begin agentproxy, managed by "agentproxy trust"`
	blockEnd   = "# end agentproxy"
)

// layout is what the editor knows of a configuration format.
type layout struct {
	// section is where the lines belong, "" for a format without sections.
	section string
	// atEnd is true for a format in which a section may come again, with the last
	// value winning: the lines go to the end, with a header of their own.
	atEnd bool
	// keys match a line that sets what our lines set, with the value as group 1.
	keys func() *regexp.Regexp
}

// document is a configuration file taken apart in lines.
type document struct {
	lines []string
	eol   string
}

func parseDocument(raw []byte) document {
	d := document{eol: "\n"}
	text := string(raw)
	if strings.Contains(text, "\r\n") {
		d.eol = "\r\n"
	}
	if text == "" {
		return d
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		d.lines = append(d.lines, strings.TrimSuffix(line, "\r"))
	}
	return d
}

func (d document) bytes() []byte {
	if len(d.lines) == 0 {
		return nil
	}
	return []byte(strings.Join(d.lines, d.eol) + d.eol)
}

// block returns where our lines are, the marks included; ok is false for none
// or for one without an end, which is not touched.
func (d document) block() (from, to int, ok bool) {
	from = slices.Index(d.lines, blockBegin)
	if from < 0 {
		return 0, 0, false
	}
	n := slices.Index(d.lines[from:], blockEnd)
	return from, from + n + 1, n > 0
}

var header = pattern(`^\s*\[\s*([^\]]*?)\s*\]`)

// setting finds the first line outside our block that sets one of the keys, and
// its value; -1 for none.
func (d document) setting(l layout) (line int, value string) {
	from, to, _ := d.block()
	inside := l.section == ""
	for i, text := range d.lines {
		if i >= from && i < to {
			continue
		}
		if m := header().FindStringSubmatch(text); m != nil && l.section != "" {
			// Only git's sections come again, in any case, with a key behind the header.
			inside = m[1] == l.section || l.atEnd && strings.EqualFold(m[1], l.section)
			text = text[len(m[0]):]
		}
		if !inside {
			continue
		}
		if m := l.keys().FindStringSubmatch(text); m != nil {
			return i, strings.Trim(strings.TrimSpace(m[1]), `"'`)
		}
	}
	return -1, ""
}

// insert adds the block where its section begins, or at the end.
func (d document) insert(l layout, lines []string) document {
	at := -1
	if l.section != "" && !l.atEnd {
		at = slices.IndexFunc(d.lines, func(text string) bool {
			m := header().FindStringSubmatch(text)
			return m != nil && m[1] == l.section
		})
	}
	block := []string{blockBegin}
	if at < 0 && l.section != "" {
		block = append(block, "["+l.section+"]")
	}
	block = append(append(block, lines...), blockEnd)
	if at < 0 {
		at = len(d.lines) - 1
	}
	d.lines = slices.Insert(slices.Clone(d.lines), at+1, block...)
	return d
}

// remove takes the block out. A section header in it stays when the user has
// added settings behind it, which would else belong to another section.
func (d document) remove() document {
	from, to, ok := d.block()
	if !ok {
		return d
	}
	var keep []string
	for _, text := range d.lines[from:to] {
		if header().MatchString(text) && needed(d.lines[to:]) {
			keep = append(keep, text)
		}
	}
	d.lines = slices.Replace(slices.Clone(d.lines), from, to, keep...)
	return d
}

// needed reports whether the lines begin with settings of the section before.
func needed(lines []string) bool {
	for _, text := range lines {
		text = strings.TrimSpace(text)
		if text == "" || strings.HasPrefix(text, "#") || strings.HasPrefix(text, ";") {
			continue
		}
		return !header().MatchString(text)
	}
	return false
}

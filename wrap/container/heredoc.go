package container

import (
	"regexp"
	"strings"
	"sync"
	"unicode"
)

// heredoc is a word that a here-document follows.
type heredoc struct {
	name string // the line that ends it
	tabs bool   // whether tabs before that count for nothing
}

// heredocWord is BuildKit's rule (frontend/dockerfile/parser, reHeredoc) for one
// whole word: "<<<" and an arithmetic shift are none.
var heredocWord = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^\d*<<(-?)\s*([^<]*)$`) })

// heredocs returns those of an instruction's line.
func heredocs(line string) []heredoc {
	if !strings.Contains(line, "<<") {
		return nil
	}
	var docs []heredoc
	for _, word := range words(line, true) {
		if doc, ok := parseHeredoc(word); ok {
			docs = append(docs, doc)
		}
	}
	return docs
}

func parseHeredoc(word string) (heredoc, bool) {
	m := heredocWord().FindStringSubmatch(word)
	if m == nil || m[2] == "" {
		return heredoc{}, false
	}
	names := words(m[2], false)
	if len(names) != 1 {
		return heredoc{}, false
	}
	return heredoc{names[0], m[1] == "-"}, true
}

// isDocuments reports whether a line has here-documents and nothing else.
func isDocuments(line string) bool {
	for _, word := range words(line, true) {
		if _, ok := parseHeredoc(word); !ok {
			return false
		}
	}
	return true
}

// expansion is how a "${" goes on that BuildKit's shell reads; at any other, as
// ${#x} and ${a[0]}, it gives the line up and sees no words.
var expansion = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?!$-])(\}|[:+\-?#%/])`)
})

// words divides a line as BuildKit's shell does (frontend/dockerfile/shell), raw
// with the quotes and backslashes: blanks divide, but in quotes, behind a
// backslash, and behind "<<". A line that it cannot read has none.
func words(line string, raw bool) []string {
	var found []string
	var b strings.Builder
	in := false
	for rest := []rune(line); len(rest) > 0; {
		if unicode.IsSpace(rest[0]) {
			if in && b.Len() > 0 {
				found = append(found, b.String())
				b.Reset()
				in = false
			}
			rest = rest[1:]
			continue
		}
		text, n := piece(rest, raw)
		if n == 0 {
			return nil
		}
		b.WriteString(text)
		in = true
		rest = rest[n:]
	}
	if b.Len() > 0 {
		found = append(found, b.String())
	}
	return found
}

// piece returns the part of a word that text begins with, and how long it is; 0
// where the line cannot be read.
func piece(text []rune, raw bool) (string, int) {
	c, next := text[0], rune(0)
	if len(text) > 1 {
		next = text[1]
	}
	switch {
	case c == '\'' || c == '"':
		n := quotedLength(text)
		if n == 0 || c == '"' && !isExpandable(string(text[:n])) {
			return "", 0
		}
		return part(text[:n], raw), n
	case c == '\\' && len(text) > 1:
		if raw {
			return string(text[:2]), 2
		}
		return string(next), 2
	case c == '<' && next == '<':
		n := 2
		for n < len(text) && strings.ContainsRune(" \t\r", text[n]) {
			n++
		}
		return string(text[:n]), n
	case c == '$' && next == '{' && !expansion().MatchString(string(text)):
		return "", 0
	}
	return string(c), 1
}

// isExpandable reports whether BuildKit's shell reads the variables of a part in
// double quotes.
func isExpandable(quoted string) bool {
	for i := 0; i < len(quoted); i++ {
		switch {
		case quoted[i] == '\\':
			i++
		case strings.HasPrefix(quoted[i:], "${") && !expansion().MatchString(quoted[i:]):
			return false
		}
	}
	return true
}

// quotedLength returns how long a quoted part is with its quotes, 0 when it does
// not end.
func quotedLength(text []rune) int {
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == text[0]:
			return i + 1
		case text[i] == '\\' && text[0] == '"':
			i++
		}
	}
	return 0
}

// part is a quoted part, raw or without its quotes.
func part(quoted []rune, raw bool) string {
	if raw {
		return string(quoted)
	}
	inside := string(quoted[1 : len(quoted)-1])
	if quoted[0] == '"' {
		inside = strings.NewReplacer(`\"`, `"`, `\$`, `$`, `\\`, `\`).Replace(inside)
	}
	return inside
}

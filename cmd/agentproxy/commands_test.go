package main

import (
	"strings"
	"testing"
	"unicode"
)

// The help of every command begins with two real invocations, and its line in
// the list, which names it once, with a verb.
func TestHelp(t *testing.T) {
	var usage strings.Builder
	printUsage(&usage)
	for _, c := range commands() {
		if c.hidden {
			continue
		}
		n := 0
		for line := range strings.Lines(c.examples) {
			if strings.Contains(line, "agentproxy") {
				n++
			}
		}
		if n < 2 {
			t.Errorf("%s has %d examples", c.name, n)
		}
		if c.short == "" || !unicode.IsUpper(rune(c.short[0])) || strings.HasSuffix(c.short, ".") {
			t.Errorf("%s is described as %q", c.name, c.short)
		}
		if lines := strings.Count(usage.String(), "\n  "+c.name+" "); lines != 1 {
			t.Errorf("%s is %d times in the list", c.name, lines)
		}
	}
}

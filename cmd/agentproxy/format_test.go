package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/profiles/env"
)

// A value is read back as it was, or left out with a word.
func TestEnvFormats(t *testing.T) {
	edits := []env.Edit{
		{Name: "PLAIN", Value: "http://127.0.0.1:1"}, {Name: "ODD", Value: `a "b" $c \d #e `}, {Name: "QUOTE", Value: "it's"},
		{Name: "LINES", Value: "one\nEND_OF_LINES\ntwo"}, {Name: "NODE_OPTIONS", Value: "--require x"}, {Name: "GONE", Unset: true},
	}
	for name, want := range map[string]struct{ printed, said string }{
		"github": {"PLAIN=http://127.0.0.1:1\nODD=a \"b\" $c \\d #e \nQUOTE=it's\nLINES<<END_OF_LINES_\none\nEND_OF_LINES\ntwo\nEND_OF_LINES_\nGONE=\n", "NODE_OPTIONS"},
		"dotenv": {"PLAIN='http://127.0.0.1:1'\nODD='a \"b\" $c \\d #e '\nNODE_OPTIONS='--require x'\nGONE=''\n", "QUOTE LINES"},
		"docker": {"PLAIN=http://127.0.0.1:1\nODD=a \"b\" $c \\d #e \nQUOTE=it's\nNODE_OPTIONS=--require x\nGONE=\n", "LINES"},
	} {
		var out, words strings.Builder
		for _, f := range envFormats {
			if f.name == name {
				printEnvironment(&process{Out: &out, Err: &words}, f, edits)
			}
		}
		if out.String() != want.printed {
			t.Errorf("%s: %q", name, out.String())
		}
		for _, left := range strings.Fields(want.said) {
			if !strings.Contains(words.String(), "left out "+left+": ") {
				t.Errorf("%s does not say that %s is left out: %q", name, left, words.String())
			}
		}
		if name == "dotenv" {
			read, err := exec.Command("sh", "-c", out.String()+`printf %s "$ODD"`).Output()
			if err != nil || string(read) != edits[1].Value {
				t.Errorf("a shell reads %q, %v", read, err)
			}
		}
	}
}

// NO_COLOR wins over what forces colours, and a pipe has none unless they are forced.
func TestPalette(t *testing.T) {
	for set, want := range map[string]bool{
		"": false, "FORCE_COLOR=1": true, "CLICOLOR_FORCE=1": true, "FORCE_COLOR=1 NO_COLOR=1": false, "FORCE_COLOR=0": false,
		"FORCE_COLOR=true TERM=dumb": true, "CLICOLOR_FORCE=0": false, "CLICOLOR=1": false,
	} {
		if got := (&process{Out: &strings.Builder{}, Environ: strings.Fields(set)}).palette().on; got != want {
			t.Errorf("with %q colours are %v", set, got)
		}
	}
}

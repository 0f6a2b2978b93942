package main

import (
	"io"
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

// A command speaks to the process that it was given, and to no other.
func TestAnotherProcess(t *testing.T) {
	var out, words strings.Builder
	proc := &process{Out: &out, Err: &words, Environ: []string{"HOME=" + t.TempDir(), "XDG_CONFIG_HOME=/nowhere"}}
	if status := run(proc, []string{"version"}); status != 0 || out.String() != "agentproxy "+buildVersion()+"\n" {
		t.Errorf("status %d, said %q", status, out.String())
	}
	if status := run(proc, []string{"statsu"}); status != 125 || words.String() != "agentproxy: unknown command \"statsu\", did you mean status?\nagentproxy: try: agentproxy status --help\n" {
		t.Errorf("status %d, said %q", status, words.String())
	}
	out.Reset()
	proc.In = strings.NewReader("curl: (60) SSL certificate problem: unable to get local issuer certificate\n")
	if status := run(proc, []string{"explain", "-"}); status != 0 || !strings.HasPrefix(out.String(), "tls_trust ") {
		t.Errorf("status %d, said %q", status, out.String())
	}
}

// What is typed in place of a command leads to what was meant, and never to what takes
// something away.
func TestUnknownCommand(t *testing.T) {
	for line, want := range map[string]string{
		"uninstal":          `unknown command "uninstal" try: agentproxy --help`,
		"stats":             `unknown command "stats", did you mean status? try: agentproxy status --help`,
		"sh -c true":        `unknown command "sh"; sh is a program here try: agentproxy exec -- sh -c true`,
		"--config x status": `--config stands before the command, where no flag goes try: agentproxy --help`,
		"nosuchthing":       `unknown command "nosuchthing" try: agentproxy --help`,
	} {
		var words strings.Builder
		status := run(&process{Out: io.Discard, Err: &words, Environ: []string{"HOME=" + t.TempDir()}}, strings.Fields(line))
		got := strings.TrimSpace(strings.ReplaceAll(strings.ReplaceAll(words.String(), "agentproxy: ", ""), "\n", " "))
		if status != 125 || got != want {
			t.Errorf("%s: %d, %q", line, status, got)
		}
	}
}

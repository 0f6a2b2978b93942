package main

import (
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/wrap/child"
)

// every is each command that users see, and each of their verbs.
func every() (all []*command) {
	for _, c := range commands() {
		if !c.hidden {
			all = append(append(all, c), c.verbs...)
		}
	}
	return all
}

// The help of every command begins with real invocations, and its line in the list,
// which names it once, with a verb.
func TestHelp(t *testing.T) {
	var usage strings.Builder
	printUsage(&usage)
	for _, c := range commands() {
		if lines := strings.Count(usage.String(), "\n  "+c.name+" "); !c.hidden && lines != 1 {
			t.Errorf("%s is %d times in the list", c.name, lines)
		}
	}
	for _, c := range every() {
		if c.short == "" || !unicode.IsUpper(rune(c.short[0])) || strings.HasSuffix(c.short, ".") {
			t.Errorf("%s is described as %q", c.name, c.short)
		}
		var help strings.Builder
		printHelp(&help, c)
		head, _, _ := strings.Cut(help.String(), "\nUsage:\n")
		examples := strings.Split(strings.TrimSpace(head), "\n")[2:]
		for _, example := range examples {
			if !regexp.MustCompile(`^  (?i:agentproxy|\S.*agentproxy)`).MatchString(example) {
				t.Errorf("%s has the example %q", c.name, example)
			}
		}
		if len(examples) < 2 {
			t.Errorf("%s has %d examples", c.name, len(examples))
		}
		for _, o := range c.options() {
			if o.placeholder != strings.ToUpper(o.placeholder) || o.placeholder == "STRING" {
				t.Errorf("%s takes %s", c.name, o)
			}
		}
		if bad := regexp.MustCompile("<[a-z]+>|=true|`|mends|[^x] bar ").FindString(help.String()); bad != "" {
			t.Errorf("the help of %s has %q", c.name, bad)
		}
		for line := range strings.Lines(help.String()) {
			if len([]rune(line)) > 122 {
				t.Errorf("the help of %s has the long line %q", c.name, line)
			}
		}
	}
}

// No verb takes a flag that only its neighbours know, and no command one that nobody does.
func TestForeignFlags(t *testing.T) {
	for _, c := range every() {
		own, _ := c.flags()
		for _, other := range every() {
			if strings.Fields(other.name)[0] != strings.Fields(c.name)[0] || c.define == nil {
				continue
			}
			for _, o := range append(other.options(), option{long: "no-such-flag"}) {
				if own.Lookup(o.long) != nil {
					continue
				}
				var words strings.Builder
				proc := &process{Out: io.Discard, Err: &words, Environ: []string{"HOME=/nonexistent"}}
				if status := run(proc, append(strings.Fields(c.name), "--"+o.long)); status != 125 || !strings.HasPrefix(words.String(), "agentproxy: "+c.name+" takes no --"+o.long) {
					t.Errorf("%s --%s: status %d, %s", c.name, o.long, status, words.String())
				}
			}
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
		"uninstal":                `unknown command "uninstal" try: agentproxy --help`,
		"stats":                   `unknown command "stats", did you mean status? try: agentproxy status --help`,
		"sh -c true":              `unknown command "sh"; sh is a program here try: agentproxy exec -- sh -c true`,
		"--config x status":       `--config stands before the command, where no flag goes try: agentproxy --help`,
		"install":                 `unknown command "install"; install is a program here try: agentproxy exec -- install`,
		"trust":                   `trust needs install, status or remove try: agentproxy trust --help`,
		"trust remov":             `trust has no "remov"; it has install, status or remove try: agentproxy trust --help`,
		"trust statsu":            `trust has no "statsu", did you mean status? try: agentproxy trust --help`,
		"ca --json show":          `--json stands before show, lint, adopt or rotate, where no flag goes try: agentproxy ca --help`,
		"hook --mode env install": `flags of hook install go behind it try: agentproxy hook install --help`,
		"profile list --jsn":      `profile list takes no --jsn, did you mean --json? try: agentproxy profile list --help`,
		"nosuchthing":             `unknown command "nosuchthing" try: agentproxy --help`,
	} {
		var words strings.Builder
		status := run(&process{Out: io.Discard, Err: &words, Environ: []string{"HOME=" + t.TempDir()}}, strings.Fields(line))
		got := strings.TrimSpace(strings.ReplaceAll(strings.ReplaceAll(words.String(), "agentproxy: ", ""), "\n", " "))
		if status != 125 || got != want {
			t.Errorf("%s: %d, %q", line, status, got)
		}
	}
}

// uninstall shows what it would do, and does it for a yes alone.
func TestUninstallAsks(t *testing.T) {
	env := sandbox(t)
	if out, err := agentproxy(t, env, "up").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, answer := range []struct{ typed, then string }{{"\n", "nothing was undone"}, {"n\n", "nothing was undone"}, {"y\n", "removed "}} {
		screen := dialog{{"would stop the tunnel on ", func(*os.File) {}}, {"undo all of this? [y/N] ", typing(answer.typed)}}.play(t, agentproxy(t, env, "uninstall"))
		if !strings.Contains(screen, answer.then) {
			t.Errorf("after %q: %q", answer.typed, screen)
		}
	}
}

// On a terminal a dry run cuts its lines at the width, and in a pipe none.
func TestDryRunIsAsWideAsTheTerminal(t *testing.T) {
	env := append(sandbox(t), "NO_PROXY=one.corp.example,two.corp.example,three.corp.example,four.corp.example,five.corp.example")
	screen := dialog{}.play(t, agentproxy(t, env, "exec", "--dry-run", "--", "true"))
	for _, line := range lines(screen) {
		if n := len([]rune(line)); n > 97 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	out, err := agentproxy(t, env, "exec", "--dry-run", "--", "true").Output()
	if err != nil || !strings.Contains(screen, "…") || !strings.Contains(string(out), ",five.corp.example,") {
		t.Errorf("%v: %s", err, out)
	}
}

// An advice that several failures share is given once, in a run's list and in the status.
func TestAdviceOnce(t *testing.T) {
	var list []*status.Failure
	for _, host := range []string{"a.example:8443", "b.example:8443"} {
		list = append(list, &status.Failure{TS: status.Now(), Kind: status.PortNotAllowed, Host: host, Detail: "port 8443 is not allowed for " + host, Advice: "ask for it"})
	}
	var out, words strings.Builder
	proc := &process{Out: &out, Err: &words}
	sayFailures(proc, list, new(child.Output))
	printStatus(proc, &status.Document{RecentRelayFailures: list}, time.Now())
	for _, said := range []string{out.String(), words.String()} {
		if strings.Count(said, "ask for it") != 1 || !strings.Contains(said, "b.example:8443") {
			t.Errorf("said %q", said)
		}
	}
}

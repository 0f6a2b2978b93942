package main

// Every sentence that users read is in this file, or is the text of an error
// that ends up in complain. The rules: our words go to stderr and begin with
// "agentproxy:"; lower case, no full stop; one line for what happened and one
// for what to type next; nothing at all when all went well. What a command is
// asked to print (status, help, version) goes to stdout without the prefix.

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/agentproxy/agentproxy/profiles"
	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/proxy/trust"
	"github.com/agentproxy/agentproxy/wrap"
	"github.com/agentproxy/agentproxy/wrap/classify"
	"github.com/agentproxy/agentproxy/wrap/doctor"
	"github.com/agentproxy/agentproxy/wrap/learned"
	"github.com/agentproxy/agentproxy/wrap/verdict"
	"golang.org/x/term"
)

const usage = `agentproxy runs commands behind a TLS-re-terminating proxy so that their HTTPS works.

  agentproxy exec -- npm install          # through the tunnel, trusted, with npm's own exit status
  agentproxy exec -- git clone https://…  # the same for git, or for anything else
  agentproxy status                       # what the tunnel does and what failed lately

Usage:
  agentproxy <command> [flags]

Commands:
`

const usageEnd = `
Run "agentproxy <command> --help" for examples and flags.
`

// hintedError is an error with the next command to type.
type hintedError struct {
	error
	hint string
}

func (e *hintedError) Unwrap() error { return e.error }

func hint(err error, format string, args ...any) error {
	return &hintedError{err, fmt.Sprintf(format, args...)}
}

// complain prints the error and returns the exit status for it.
func complain(err error) int {
	if err == nil {
		return 0
	}
	if errors.Is(err, errUnwell) || errors.Is(err, errSaid) {
		return exitStatus(err) // all has been said
	}
	say("%s", err)
	var h *hintedError
	if errors.As(err, &h) {
		say("try: %s", h.hint)
	}
	return exitStatus(err)
}

// errSaid is an error whose words are on the screen already.
var errSaid = errors.New("said already")

// saidError collects the failures of a command that goes on after one.
type saidError struct{ said bool }

func (e *saidError) say(err error) {
	e.said = true
	complain(err)
}

func (e *saidError) result() error {
	if e.said {
		return errSaid
	}
	return nil
}

// say prints one message of ours on stderr.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "agentproxy: %s\n", fmt.Sprintf(format, args...))
}

func sayStarting() { say("starting the tunnel …") }

func sayNotice(t *attach.Tunnel) {
	if t.Notice != "" {
		say("%s", t.Notice)
	}
}

// maxShownFailures is how many of a run's failures are printed; a client that
// retries makes many alike.
const maxShownFailures = 8

// sayFailures prints what the tunnel saw go wrong during a run, a line each,
// equal ones once. One whose host the command never named may not be why it
// failed.
func sayFailures(list []*status.Failure, output *wrap.Output) {
	type group struct {
		text   string
		advice string
		n      int
	}
	var groups []*group
	byText := map[string]*group{}
	for _, f := range list {
		text := f.Error()
		if host, _, err := net.SplitHostPort(f.Host); err == nil && output.Omits(host) {
			text += " · not named in the output"
		}
		g := byText[text]
		if g == nil {
			g = &group{text: text, advice: f.Advice}
			byText[text] = g
			groups = append(groups, g)
		}
		g.n++
	}
	for i, g := range groups {
		if i == maxShownFailures {
			say("… and %d more; see: agentproxy status", len(groups)-i)
			return
		}
		line := g.text
		if g.n > 1 {
			line += fmt.Sprintf(" (%d times)", g.n)
		}
		if g.advice != "" {
			line += "; " + g.advice
		}
		say("%s", line)
	}
}

// sayPlan warns of what switches verification off, and tells of arguments that
// change more than where a tool connects.
func sayPlan(p wrap.Plan) {
	for _, a := range p.Arguments {
		if a.Told {
			say("added: %s … (%d arguments; all of them: agentproxy exec --dry-run -- %s)", a.Insert[0], len(a.Insert), filepath.Base(p.Argv[0]))
		}
	}
	for _, i := range p.Insecure {
		if i.Variable != "" {
			say("%s switches verification off; dropped for this command, which works without", i.Text)
		} else {
			say("%s switches verification off; leave it out, the command works without", i.Text)
		}
	}
	for _, c := range p.Conflicts {
		switch {
		case c.Is == "insecure" && c.Overruled:
			say("%s switches verification off (%s:%d); overruled for this command, which works without", c.Code, c.File, c.Line)
		case c.Is == "insecure":
			say("%s switches verification off (%s:%d); %s", c.Code, c.File, c.Line, c.Advice)
		}
	}
}

// sayVerdict says why a command failed, in three lines at most. Below the
// confidence that can be relied on it says nothing, unless asked.
func sayVerdict(v verdict.Verdict, verbose bool) {
	if v.Class == profiles.None {
		if v.Unclear && verbose {
			say("unclear: there are words of a failure that may be ours, and none to rely on; see: agentproxy status")
		}
		return
	}
	what := []string{string(v.Class)}
	if v.Host != "" {
		what = append(what, v.Host)
	}
	if v.Line != "" {
		what = append(what, v.Line)
	} else {
		what = append(what, v.Class.Meaning())
	}
	if v.Container {
		what = append(what, "inside a container")
	}
	say("%s (%s)", strings.Join(what, " · "), sources[v.Source])
	if v.Advice != "" {
		say("%s", v.Advice)
	}
	if v.Class == profiles.PolicyDenied {
		say("do not retry or route around it; hand your administrator: agentproxy report")
	}
}

// sources say where a verdict comes from.
var sources = map[verdict.Source]string{
	verdict.Proxy:       "seen by the tunnel",
	verdict.Output:      "seen in the output",
	verdict.Both:        "seen by the tunnel and in the output",
	verdict.Environment: "a setting of yours",
}

// sayAgain announces a second attempt.
func sayAgain(r profiles.Remedy, v verdict.Verdict) {
	say("%s: %s; once more with a change: %s", strings.TrimSpace(r.Tool+" "+r.Version), v.Class.Meaning(), r.Reason)
}

// askAgain asks whether to make it; without a terminal the answer is no.
func askAgain(r profiles.Remedy) bool {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer tty.Close()
	fmt.Fprintf(tty, "agentproxy: run it once more with a change (%s)? [y/N] ", r.Reason)
	answer, _ := bufio.NewReader(tty).ReadString('\n')
	return strings.EqualFold(strings.TrimSpace(answer), "y")
}

// printProfiles draws the list of profiles.
func printProfiles(w io.Writer, rows []profileRow) {
	for _, r := range rows {
		summary := r.Summary
		if r.Never != "" {
			summary += " (cannot go through a proxy)"
		}
		if r.File != "" {
			summary += " · " + r.File
		}
		fmt.Fprintf(w, "%-14s %s\n", r.Name, summary)
	}
}

// printLearned draws what helped after failures.
func printLearned(w io.Writer, all []learned.Fix) {
	if len(all) == 0 {
		fmt.Fprintln(w, "nothing has been learned yet")
	}
	for _, f := range all {
		fmt.Fprintf(w, "%-20s %-16s %s  (%s)\n", strings.TrimSpace(f.Tool+" "+f.Version), f.Class, f.Project, f.Since.Local().Format(time.DateOnly))
	}
}

// printPlan shows what is changed for a command, a variable and its reason each.
func printPlan(w io.Writer, p wrap.Plan) {
	fmt.Fprintf(w, "run: %s\n", strings.Join(p.Argv, " "))
	fmt.Fprintf(w, "profiles: %s\n", strings.Join(p.Tools, ", "))
	printChanges(w, p.Changes)
	for _, a := range p.Arguments {
		fmt.Fprintf(w, "argument %s\n      # %s\n", strings.Join(a.Insert, " "), a.Reason)
	}
	for _, c := range p.Conflicts {
		effect := "overruled"
		if !c.Overruled {
			effect = c.Advice
		}
		fmt.Fprintf(w, "conflict %s in %s:%d\n      # %s\n", c.Code, c.File, c.Line, effect)
	}
	for _, n := range slices.Concat(p.Notes, p.Never) {
		fmt.Fprintf(w, "note: %s\n", n)
	}
}

// printChanges shows each variable that is changed, and why.
func printChanges(w io.Writer, changes []wrap.Change) {
	sign := map[string]string{"add": "+", "change": "~", "remove": "-"}
	for _, c := range changes {
		text := c.Name
		if c.Action != "remove" {
			text += "=" + c.Value
		}
		fmt.Fprintf(w, "%s %s\n      # %s\n", sign[c.Action], text, c.Reason)
	}
}

// printCompose writes a Compose file that gives services what these arguments
// of "docker run" give a container.
func printCompose(w io.Writer, services, arguments []string) {
	fmt.Fprintln(w, "services:")
	for _, service := range services {
		fmt.Fprintf(w, "  %q:\n    network_mode: host\n", service)
		for _, list := range []struct{ flag, key string }{{"--volume=", "volumes"}, {"--env-file=", "env_file"}, {"--env=", "environment"}} {
			fmt.Fprintf(w, "    %s:\n", list.key)
			for _, a := range arguments {
				if value, ok := strings.CutPrefix(a, list.flag); ok {
					fmt.Fprintf(w, "      - %q\n", value)
				}
			}
		}
	}
}

// sayShellFailure says in a line what the tunnel saw go wrong while a command
// of the shell ran. Its output was not seen, so no more is claimed.
func sayShellFailure(f *status.Failure) {
	line := f.Error() + " (seen by the tunnel)"
	if f.Advice != "" {
		line += "; " + f.Advice
	}
	fmt.Printf("agentproxy: %s\n", line)
}

// rcSentence tells what "hook install" or "hook remove" came to.
func rcSentence(verb, path string, changed bool) string {
	switch {
	case verb == "install" && changed:
		return "the hook is in " + path + "; a new shell has it"
	case verb == "install":
		return "the hook is in " + path + " already"
	case changed:
		return "the hook is out of " + path
	}
	return "there is no hook of ours in " + path
}

// printReason says who decides about a host, how, and what happened lately.
func printReason(w io.Writer, r reason) {
	switch r.Decision {
	case "upstream":
		fmt.Fprintf(w, "%s: the upstream egress %s decides\n", r.Host, r.Upstream)
	case "allowed":
		fmt.Fprintf(w, "%s: allowed", r.Host)
		if r.Rule != "" {
			fmt.Fprintf(w, " by %s", r.Rule)
		}
		fmt.Fprintln(w)
	default:
		fmt.Fprintf(w, "%s: denied: %s\n", r.Host, r.Text)
		if r.Advice != "" {
			fmt.Fprintf(w, "  %s\n", r.Advice)
		}
	}
	if len(r.Failures) == 0 {
		fmt.Fprintln(w, "no failure lately")
	}
	for _, f := range r.Failures {
		fmt.Fprintf(w, "%s  %s\n", f.TS.Local().Format(time.DateTime), f.Error())
	}
}

// printDoctor draws the table of tried tools, and below it what mends those
// that do not work.
func printDoctor(w io.Writer, found examination) {
	p := newPalette(w)
	fmt.Fprintf(w, "  %-14s %-12s %-11s %-9s %s\n", "tool", "version", "proxy", "trust", "verdict")
	for _, r := range found.Tools {
		mark := p.good("✓")
		if r.Verdict != doctor.Works {
			mark = p.bad("✗")
		}
		verdict := string(r.Verdict)
		if r.Runtime != "" {
			verdict += " (tried by its runtime: " + r.Runtime + ")"
		}
		fmt.Fprintf(w, "%s %-14s %-12s %-11s %-9s %s\n", mark, r.Tool, r.Version, r.Proxy, r.Trust, verdict)
		if r.Fix != "" {
			fmt.Fprintf(w, "    fix: %s\n", r.Fix)
		}
		if r.Said != "" {
			fmt.Fprintf(w, "    it said: %s\n", r.Said)
		}
		switch {
		case r.Online == nil:
		case r.Online.Works:
			fmt.Fprintf(w, "    %s online: %s\n", p.good("✓"), strings.Join(r.Online.Hosts, ", "))
		default:
			fmt.Fprintf(w, "    %s online: %s\n", p.bad("✗"), r.Online.Why)
		}
	}
	switch up := found.Upstream; {
	case up == nil:
	case up.Answers:
		fmt.Fprintf(w, "%s upstream %s answers\n", p.good("✓"), up.URL)
	default:
		fmt.Fprintf(w, "%s upstream: %s\n    fix: %s\n", p.bad("✗"), up.Why, up.Fix)
	}
	for _, f := range found.CA {
		fmt.Fprintf(w, "%s CA %s: %s (%s)\n", p.bad("✗"), f.Code, f.Detail, f.Subject)
		if len(f.Refused) > 0 {
			fmt.Fprintf(w, "    refused by: %s\n", strings.Join(f.Refused, ", "))
		}
		fmt.Fprintf(w, "    fix: %s\n", f.Fix)
	}
}

// progress counts on a terminal, and is silent elsewhere.
type progress struct {
	mu    sync.Mutex
	shown bool
	done  int
	all   int
}

func newProgress(all int) *progress {
	return &progress{shown: term.IsTerminal(int(os.Stderr.Fd())), all: all}
}

func (p *progress) step(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done++
	if p.shown {
		fmt.Fprintf(os.Stderr, "\r\x1b[Ktried %d of %d: %s", p.done, p.all, what)
	}
}

func (p *progress) end() {
	if p.shown {
		fmt.Fprint(os.Stderr, "\r\x1b[K")
	}
}

// printStatus draws the status document for a person.
func printStatus(w io.Writer, d *status.Document, now time.Time) {
	p := newPalette(w)
	fmt.Fprintf(w, "%s tunnel on 127.0.0.1:%d (pid %d, up %s)\n", p.good("●"), d.Port, d.PID, since(d.Started, now))
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-11s %s\n", name, fmt.Sprintf(format, args...))
	}
	if d.Mode == "upstream" {
		row("egress", "upstream %s", d.Upstream)
	} else {
		row("egress", "embedded, re-terminates TLS")
	}
	if d.ConfigPath != "" {
		row("config", "%s", d.ConfigPath)
	}
	row("page", "http://127.0.0.1:%d%s", d.Port, status.Prefix)
	row("state", "%s", d.StateDir)
	row("bundle", "%s", d.CABundlePath)
	if d.CAExpires != nil {
		row("CA", "sha256 %s, until %s", d.CAFingerprint[:min(16, len(d.CAFingerprint))], d.CAExpires.Format(time.DateOnly))
	}
	row("tunnels", "%d open, %d in all, %d runs and %d shells attached", d.Connections, d.Tunnels, d.Runs, d.Shells)
	if d.IdleExit != "" {
		row("idle exit", "after %s", d.IdleExit)
	}
	for _, a := range d.Accommodations {
		row("note", "%s: %s", a.Code, a.Detail)
	}
	if d.GitSSHRewrite {
		row("git", "SSH remotes of known hosts go over HTTPS")
	}
	for _, code := range d.GitConfigConflicts {
		row("conflict", "%s", code)
	}
	for _, c := range d.ToolConflicts {
		if c.Overruled {
			row("conflict", "%s in %s: overruled for runs", c.Code, c.File)
		} else {
			row("conflict", "%s in %s: %s", c.Code, c.File, c.Advice)
		}
	}
	if len(d.RecentRelayFailures) == 0 {
		fmt.Fprintln(w, "  no failures")
		return
	}
	fmt.Fprintf(w, "%s last failures\n", p.bad("✗"))
	list := d.RecentRelayFailures
	for _, f := range list[max(0, len(list)-10):] {
		fmt.Fprintf(w, "  %s  %s\n", f.TS.Local().Format(time.TimeOnly), f.Error())
		if f.Advice != "" {
			fmt.Fprintf(w, "            %s\n", f.Advice)
		}
	}
}

// entryPrinter prints the log for a person, a line each; the date where it
// changes.
type entryPrinter struct {
	w       io.Writer
	palette palette
	date    string
}

func newEntryPrinter(w io.Writer) *entryPrinter { return &entryPrinter{w: w, palette: newPalette(w)} }

func (p *entryPrinter) print(e status.Entry) error {
	e = e.Clean() // a file may hold anything, and this goes to a terminal
	at := e.TS.Local()
	if date := at.Format(time.DateOnly); date != p.date {
		p.date = date
		fmt.Fprintf(p.w, "%s\n", date)
	}
	what := fmt.Sprintf("%-8s", status.ASCII(string(e.Outcome), 20))
	if e.Outcome == status.Opened {
		what = p.palette.good(what)
	} else {
		what = p.palette.bad(what)
	}
	line := []string{at.Format(time.TimeOnly), what, e.Host}
	if e.Kind != "" {
		line = append(line, "· "+status.ASCII(string(e.Kind), 40))
	}
	switch {
	case e.Rule != "":
		line = append(line, "· "+e.Rule)
	case e.By != "":
		line = append(line, "· by "+e.By)
	}
	if e.PID != 0 {
		line = append(line, fmt.Sprintf("· %s (%d)", e.Process, e.PID))
	}
	if e.Run != "" {
		line = append(line, "· run "+e.Run[:min(8, len(e.Run))])
	}
	_, err := fmt.Fprintln(p.w, strings.Join(line, " "))
	return err
}

// printStore draws what an install came to for one store.
func printStore(w io.Writer, r trust.Report, dryRun bool) {
	p := newPalette(w)
	what := "trusts the CA already"
	switch {
	case r.Changed:
		what = "trusts the CA now"
	case dryRun && r.State == trust.Absent:
		what = "would be made to trust the CA"
	case dryRun && r.State != trust.Trusted:
		what = string(r.State) + ": " + r.Detail
	}
	fmt.Fprintf(w, "%s %-8s %s %s\n", p.good("✓"), r.Store, r.Place, what)
}

// sayUpstream warns that an upstream egress signs with a CA that is not ours.
func sayUpstream(name string) {
	if name != "" {
		say("your egress is %s, and what that re-terminates is signed by its own CA; for that one: agentproxy trust install --ca FILE", name)
	}
}

// printLeftOut tells of a store that is not this user's to change.
func printLeftOut(w io.Writer, r trust.Report, command string) {
	fmt.Fprintf(w, "- %-8s %s left out: not yours to change; %s\n", r.Store, r.Place, command)
}

// printRemoved tells whether the undo was exact: what others have changed since
// an install is kept.
func printRemoved(w io.Writer, r trust.Report) {
	what := "is as it was before"
	if !r.Exact {
		what = "holds nothing of ours any more"
	}
	fmt.Fprintf(w, "%s %-8s %s %s\n", newPalette(w).good("✓"), r.Store, r.Place, what)
}

// printTrust draws the state of all stores.
func printTrust(w io.Writer, doc trustDocument) {
	p := newPalette(w)
	if doc.CA == nil {
		fmt.Fprintln(w, "there is no CA yet; \"agentproxy up\" makes one")
	} else {
		fmt.Fprintf(w, "CA %s\n   sha256 %s, until %s\n", doc.CA.Subject, doc.CA.SHA256[:16], doc.CA.NotAfter.Format(time.DateOnly))
	}
	for _, r := range doc.Stores {
		sign, text := "-", string(r.State)
		switch {
		case r.State == trust.Trusted:
			sign = p.good("✓")
		case r.State == trust.Absent && r.Managed:
			sign, text = p.bad("✗"), "gone since it was installed"
		case r.State != trust.Absent:
			sign = p.bad("✗")
		}
		if r.Detail != "" {
			text += ", " + r.Detail
		}
		if r.Fix != "" {
			text += "; " + r.Fix
		}
		fmt.Fprintf(w, "%s %-8s %s: %s\n", sign, r.Store, r.Place, text)
	}
}

// printCA draws the CA.
func printCA(w io.Writer, d *caDocument, now time.Time) {
	validity := "valid"
	if now.After(d.NotAfter) {
		validity = "expired; \"agentproxy ca rotate\" makes a new one"
	}
	fmt.Fprintf(w, "subject  %s\nsha256   %s\nvalidity %s to %s, %s\npath     %s\nname     %s (in stores)\n", d.Subject, d.SHA256,
		d.NotBefore.Format(time.DateOnly), d.NotAfter.Format(time.DateOnly), validity, d.Path, d.Name)
}

// printFindings draws the result of a lint.
func printFindings(w io.Writer, file string, n int, findings []ca.Finding) {
	for _, f := range findings {
		by := "no client that we know refuses it for that"
		if len(f.Refused) > 0 {
			by = "refused by " + strings.Join(f.Refused, ", ")
		}
		fmt.Fprintf(w, "%s: %s\n  %s; %s\n  %s\n", f.Subject, f.Code, f.Detail, by, f.Fix)
	}
	if len(findings) == 0 {
		fmt.Fprintf(w, "%s: ok, %d certificates\n", file, n)
	}
}

func since(t *status.Time, now time.Time) string {
	if t == nil {
		return "?"
	}
	return now.Sub(t.Time).Round(time.Second).String()
}

// palette colours on terminals, and never with NO_COLOR (no-color.org).
type palette struct{ on bool }

func newPalette(w io.Writer) palette {
	f, ok := w.(*os.File)
	return palette{ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

func (p palette) good(s string) string { return p.paint("32", s) }
func (p palette) bad(s string) string  { return p.paint("31", s) }

func (p palette) paint(code, s string) string {
	if !p.on {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// printVerdict says what explain found, in three lines at most for each
// failure: what it is, what shows it, what to do.
func printVerdict(w io.Writer, v classify.Verdict, all bool) {
	switch {
	case v.Unclear:
		f := v.Findings[0]
		fmt.Fprintf(w, "unclear · maybe %s, but its words do not tell (seen in the output)\n  %s\n", f.Class, f.Line)
		fmt.Fprintf(w, "  run it as agentproxy exec -- <command>: the tunnel sees what the output hides\n")
	case v.Class == profiles.None:
		fmt.Fprintln(w, "none · nothing of ours in this output")
	}
	list := v.Findings
	if v.Class == profiles.None && !all {
		return
	}
	if !all {
		list = list[:1]
	}
	for _, f := range list {
		what := []string{string(f.Class)}
		if f.Host != "" {
			what = append(what, f.Host)
		}
		what = append(what, f.Class.Meaning())
		if v.Container {
			what = append(what, "inside a container")
		}
		fmt.Fprintf(w, "%s (%d in 100, seen in the output)\n  %s\n", strings.Join(what, " · "), int(f.Confidence*100+0.5), f.Line)
		if f.Advice != "" {
			fmt.Fprintf(w, "  %s\n", f.Advice)
		}
	}
}

// printReport writes the report in Markdown.
func printReport(w io.Writer, r *report) {
	line := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	line("# agentproxy report\n\n%s, agentproxy %s on %s\n", r.Time.Format(time.RFC3339), r.Version, r.System)
	line("## Verdicts\n")
	for _, e := range slices.Backward(r.Verdicts) {
		v := e.Verdict
		line("- %s `%s`: **%s** %s (%s, confidence %.2f): %s", e.Time.Format(time.DateTime), e.Command, v.Class, v.Host, v.Source, v.Confidence, v.Line)
	}
	line("\n## Failures that the tunnel saw\n")
	for _, f := range slices.Backward(r.Tunnel.RecentRelayFailures) {
		line("- %s %s", f.TS.Format(time.DateTime), f.Error())
	}
	line("\n## The tunnel\n\n- egress: %s %s\n- CA: sha256 %s", r.Tunnel.Mode, r.Upstream, r.Tunnel.CAFingerprint)
	if r.Tunnel.CAExpires != nil {
		line("- CA valid until %s", r.Tunnel.CAExpires.Format(time.DateOnly))
	}
	for _, f := range r.CA {
		line("- CA defect %s: %s", f.Code, f.Detail)
	}
	line("\n## Policy\n\n- default %s\n- allow %s\n- deny %s\n- passthrough %s", cmp.Or(r.Policy.Default, "allow"), strings.Join(r.Policy.Allow, ", "), strings.Join(r.Policy.Deny, ", "), strings.Join(r.Policy.Passthrough, ", "))
	line("\n## Settings in the way\n")
	for _, code := range r.Tunnel.GitConfigConflicts {
		line("- git: %s", code)
	}
	for _, c := range r.Tunnel.ToolConflicts {
		line("- %s: %s in %s (overruled: %v)", c.Tool, c.Code, c.File, c.Overruled)
	}
	line("\n## What runs get\n")
	for _, c := range r.Environment {
		line("- %s %s", c.Action, strings.TrimSuffix(c.Name+"="+c.Value, "="))
	}
	line("\n## Programs\n")
	for _, name := range slices.Sorted(maps.Keys(r.Programs)) {
		line("- %s %s", name, r.Programs[name])
	}
}

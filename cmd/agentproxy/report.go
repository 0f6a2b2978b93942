package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/agentproxy/agentproxy/profiles/probe"
	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/wrap/classify"
	"github.com/agentproxy/agentproxy/wrap/inspect"
	"github.com/agentproxy/agentproxy/wrap/plan"
	"github.com/agentproxy/agentproxy/wrap/session"
	"github.com/agentproxy/agentproxy/wrap/verdict"
	"github.com/mitchellh/go-homedir"
	"github.com/spf13/pflag"
)

func reportCommand() *command {
	return &command{
		name:  "report",
		short: "Write down what an administrator needs to know",
		examples: `
  agentproxy report > report.md                  # what failed, why, and what is in force; nothing secret
  agentproxy report --json | jq .verdicts        # the same for a program`,
		long: `
The report holds the last verdicts and failures, the tunnel's state, its CA with its
defects, and the policy in force. It also lists settings of tools that are in the way,
and the variables that runs get. It holds no arguments of commands. Credentials,
tokens, cookies, your name and your home directory are taken out.`,
		define: func(flags *pflag.FlagSet) action {
			var t tunnelFlags
			t.define(flags)
			asJSON := flags.Bool("json", false, "print JSON")
			return func(ctx context.Context, proc *process, _ []string) error {
				return runReport(ctx, proc, t, *asJSON)
			}
		},
	}
}

// report is what an administrator gets.
type report struct {
	Time     time.Time        `json:"time"`
	Version  string           `json:"version"`
	System   string           `json:"system"`
	Verdicts []verdict.Entry  `json:"verdicts"`
	Tunnel   *status.Document `json:"tunnel,omitempty"`
	// Faults are panics of agentproxy's that commands did not notice.
	Faults   []verdict.FaultEntry `json:"faults,omitempty"`
	CA       []ca.Finding         `json:"caFindings"`
	Policy   config.Policy        `json:"policy"`
	Layers   []shownLayer         `json:"layers"`
	Upstream string               `json:"upstream,omitempty"`
	// Signing is what the upstream presents for the last host on which TLS failed.
	Signing *inspect.Report `json:"signing,omitempty"`
	// Environment is what a run's environment differs in.
	Environment []plan.Change     `json:"environment"`
	Programs    map[string]string `json:"programs"`
}

func runReport(ctx context.Context, proc *process, flags tunnelFlags, asJSON bool) error {
	options, tunnel, err := flags.attach(ctx, proc)
	if err != nil {
		return err
	}
	r, err := gather(ctx, proc, options, tunnel)
	if err != nil {
		return err
	}
	clean, err := redacted(r)
	if err != nil {
		return err
	}
	shown := new(report)
	if err := json.Unmarshal(clean, shown); err != nil {
		return err
	}
	if asJSON {
		return printJSON(proc.Out, shown)
	}
	printReport(proc.Out, shown)
	return nil
}

func gather(ctx context.Context, proc *process, options attach.Options, tunnel *attach.Tunnel) (*report, error) {
	r := &report{Time: time.Now().UTC(), Version: buildVersion(), System: runtime.GOOS + "/" + runtime.GOARCH,
		Verdicts: append([]verdict.Entry{}, verdict.History(tunnel.Dir)...), Faults: verdict.Faults(tunnel.Dir), Policy: options.Config.Policy, Layers: layersOf(options.Config), Upstream: tunnel.Record.Upstream, Programs: map[string]string{}}
	var err error
	if r.Tunnel, err = tunnel.Status(ctx); err != nil {
		return nil, err
	}
	r.Signing = signing(ctx, tunnel, options.Config)
	found, err := defects(tunnel)
	if err != nil {
		return nil, err
	}
	r.CA = append([]ca.Finding{}, found...)
	planned, err := planFor(ctx, proc, options, tunnel)
	if err != nil {
		return nil, err
	}
	r.Environment = planned.Changes
	for program, version := range probe.Versions(filepath.Join(tunnel.Dir, session.VersionsFile)) {
		r.Programs[filepath.Base(program)] = version
	}
	return r, nil
}

// redacted is the report in JSON without anything that is nobody's business.
func redacted(r *report) ([]byte, error) {
	raw, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	var tree any
	if err := json.Unmarshal(raw, &tree); err != nil {
		return nil, err
	}
	private := strings.NewReplacer(privateWords()...)
	tree = eachText(tree, func(s string) string {
		lines := strings.Split(private.Replace(classify.Redact(s)), "\n")
		for i, line := range lines {
			lines[i] = status.Printable(strings.ReplaceAll(line, "\t", "    "))
		}
		return strings.Join(lines, "\n")
	})
	return json.Marshal(tree)
}

// privateWords are pairs of what is private and what stands for it.
func privateWords() []string {
	var pairs []string
	if home, err := homedir.Dir(); err == nil && len(home) > 1 {
		pairs = append(pairs, home, "~")
	}
	if u, err := user.Current(); err == nil && len(u.Username) > 3 && u.Uid != "0" { // "root" is in "roots", too
		pairs = append(pairs, u.Username, "user")
	}
	return pairs
}

// eachText applies a function to every text of a JSON tree.
func eachText(tree any, f func(string) string) any {
	switch t := tree.(type) {
	case string:
		return f(t)
	case []any:
		for i := range t {
			t[i] = eachText(t[i], f)
		}
	case map[string]any:
		for name := range t {
			t[name] = eachText(t[name], f)
		}
	}
	return tree
}

// listed is a list in a sentence.
func listed(list []string) string { return cmp.Or(strings.Join(list, ", "), "nothing") }

// foldedVerdict is a verdict that came more than once, at the time of the last.
type foldedVerdict struct {
	verdict.Entry
	times int
}

func (f foldedVerdict) often() string {
	if f.times == 1 {
		return ""
	}
	return fmt.Sprintf(", %d times", f.times)
}

// foldVerdicts puts together the verdicts on one command that say the same, the newest
// first.
func foldVerdicts(list []verdict.Entry) (all []foldedVerdict) {
	type alike struct {
		command, class, host, source, line string
	}
	seen := map[alike]int{}
	for _, e := range slices.Backward(list) {
		key := alike{e.Command, string(e.Verdict.Class), e.Verdict.Host, string(e.Verdict.Source), e.Verdict.Line}
		at, again := seen[key]
		if !again {
			at = len(all)
			seen[key] = at
			all = append(all, foldedVerdict{Entry: e})
		}
		all[at].times++
	}
	return all
}

// printReport writes the report in Markdown.
func printReport(w io.Writer, r *report) {
	// What was quoted is text, whatever a viewer of Markdown could take it for.
	plain := strings.NewReplacer("&", "&amp;", "<", "&lt;", "`", "'")
	line := func(format string, args ...any) {
		for i := range args {
			if text, ok := args[i].(string); ok {
				args[i] = plain.Replace(text)
			}
		}
		fmt.Fprintf(w, format+"\n", args...)
	}
	line("# agentproxy report\n\n%s, agentproxy %s on %s\n", r.Time.Format(time.RFC3339), r.Version, r.System)
	line("## Verdicts\n")
	for _, f := range foldVerdicts(r.Verdicts) {
		v := f.Verdict
		line("- %s `%s`: **%s** %s (%s, confidence %.2f)%s: %s", f.Time.Format(time.DateTime), f.Command, v.Class, v.Host, v.Source, v.Confidence, f.often(), v.Line)
	}
	line("\n## Failures that the tunnel saw\n")
	for _, f := range slices.Backward(status.Fold(r.Tunnel.RecentRelayFailures)) {
		line("- %s %s", f.TS.Format(time.DateTime), f.String())
	}
	if len(r.Faults) > 0 {
		line("\n## Faults of agentproxy's own\n")
	}
	for _, f := range slices.Backward(r.Faults) {
		line("- %s agentproxy %s: %s\n", f.Time.Format(time.DateTime), f.Version, f.Fault)
		for frame := range strings.Lines(f.Stack) {
			fmt.Fprint(w, "      ", frame)
		}
	}
	line("\n## The tunnel\n\n- egress: %s\n- CA: sha256 %s", strings.TrimSpace(r.Tunnel.Mode+" "+r.Upstream), r.Tunnel.CAFingerprint)
	if r.Tunnel.CAExpires != nil {
		line("- CA valid until %s", r.Tunnel.CAExpires.Format(time.DateOnly))
	}
	if s := r.Signing; s != nil {
		line("- the certificate for %s: %s", s.Host, cmp.Or(s.Detail, "signed by "+s.Signer+", which is trusted"))
		if s.SHA256 != "" {
			line("- its root: sha256 %s", s.SHA256)
		}
	}
	for _, f := range r.CA {
		line("- CA defect %s: %s", f.Code, f.Detail)
	}
	line("\n## Policy\n\n- default %s\n- allow %s\n- deny %s\n- passthrough %s", cmp.Or(r.Policy.Default, "allow"), listed(r.Policy.Allow), listed(r.Policy.Deny), listed(r.Policy.Passthrough))
	for _, l := range r.Layers[1:] {
		line("- %s (%s): default %s, allow %s, deny %s", l.Name, l.Path, l.Default, listed(l.Allow), listed(l.Deny))
	}
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

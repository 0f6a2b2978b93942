package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/daemon"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/wrap/child"
	"github.com/agentproxy/agentproxy/wrap/term"
	"github.com/spf13/pflag"
)

func upCommand() *command {
	return &command{
		name:  "up",
		short: "Start the tunnel, or say that it runs",
		examples: `
  agentproxy up                                  # prints http://127.0.0.1:PORT
  export HTTPS_PROXY=$(agentproxy up)            # by hand; "exec" sets this and the rest for you`,
		long: "up prints the tunnel's URL on stdout. exec starts the tunnel by itself.",
		define: func(flags *pflag.FlagSet) action {
			var t tunnelFlags
			t.define(flags)
			return func(ctx context.Context, proc *process, _ []string) error {
				options, tunnel, err := t.attach(ctx, proc)
				if err != nil {
					return err
				}
				// For who goes on by hand, with this environment's CA files.
				if _, err := planFor(ctx, proc, options, tunnel); err != nil {
					return err
				}
				fmt.Fprintln(proc.Out, tunnel.URL())
				return nil
			}
		},
	}
}

func downCommand() *command {
	return &command{
		name:  "down",
		short: "Stop the tunnels that run for you",
		examples: `
  agentproxy down                                # stops every tunnel of yours
  agentproxy down && agentproxy up               # a fresh one`,
		long: "down stops every tunnel in your state directory. Commands that run behind one lose their\nconnections.",
		define: func(*pflag.FlagSet) action {
			return func(ctx context.Context, proc *process, _ []string) error {
				return stopTunnels(ctx, proc)
			}
		},
	}
}

// stopTunnels stops the user's tunnels, and says so when there is none.
func stopTunnels(ctx context.Context, proc *process) error {
	n, err := stopRunning(ctx, proc)
	if err == nil && n == 0 {
		fmt.Fprintln(proc.Out, "no tunnel is running")
	}
	return err
}

// stopRunning stops the user's tunnels and returns how many there were.
func stopRunning(ctx context.Context, proc *process) (int, error) {
	all, err := attach.All(ctx, proc.Getenv)
	if err != nil {
		return 0, err
	}
	if _, unsafe, err := rundir.Usable(proc.Getenv); err == nil {
		for _, u := range unsafe {
			proc.say("passed over: %s %s", u.Path, u.Problem)
		}
	}
	for _, t := range all {
		if err := t.Stop(ctx); err != nil {
			return len(all), err
		}
		fmt.Fprintf(proc.Out, "stopped the tunnel on 127.0.0.1:%d\n", t.Record.Port)
	}
	return len(all), nil
}

func statusCommand() *command {
	return &command{
		name:  "status",
		short: "Show what the tunnel does and what failed lately",
		examples: `
  agentproxy status                                   # for a person
  agentproxy status --run IYKXVLXE                    # the hosts of one run, with its methods
  agentproxy status --json | jq .recentRelayFailures  # for a program`,
		long: `
--json prints the document that the tunnel serves at /__agentproxy/status. Without a
tunnel the exit status is 1.`,
		define: func(flags *pflag.FlagSet) action {
			var t tunnelFlags
			t.define(flags)
			asJSON := flags.Bool("json", false, "print the status document")
			run := flags.String("run", "", "only this run's, by its `ID` or the beginning of it")
			return func(ctx context.Context, proc *process, _ []string) error {
				return runStatus(ctx, proc, t, *run, *asJSON)
			}
		},
		flagValues: map[string]func(*process) []string{"run": seenIn(func(e status.Entry) string { return e.Run })},
	}
}

func runStatus(ctx context.Context, proc *process, flags tunnelFlags, run string, asJSON bool) error {
	options, err := flags.options(proc)
	if err != nil {
		return err
	}
	tunnel, err := attach.Find(ctx, options)
	if errors.Is(err, attach.ErrNone) {
		return downError(ctx, proc, asJSON)
	}
	if err != nil {
		return err
	}
	doc, err := tunnel.Status(ctx)
	if err != nil {
		return err
	}
	if run != "" && !doc.OfRun(run) {
		return hint(fmt.Errorf("the tunnel knows no run, or several, whose ID begins with %q", run), "agentproxy status")
	}
	switch {
	case asJSON:
		return printJSON(proc.Out, doc)
	case run != "":
		printRun(proc, doc)
	default:
		printStatus(proc, doc, time.Now())
	}
	return nil
}

// notRunning is status without a tunnel: no failure of ours, so not 125.
type notRunning struct{ error }

// downError says that no tunnel runs, and names those that run for another
// configuration or build.
func downError(ctx context.Context, proc *process, asJSON bool) error {
	if asJSON {
		if err := printJSON(proc.Out, map[string]bool{"enabled": false}); err != nil {
			return err
		}
	}
	others, err := attach.All(ctx, proc.Getenv)
	if err != nil {
		return err
	}
	text := "no tunnel is running for this configuration"
	if len(others) > 0 {
		text += fmt.Sprintf(" (%d for another one or by another build; \"agentproxy down\" stops them)", len(others))
	}
	return hint(&notRunning{errors.New(text)}, "agentproxy up")
}

func versionCommand() *command {
	return &command{
		name:  "version",
		short: "Print the version",
		examples: `
  agentproxy version                             # agentproxy v1.2.3
  agentproxy version --json                      # for programs`,
		define: func(flags *pflag.FlagSet) action {
			asJSON := flags.Bool("json", false, "print JSON")
			return func(_ context.Context, proc *process, _ []string) error {
				if *asJSON {
					return printJSON(proc.Out, thisBuild())
				}
				fmt.Fprintln(proc.Out, "agentproxy", buildVersion())
				return nil
			}
		},
	}
}

func daemonCommand() *command {
	return &command{
		name: contract.SpawnedCommand, hidden: true, short: "Serve the tunnel (started by exec and up)",
		define: func(*pflag.FlagSet) action {
			return func(ctx context.Context, proc *process, _ []string) error {
				return daemon.Spawned(func(o *daemon.Options) { o.Tools, o.Readme = toolsOf(ctx, proc, o.Config), readme(proc) })
			}
		},
	}
}

func monitorCommand() *command {
	return &command{
		name: child.MonitorCommand, hidden: true, runs: true, short: "Run a command on a pseudo terminal (started by exec --pty)",
		define: func(*pflag.FlagSet) action {
			return func(_ context.Context, proc *process, args []string) error { return child.Monitor(args) }
		},
	}
}

func passOnCommand() *command {
	return &command{
		name: term.PassOnCommand, hidden: true, runs: true, short: "Pass output on (started by exec for what a command leaves behind)",
		define: func(*pflag.FlagSet) action {
			return func(_ context.Context, proc *process, args []string) error { return term.PassOn(args) }
		},
	}
}

// printStatus draws the status document for a person.
func printStatus(proc *process, d *status.Document, now time.Time) {
	p := proc.palette()
	fmt.Fprintf(proc.Out, "%s tunnel on 127.0.0.1:%d (pid %d, up %s)\n", p.good("●"), d.Port, d.PID, since(d.Started, now))
	row := func(name, format string, args ...any) {
		fmt.Fprintf(proc.Out, "  %-11s %s\n", name, fmt.Sprintf(format, args...))
	}
	if d.Mode == "upstream" {
		row("egress", "upstream %s", d.Upstream)
	} else {
		row("egress", "embedded, re-terminates TLS")
	}
	if d.ConfigPath != "" {
		row("config", "%s", d.ConfigPath)
	}
	for _, l := range d.Policy {
		row("policy", "%s", policyRow(l))
	}
	if d.PolicyProblem != "" {
		row("policy", "%s: %s", p.bad("the old one stays in force"), d.PolicyProblem)
	}
	row("page", "http://127.0.0.1:%d%s", d.Port, status.Prefix)
	row("state", "%s", d.StateDir)
	row("bundle", "%s", d.CABundlePath)
	if d.CAExpires != nil {
		row("CA", "sha256 %s, until %s", d.CAFingerprint[:min(16, len(d.CAFingerprint))], d.CAExpires.Format(time.DateOnly))
	}
	row("tunnels", "%d open, %d in all, %d runs and %d shells attached", d.Connections, d.Tunnels, d.Runs, d.Shells)
	for _, r := range d.RunHosts[:min(len(d.RunHosts), shownRuns)] {
		row("run", "%s", runRow(r))
	}
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
	printFailures(proc, d)
}

// printFailures draws what failed last.
func printFailures(proc *process, d *status.Document) {
	p := proc.palette()
	if len(d.RecentRelayFailures) == 0 {
		fmt.Fprintln(proc.Out, "  no failures")
		return
	}
	fmt.Fprintf(proc.Out, "%s last failures\n", p.bad("✗"))
	list := status.Fold(d.RecentRelayFailures)
	said := map[string]bool{"": true} // an advice is given once
	for _, f := range list[max(0, len(list)-10):] {
		fmt.Fprintf(proc.Out, "  %s  %s\n", f.TS.Local().Format(time.TimeOnly), f)
		if !said[f.Advice] {
			fmt.Fprintf(proc.Out, "            %s\n", f.Advice)
			said[f.Advice] = true
		}
	}
}

// shownRuns is how many runs the status has a line for.
const shownRuns = 5

// runRow is a run in a line.
func runRow(r status.RunHosts) string {
	var requests, refused int64
	for _, h := range r.Hosts {
		refused += h.Refused
		for _, n := range h.Methods {
			requests += n
		}
	}
	text := fmt.Sprintf("%s: %d hosts, %d requests, %d refused", r.Run, len(r.Hosts), requests, refused)
	if len(r.Processes) > 0 {
		text += " (" + strings.Join(r.Processes, ", ") + ")"
	}
	return text
}

// printRun draws what concerns one run.
func printRun(proc *process, d *status.Document) {
	for _, r := range d.RunHosts {
		fmt.Fprintln(proc.Out, runRow(r))
		w := tabwriter.NewWriter(proc.Out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "  HOST\tREQUESTS\tOPENED\tREFUSED\tFAILED")
		for _, h := range r.Hosts {
			fmt.Fprintf(w, "  %s\t%s\t%d\t%d\t%d\n", h.Host, h.Requests(), h.Opened, h.Refused, h.Failed)
		}
		w.Flush()
	}
	for _, a := range d.Asked {
		fmt.Fprintf(proc.Out, "  %s  asked for %s: %s\n", a.TS.Local().Format(time.TimeOnly), a.What(), cmp.Or(a.Answer, "nobody answered"))
	}
	printFailures(proc, d)
}

// policyRow is a layer of the policy in a line.
func policyRow(l status.PolicyLayer) string {
	text := fmt.Sprintf("%s: default %s, %d to allow, %d to deny", l.Name, l.Default, l.Allow, l.Deny)
	if l.Mode == config.ModeReport {
		text += ", only reported"
	}
	if l.Mode == config.ModeAsk {
		text += ", asks where somebody listens"
	}
	if l.Path != "" {
		text += " (" + l.Path
		if l.Fetched != nil {
			text += ", " + fetched(*l.Fetched)
		}
		text += ")"
	}
	return text
}

func since(t *status.Time, now time.Time) string {
	if t == nil {
		return "?"
	}
	return now.Sub(t.Time).Round(time.Second).String()
}

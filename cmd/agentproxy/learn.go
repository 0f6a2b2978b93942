package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/agentproxy/agentproxy/proxy/audit"
	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/wrap/child"
	"github.com/agentproxy/agentproxy/wrap/session"
	"github.com/spf13/pflag"
)

// learnFlags choose what is learned from.
type learnFlags struct {
	tunnelFlags
	run, since, out string
	requests, json  bool
}

func policyLearnCommand() *command {
	return &command{
		name:  "policy learn",
		args:  "[FLAG...] [-- COMMAND [ARGUMENT...]]",
		runs:  true,
		short: "Print the narrowest policy that a command needed",
		examples: `
  agentproxy policy learn --out .agentproxy.toml -- npm ci  # runs it; what the policy refuses passes and is recorded
  agentproxy policy learn --requests -- ./deploy.sh         # methods and paths, not only hosts
  agentproxy policy learn --since 2h                        # from the log, without a command`,
		long: `
Names of one domain become one entry when there are three. Each entry says who asked.`,
		define: func(flags *pflag.FlagSet) action {
			var f learnFlags
			f.define(flags)
			flags.StringVar(&f.out, "out", "", "write to this new `FILE`")
			flags.BoolVar(&f.requests, "requests", false, "learn methods and paths of a command's requests")
			return func(ctx context.Context, proc *process, args []string) error { return learnPolicy(ctx, proc, f, args) }
		},
	}
}

func policyDiffCommand() *command {
	return &command{
		name:  "policy diff",
		args:  "[FLAG...] [-- COMMAND [ARGUMENT...]]",
		runs:  true,
		short: "Print what today's policy would refuse of what was asked for",
		examples: `
  agentproxy policy diff --since 2h     # of what the log has; exit status 1 when that is something
  agentproxy policy diff -- npm ci      # of what a command asks for`,
		define: func(flags *pflag.FlagSet) action {
			var f learnFlags
			f.define(flags)
			return func(ctx context.Context, proc *process, args []string) error { return diffPolicy(ctx, proc, f, args) }
		},
	}
}

func (f *learnFlags) define(flags *pflag.FlagSet) {
	f.tunnelFlags.define(flags)
	flags.BoolVar(&f.json, "json", false, "print JSON")
	flags.StringVar(&f.run, "run", "", "what this run asked for, by its `ID` or the beginning of it")
	flags.StringVar(&f.since, "since", "", "what was asked for since this `TIME`: how long ago (90s, 15m, 24h), or a date with or without a time")
}

// needed is what a command, or a part of the audit log, has asked for.
type needed struct {
	entries []status.Entry
	// of says in words whose it is.
	of string
	// result is how the command ended, nil where there was none.
	result *child.Result
}

// learnPolicy prints the narrowest policy for what was asked for.
func learnPolicy(ctx context.Context, proc *process, f learnFlags, argv []string) error {
	if f.out != "" { // before the command runs
		if _, err := os.Lstat(f.out); err == nil {
			return hint(fmt.Errorf("%s is there already", f.out), "agentproxy policy learn --out another.toml -- …")
		}
	}
	got, err := f.gather(ctx, proc, argv)
	if err != nil {
		return err
	}
	needs := policy.Learn(got.entries, f.requests)
	out := proc.Out
	if f.out != "" {
		file, err := os.OpenFile(f.out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		defer file.Close()
		out = file
	}
	if f.json {
		err = printJSON(out, learnedDocument{needs})
	} else {
		err = writeLearned(out, got.of, needs)
	}
	if err != nil {
		return err
	}
	if f.out != "" {
		proc.say("wrote %s: %d to allow", f.out, len(needs))
	}
	return got.end()
}

// end ends this process as the command has ended.
func (n needed) end() error {
	if n.result != nil {
		child.Exit(*n.result)
	}
	return nil
}

// writeLearned writes a policy, with who asked for each entry.
func writeLearned(w io.Writer, of string, needs []policy.Need) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# What %s needed, learned by agentproxy on %s.\n[policy]\ndefault = \"deny\"\nallow = [\n", of, time.Now().Format(time.DateOnly))
	for _, n := range needs {
		fmt.Fprintf(&b, "  %-40s # %s\n", fmt.Sprintf("%q,", n.Entry), asked(n))
	}
	b.WriteString("]\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// asked says who asked for an entry, how often, and by which names.
func asked(n policy.Need) string {
	text := "once"
	if n.Times > 1 {
		text = fmt.Sprintf("%d times", n.Times)
	}
	if len(n.Asked) > 0 {
		text = strings.Join(n.Asked, ", ") + ", " + text
	}
	if len(n.Hosts) > 0 {
		text += ": " + strings.Join(n.Hosts, ", ")
	}
	return status.ASCII(text, 400)
}

// diffPolicy prints what today's policy would refuse of what was asked for.
func diffPolicy(ctx context.Context, proc *process, f learnFlags, argv []string) error {
	got, err := f.gather(ctx, proc, argv)
	if err != nil {
		return err
	}
	c, err := f.load(proc)
	if err != nil {
		return err
	}
	if err := unfetched(c); err != nil {
		return err
	}
	p, err := policy.New(c.Rules())
	if err != nil {
		return err
	}
	missing := p.Missing(got.entries)
	if f.json {
		if err := printJSON(proc.Out, missingDocument{missing}); err != nil {
			return err
		}
	} else {
		for _, n := range missing {
			fmt.Fprintf(proc.Out, "+ %-40s # %s: %s\n", fmt.Sprintf("%q", n.Entry), asked(n), n.Why)
		}
		if len(missing) == 0 {
			fmt.Fprintf(proc.Out, "nothing is missing for %s\n", got.of)
		}
	}
	if got.result == nil && len(missing) > 0 {
		return errNo
	}
	return got.end()
}

// gather runs the command with a policy that only reports, or reads the log.
func (f *learnFlags) gather(ctx context.Context, proc *process, argv []string) (needed, error) {
	chosen := f.run != "" || f.since != ""
	switch {
	case len(argv) > 0 && chosen:
		return needed{}, hint(errors.New("either a command or --run and --since"), "agentproxy policy learn -- %s", argv[0])
	case len(argv) > 0:
		return f.watch(ctx, proc, argv)
	case f.requests:
		return needed{}, hint(errors.New("--requests needs a command: the log has no requests that passed"), "agentproxy policy learn --requests -- npm ci")
	case !chosen:
		return needed{}, hint(errors.New("say what to learn from: a command, --run ID or --since 2h"), "agentproxy policy learn -- npm ci")
	}
	filter := audit.Filter{Run: f.run}
	got := needed{of: "the log"}
	if f.run != "" {
		got.of = "the run " + f.run
	}
	if f.since != "" {
		var err error
		if filter.Since, err = parseSince(f.since, time.Now()); err != nil {
			return got, err
		}
		got.of += " since " + f.since
	}
	var err error
	got.entries, err = logged(ctx, proc, filter)
	return got, err
}

func logged(ctx context.Context, proc *process, filter audit.Filter) (list []status.Entry, err error) {
	path, err := logPath(proc)
	if err != nil {
		return nil, err
	}
	err = audit.Read(ctx, path, audit.Wanted{Filter: filter, Last: -1}, func(e status.Entry) error {
		list = append(list, e)
		return nil
	})
	return list, err
}

// everyRequest is an entry that no request is, so that each is reported.
const everyRequest = "LEARN *:*"

// watch runs a command and returns what it has asked for.
func (f *learnFlags) watch(ctx context.Context, proc *process, argv []string) (needed, error) {
	got := needed{of: fmt.Sprintf("a run of %q", argv[0])}
	e := execFlags{tunnelFlags: f.tunnelFlags, retry: string(session.Safe)}
	options, err := e.options(proc)
	if err != nil {
		return got, err
	}
	var layer config.Layer
	if f.requests {
		layer = config.Layer{Default: "deny", Allow: []string{everyRequest}}
	}
	if err := options.Config.ForRun(layer, true, proc.Getenv, workingDir()); err != nil {
		return got, err
	}
	c := &watching{console: console{proc: proc}}
	p := ports(c.console)
	p.Console = c
	result, err := session.Run(ctx, e.session(proc, options, argv), p)
	if err != nil {
		return got, err
	}
	got.result = &result
	got.entries, err = c.entries(ctx)
	return got, err
}

// watching is a console that keeps what the tunnel saw.
type watching struct {
	console
	id   string
	seen *status.Evidence
}

func (c *watching) Seen(id string, seen *status.Evidence) { c.id, c.seen = id, seen }

// logDelay is how long the log may take to have all that the tunnel saw.
const logDelay = 2 * time.Second

// entries are the log's of the run, and what the log does not have yet.
func (c *watching) entries(ctx context.Context) ([]status.Entry, error) {
	if c.seen == nil {
		return nil, errors.New("the tunnel does not tell what it saw of the run")
	}
	if n := c.seen.Unattributed; n > 0 {
		c.Say("%d tunnels could not be attributed to this run, and are left out", n)
	}
	for end := time.Now().Add(logDelay); ; time.Sleep(20 * time.Millisecond) {
		list, err := logged(ctx, c.proc, audit.Filter{Run: c.id})
		if err != nil {
			return nil, err
		}
		if missing := c.missing(list); len(missing) == 0 || time.Now().After(end) {
			return append(list, missing...), nil
		}
	}
}

// missing are decisions that the tunnel has made and the log does not have.
func (c *watching) missing(list []status.Entry) (missing []status.Entry) {
	type asked struct{ host, method, path string }
	logged := map[asked]int{}
	for _, e := range list {
		logged[asked{e.Host, e.Method, e.Path}]++
	}
	for _, h := range c.seen.Hosts {
		for range h.Opened - logged[asked{h.Host, "", ""}] {
			missing = append(missing, status.Entry{TS: h.First, Outcome: status.Opened, Host: h.Host, Run: c.id})
		}
	}
	for _, e := range c.seen.Reported {
		if logged[asked{e.Host, e.Method, e.Path}]--; e.Method != "" && logged[asked{e.Host, e.Method, e.Path}] < 0 {
			missing = append(missing, e)
		}
	}
	return missing
}

// learnedDocument is what "policy learn --json" prints, missingDocument what "policy
// diff --json" does.
type (
	learnedDocument struct {
		Allow []policy.Need `json:"allow"`
	}
	missingDocument struct {
		Missing []policy.Need `json:"missing"`
	}
)

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/profiles"
	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/shell"
	"github.com/agentproxy/agentproxy/wrap/capture"
	"github.com/agentproxy/agentproxy/wrap/child"
	"github.com/agentproxy/agentproxy/wrap/plan"
	"github.com/agentproxy/agentproxy/wrap/session"
	"github.com/spf13/pflag"
)

func execCommand() *command {
	return &command{
		name:  "exec",
		runs:  true,
		args:  "[FLAG...] -- COMMAND [ARGUMENT...]",
		short: "Run a command behind the tunnel",
		examples: `
  agentproxy exec -- pip install requests            # finds or starts the tunnel, runs pip through it
  agentproxy exec -- sh -c 'curl -sS "$URL" | jq .'  # covers everything that the shell starts
  agentproxy exec --isolate -- ./build.sh            # leaves no way around the tunnel (Linux)
  agentproxy exec --allow db.example:8443 -- ./migrate  # one host more than the policy has, for this run
  agentproxy exec --dry-run -- pip install requests  # what would change for it, and why`,
		long: `
The command gets the tunnel's address and CA in its environment, merged with your own
NO_PROXY and CA files. Its output, exit status and death by signal come out unchanged.
When it fails and the tunnel saw why, exec says so on stderr.

Exit status: the command's own; 125 when agentproxy itself fails, 126 when the
command cannot be executed, 127 when it is not found.`,
		define: func(flags *pflag.FlagSet) action {
			var f execFlags
			f.define(flags)
			flags.BoolVar(&f.dryRun, "dry-run", false, "print what would change for the command and why, and run nothing; with -v all of it")
			flags.BoolVar(&f.json, "json", false, "with --dry-run: print JSON")
			flags.BoolVar(&f.noWatch, "no-watch", false, "become the command, and say nothing when it fails")
			flags.StringVar(&f.retry, "retry", "safe", "`WHEN` to run the command once more after a failure that we can fix: never, safe (it did nothing else yet), or ask")
			flags.StringVar(&f.verdictFile, "verdict-file", "", "write the verdict to this `FILE`, as JSON; empty when there is none")
			flags.BoolVarP(&f.verbose, "verbose", "v", false, "also say what is unclear, and everything that the tunnel saw go wrong")
			flags.StringVar(&f.capture, "capture", "", "`WHEN` to give the command a network of its own, which leads into the tunnel: auto (on the second try, if nothing narrower helps), always, or never (default: exec.capture, then auto; Linux)")
			flags.BoolVar(&f.isolate, "isolate", false, "leave the command no way past the tunnel: --capture always, without this machine's loopback, sockets, signals and new privileges")
			flags.UintSliceVar(&f.publish, "publish", nil, "with --isolate: let this machine's loopback reach this `PORT` of the command's; may be repeated")
			flags.StringArrayVar(&f.allow, "allow", nil, "let this run also reach a `HOST`, or make requests as in policy.allow; never past a deny; may be repeated")
			flags.StringArrayVar(&f.deny, "deny", nil, "keep this run from a `HOST`, or from requests as in policy.deny; may be repeated")
			flags.BoolVar(&f.reportOnly, "report-only", false, "let pass what the policy refuses, record it and name it at the end")
			flags.BoolVar(&f.noAsk, "no-ask", false, "refuse at once what the policy refuses, although somebody may be asked")
			flags.BoolVar(&f.noPreload, "no-preload", false, "load no hook into Node, Python, Ruby or PHP")
			flags.BoolVar(&f.pty, "pty", false, "give any command a pseudo terminal, not only tools with a profile")
			flags.BoolVar(&f.noPty, "no-pty", false, "leave the terminal to the command, and do not read what it prints there")
			return func(ctx context.Context, proc *process, args []string) error { return runExec(ctx, proc, f, args) }
		},
		flagValues: map[string]func(*process) []string{"retry": values(retries...), "capture": values(config.Captures...)},
	}
}

// retries are the values of --retry.
var retries = []string{"never", "safe", "ask"}

type execFlags struct {
	tunnelFlags
	dryRun, json, noWatch, noPreload, pty, noPty, verbose, isolate bool
	retry, verdictFile, capture                                    string
	publish                                                        []uint
	allow, deny                                                    []string
	reportOnly, noAsk                                              bool
}

func (f *execFlags) check(argv []string) error {
	switch {
	case len(argv) == 0:
		return hint(errors.New("exec needs a command"), "agentproxy exec -- curl -sS https://example.com/")
	case !slices.Contains(retries, f.retry):
		return hint(fmt.Errorf("--retry is never, safe or ask, not %q", f.retry), "agentproxy exec --retry never -- %s", argv[0])
	case f.pty && f.noPty:
		return hint(errors.New("--pty and --no-pty exclude each other"), "agentproxy exec --help")
	case f.json && !f.dryRun:
		return hint(errors.New("--json goes with --dry-run"), "agentproxy exec --dry-run --json -- %s", argv[0])
	case f.verdictFile != "" && f.noWatch:
		return hint(errors.New("--verdict-file wants somebody who watches, and --no-watch leaves nobody"), "agentproxy exec --verdict-file %s -- %s", shell.Word(f.verdictFile), argv[0])
	case f.pty && f.noWatch:
		return hint(errors.New("--pty reads the output, --no-watch does not"), "agentproxy exec --pty -- %s", argv[0])
	}
	return f.checkCapture(argv[0])
}

func runExec(ctx context.Context, proc *process, f execFlags, argv []string) error {
	if err := f.forgetVerdict(); err != nil {
		return err
	}
	if err := f.check(argv); err != nil {
		return err
	}
	// What a start takes need not be collected: half a millisecond.
	debug.SetGCPercent(400)
	options, err := f.options(proc)
	if err != nil {
		return err
	}
	if len(f.allow) > 0 || len(f.deny) > 0 || f.reportOnly {
		if err := options.Config.ForRun(config.Layer{Allow: f.allow, Deny: f.deny}, f.reportOnly, proc.Getenv, workingDir()); err != nil {
			return hint(err, "agentproxy exec --allow api.example -- %s", argv[0])
		}
	}
	options.NoAsk = f.noAsk || unattended(proc)
	o := f.session(proc, options, argv)
	if f.dryRun || f.noWatch {
		return f.unwatched(ctx, proc, o)
	}
	result, err := session.Run(ctx, o, ports(console{proc: proc, verbose: f.verbose}))
	if refused := new(capture.Refused); errors.As(err, &refused) && refused.Advice != "" {
		return hint(err, "%s", refused.Advice)
	}
	if err != nil {
		return err
	}
	child.Exit(result)
	return nil
}

// unattended reports whether a CI system runs us, by the variable that all of them set.
func unattended(proc *process) bool {
	return !slices.Contains([]string{"", "0", "false"}, strings.ToLower(proc.Getenv("CI")))
}

// forgetVerdict empties the file of the verdict before anything can fail: an earlier
// run's does not stand for this one.
func (f *execFlags) forgetVerdict() error {
	if f.verdictFile == "" {
		return nil
	}
	file, err := os.OpenFile(f.verdictFile, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("--verdict-file: %w", err)
	}
	return file.Close()
}

// session is what the flags come to.
func (f *execFlags) session(proc *process, tunnel attach.Options, argv []string) session.Options {
	return session.Options{
		Argv: argv, Environ: proc.Environ, Tunnel: tunnel, Library: library(proc), Retry: session.Retry(f.retry), VerdictFile: f.verdictFile,
		NoPreload: f.noPreload, PTY: f.pty, NoPTY: f.noPty, Verbose: f.verbose, Capture: f.captured(proc, tunnel.Config),
		Isolate: f.isolate, Publish: f.published(),
	}
}

// ports connect a session to this process.
func ports(c console) session.Ports {
	return session.Ports{Console: c, Memory: session.MemoryIn(func() string { return stateDir(c.proc) }, buildVersion())}
}

// unwatched prints the plan, or becomes the command.
func (f *execFlags) unwatched(ctx context.Context, proc *process, o session.Options) error {
	tunnel, err := attached(ctx, proc, o.Tunnel)
	if err != nil {
		return err
	}
	o.ID = session.NewID()
	planned, err := session.Plan(ctx, o, ports(console{proc: proc}), tunnel)
	if err != nil {
		return err
	}
	defer session.Clean(planned)
	switch {
	case f.json:
		return printJSON(proc.Out, planned)
	case f.dryRun:
		return f.print(ctx, proc, o, tunnel, planned)
	}
	sayPlan(proc, planned)
	return child.Replace(child.Command{Argv: planned.Argv, Env: planned.Environ})
}

// planFor is what exec would do for a command, without a run; none stands for
// whatever may be started.
func planFor(ctx context.Context, proc *process, options attach.Options, t *attach.Tunnel, argv ...string) (plan.Plan, error) {
	o := session.Options{Argv: argv, Environ: proc.Environ, Tunnel: options, Library: library(proc)}
	return session.Plan(ctx, o, ports(console{proc: proc}), t)
}

// library is the profiles: the user's own, and ours.
func library(proc *process) *profiles.Library { return session.Library(proc.Getenv) }

// stateDir is where we remember things; "" when there is none yet.
func stateDir(proc *process) string { return session.StateDir(proc.Getenv) }

// toolsOf returns what adds to a status document what is known about git and
// the other tools of this user.
func toolsOf(ctx context.Context, proc *process, cfg *config.Config) func(*status.Document) {
	return func(doc *status.Document) { session.Describe(ctx, proc.Environ, doc, cfg, library(proc)) }
}

// print shows the plan: all of it with -v, else without what every command gets.
func (f *execFlags) print(ctx context.Context, proc *process, o session.Options, tunnel *attach.Tunnel, planned plan.Plan) error {
	if f.verbose {
		printPlan(proc.Out, planned, nil)
		return nil
	}
	o.Argv = []string{"true"} // a command that no profile covers
	base, err := session.Plan(ctx, o, ports(console{proc: proc}), tunnel)
	if err != nil {
		return err
	}
	defer session.Clean(base)
	var folded []string
	planned.Changes = slices.DeleteFunc(slices.Clone(planned.Changes), func(c plan.Change) bool {
		usual := c.Action == "add" && !slices.Contains(alwaysShown, c.Name) && slices.Contains(base.Changes, c)
		if usual {
			folded = append(folded, c.Name)
		}
		return usual
	})
	printPlan(narrow(proc), planned, folded)
	return nil
}

// alwaysShown are the variables that say where a command goes, and whom it trusts.
var alwaysShown = []string{"HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE"}

// printPlan shows what is changed for a command, a variable and its reason each, and
// how much of the usual has been folded away.
func printPlan(w io.Writer, p plan.Plan, folded []string) {
	fmt.Fprintf(w, "run: %s\n", strings.Join(p.Argv, " "))
	fmt.Fprintf(w, "profiles: %s\n", strings.Join(p.Tools, ", "))
	printChanges(w, p.Changes)
	if len(folded) > 0 {
		fmt.Fprintf(w, "+ %d more, which every command gets: %s …\n      # all of them, with the reasons: agentproxy exec --dry-run -v -- %s\n",
			len(folded), strings.Join(folded[:min(3, len(folded))], ", "), p.Argv[0])
	}
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

package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/agentproxy/agentproxy/profiles"
	"github.com/agentproxy/agentproxy/profiles/env"
	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/proxy/trust"
	"github.com/agentproxy/agentproxy/wrap"
	"github.com/agentproxy/agentproxy/wrap/preload"
	"github.com/agentproxy/agentproxy/wrap/term"
	"github.com/mitchellh/go-homedir"
	"github.com/spf13/pflag"
)

func execCommand() *command {
	return &command{
		name:  "exec",
		runs:  true,
		args:  "[flags] -- <command> [arguments]",
		short: "Run a command behind the tunnel",
		examples: `
  agentproxy exec -- pip install requests        # finds or starts the tunnel, trusts it, runs pip
  agentproxy exec -- sh -c 'curl -sS "$URL" | jq .'  # everything that the shell starts is covered
  agentproxy exec --dry-run -- pip install requests  # what would be changed for it, and why`,
		long: `
The command gets the tunnel's address and CA in its environment, your own
NO_PROXY and CA files merged in. Its output, exit status and death by signal come
out unchanged. When it fails, what the tunnel saw go wrong is printed on stderr.

Exit status: the command's own; 125 when agentproxy itself fails, 126 when the
command cannot be executed, 127 when it is not found.`,
		define: func(flags *pflag.FlagSet) action {
			var f execFlags
			f.define(flags)
			flags.BoolVar(&f.dryRun, "dry-run", false, "print what would be changed for the command and why, and run nothing")
			flags.BoolVar(&f.json, "json", false, "with --dry-run: print JSON")
			flags.BoolVar(&f.noWatch, "no-watch", false, "become the command: no word from us when it fails")
			flags.StringVar(&f.retry, "retry", "safe", "after a failure that a change of ours mends: `never`, safe (when the command has done nothing else), or ask")
			flags.StringVar(&f.verdictFile, "verdict-file", "", "write why the command failed to this `file`, as JSON")
			flags.BoolVarP(&f.verbose, "verbose", "v", false, "also say what is unclear, and all that the tunnel saw go wrong")
			flags.BoolVar(&f.noPreload, "no-preload", false, "load no hook of ours into Node, Python, Ruby or PHP")
			flags.BoolVar(&f.pty, "pty", false, "put a pseudo terminal before any command on a terminal, not only before tools with a profile")
			flags.BoolVar(&f.noPty, "no-pty", false, "leave the terminal to the command: what it prints there is not read")
			return func(ctx context.Context, args []string) error { return runExec(ctx, f, args) }
		},
	}
}

type execFlags struct {
	tunnelFlags
	dryRun, json, noWatch, noPreload, pty, noPty, verbose bool
	retry, verdictFile                                    string
}

// terminal says how a terminal is treated: a tool that may fail for a reason of
// ours is read there, too.
func (f *execFlags) terminal(s *profiles.Survey) term.Mode {
	if f.pty || s.Known && !f.noPty {
		return term.Relay
	}
	return term.Inherit
}

func (f *execFlags) check(argv []string) error {
	switch {
	case len(argv) == 0:
		return hint(errors.New("exec needs a command"), "agentproxy exec -- curl -sS https://example.com/")
	case !slices.Contains([]string{"never", "safe", "ask"}, f.retry):
		return hint(fmt.Errorf("--retry is never, safe or ask, not %q", f.retry), "agentproxy exec --retry never -- %s", argv[0])
	case f.pty && f.noPty:
		return hint(errors.New("--pty and --no-pty exclude each other"), "agentproxy exec --help")
	case f.json && !f.dryRun:
		return hint(errors.New("--json goes with --dry-run"), "agentproxy exec --dry-run --json -- %s", argv[0])
	case f.pty && f.noWatch:
		return hint(errors.New("--pty reads the output, --no-watch does not"), "agentproxy exec --pty -- %s", argv[0])
	}
	return nil
}

func runExec(ctx context.Context, f execFlags, argv []string) error {
	if err := f.check(argv); err != nil {
		return err
	}
	// What a start takes need not be collected: half a millisecond.
	debug.SetGCPercent(400)
	options, err := f.options()
	if err != nil {
		return err
	}
	r := execution{flags: f, options: options, argv: argv, environ: os.Environ(), id: newID()}
	r.survey = r.look()
	if f.dryRun || f.noWatch {
		return r.unwatched(ctx)
	}
	return r.watched(ctx)
}

// newID is a run's identity.
func newID() string { return rand.Text() }

// execution is one exec.
type execution struct {
	flags   execFlags
	options attach.Options
	argv    []string
	environ []string
	id      string
	survey  <-chan surveyed
	known   surveyed // what the survey came to
	// steps are the tools that an image's build starts.
	steps []profiles.Tool
	// uses are facts of the plan that somebody wants to know.
	uses []string
	// remedied is a class of failure that a first attempt has ended with.
	remedied profiles.Class
}

// unwatched prints the plan, or becomes the command.
func (r *execution) unwatched(ctx context.Context) error {
	tunnel, err := attached(ctx, r.options)
	if err != nil {
		return err
	}
	plan, err := r.plan(ctx, tunnel)
	if err != nil {
		return err
	}
	defer plan.Clean()
	switch {
	case r.flags.json:
		return json.NewEncoder(os.Stdout).Encode(plan)
	case r.flags.dryRun:
		printPlan(os.Stdout, plan)
		return nil
	}
	sayPlan(plan)
	return wrap.Replace(plan)
}

// plan makes the files that the command is pointed at, where they are not up to
// date, and plans.
func (r *execution) plan(ctx context.Context, t *attach.Tunnel) (wrap.Plan, error) {
	r.known = <-r.survey
	known := r.known
	if known.err != nil {
		return wrap.Plan{}, known.err
	}
	leaveLocked(known.tools.Conflicts)
	in := wrap.Input{Argv: r.argv, Environ: r.environ, Survey: known.tools, Git: known.git, Uses: r.uses, Tunnel: env.Tunnel{
		URL: t.URL(), Host: "127.0.0.1", Port: strconv.Itoa(t.Record.Port), StateDir: t.Dir,
		JavaStorePassword: trust.JVMPassword, Run: r.id,
	}}
	if err := roots(t, wrap.CAs(known.tools, known.git, in.Tunnel, r.environ), &in.Tunnel); err != nil {
		return wrap.Plan{}, err
	}
	var err error
	if in.Facts, err = r.facts(t, known.tools); err != nil {
		return wrap.Plan{}, err
	}
	if known.tools.Contained != nil {
		share, err := r.share(ctx, in.Tunnel)
		if err != nil {
			return wrap.Plan{}, err
		}
		in.Container = &share.Edits
	}
	plan := wrap.NewPlan(in)
	if profile := in.Facts[firefoxProfile]; profile != "" {
		plan.Temporary = append(plan.Temporary, profile)
	}
	return plan, plan.Write()
}

// leaveLocked leaves roots of the user's alone that cannot be merged into ours.
func leaveLocked(conflicts []profiles.Conflict) {
	for i, c := range conflicts {
		if c.Is == "ca" && c.Overruled && ca.Locked(c.Value) {
			conflicts[i].Env, conflicts[i].Argv, conflicts[i].Overruled = nil, nil, false
		}
	}
}

// plain is a command that no profile covers.
var plain = []string{"true"}

// planned is what exec would do for a command, without a run.
func planned(ctx context.Context, options attach.Options, t *attach.Tunnel, argv []string) (wrap.Plan, error) {
	r := execution{options: options, argv: argv, environ: os.Environ()}
	r.survey = r.look()
	return r.plan(ctx, t)
}

// roots builds the bundle and the truststore, and says where they are.
func roots(t *attach.Tunnel, users []string, described *env.Tunnel) error {
	bundle, err := ca.BuildBundle(t.Dir, append(users, t.Record.CAs...)...)
	if err != nil {
		return err
	}
	described.Bundle = bundle.Path
	// What is added to a tool's own roots: our certificate alone, unless others
	// sign as well (an upstream, or origins that are passed through).
	described.CA = filepath.Join(t.Dir, rundir.CertFile)
	if len(t.Record.CAs) > 0 {
		described.CA = bundle.Path
	}
	described.JavaStore, err = trust.JVMTrustStore(bundle.Path)
	return err
}

const firefoxProfile = "firefox.profile"

// facts makes what only some commands need, and says where it is.
func (r *execution) facts(t *attach.Tunnel, s *profiles.Survey) (map[string]string, error) {
	home, err := homedir.Dir()
	if err != nil {
		home = t.Dir // nothing of the user's is there
	}
	facts := map[string]string{"home": home}
	if !r.flags.noPreload && wrap.Needs(s, "preload.") {
		hooks, err := preload.Write(filepath.Join(t.Dir, "preload"))
		if err != nil {
			return nil, err
		}
		facts["preload.node"], facts["preload.python"] = hooks.Node, hooks.Python
		facts["preload.php"] = hooks.PHP
		if !strings.ContainsAny(hooks.Ruby, " \t") { // RUBYOPT quotes nothing
			facts["preload.ruby"] = hooks.Ruby
		}
	}
	authorities := append([]string{filepath.Join(t.Dir, rundir.CertFile)}, t.Record.CAs...)
	for fact, make := range map[string]func() (string, error){
		"chromium.home": func() (string, error) {
			return trust.ChromiumHome(t.Dir, filepath.Join(home, ".pki", "nssdb"), authorities...)
		},
		firefoxProfile: func() (string, error) { return trust.FirefoxProfile(t.Dir, r.id, authorities...) },
	} {
		if !wrap.Needs(s, fact) {
			continue
		}
		path, err := make()
		switch {
		case errors.Is(err, trust.ErrNoCertutil):
			say("the browser will not trust the CA: %s", err)
		case err != nil:
			return nil, err
		default:
			facts[fact] = path
		}
	}
	return facts, nil
}

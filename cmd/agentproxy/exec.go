package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"github.com/agentproxy/agentproxy/profiles/env"
	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/proxy/trust"
	"github.com/agentproxy/agentproxy/wrap"
	"github.com/spf13/pflag"
)

func execCommand() *command {
	return &command{
		name:  "exec",
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
			return func(ctx context.Context, args []string) error { return runExec(ctx, f, args) }
		},
	}
}

type execFlags struct {
	tunnelFlags
	dryRun, json, noWatch bool
}

func (f *execFlags) check(argv []string) error {
	switch {
	case len(argv) == 0:
		return hint(errors.New("exec needs a command"), "agentproxy exec -- curl -sS https://example.com/")
	case f.json && !f.dryRun:
		return hint(errors.New("--json goes with --dry-run"), "agentproxy exec --dry-run --json -- %s", argv[0])
	}
	return nil
}

func runExec(ctx context.Context, f execFlags, argv []string) error {
	if err := f.check(argv); err != nil {
		return err
	}
	id := rand.Text()
	if f.dryRun || f.noWatch {
		return runUnwatched(ctx, f, argv, id)
	}
	options, err := f.options()
	if err != nil {
		return err
	}
	tunnel, run, err := attach.Enter(ctx, options, id)
	if err != nil {
		return err
	}
	sayNotice(tunnel)
	plan, err := planFor(tunnel, argv, id)
	if err != nil {
		return err
	}
	output := &wrap.Output{}
	result, err := wrap.Run(plan, output)
	if err != nil {
		return err
	}
	if !result.OK() {
		// The command's failure is its own; that ours could not be fetched would
		// only distract from it.
		if failures, err := run.Failures(ctx); err == nil {
			sayFailures(failures, output)
		}
	}
	run.Close()
	wrap.Exit(result)
	return nil
}

// runUnwatched prints the plan, or becomes the command.
func runUnwatched(ctx context.Context, f execFlags, argv []string, id string) error {
	tunnel, err := f.attach(ctx)
	if err != nil {
		return err
	}
	plan, err := planFor(tunnel, argv, id)
	switch {
	case err != nil:
		return err
	case f.dryRun && f.json:
		return json.NewEncoder(os.Stdout).Encode(plan)
	case f.dryRun:
		printPlan(os.Stdout, plan)
		return nil
	}
	return wrap.Replace(plan)
}

func planFor(tunnel *attach.Tunnel, argv []string, id string) (wrap.Plan, error) {
	environ := os.Environ()
	described, err := describe(tunnel, environ)
	if err != nil {
		return wrap.Plan{}, err
	}
	described.Run = id
	return wrap.NewPlan(wrap.Input{Argv: argv, Environ: environ, Tunnel: described}), nil
}

// describe makes the files that commands are pointed at, where they are not up
// to date, and returns what the environment must say.
func describe(t *attach.Tunnel, environ []string) (env.Tunnel, error) {
	bundle, err := ca.BuildBundle(t.Dir, append(env.UserCAs(environ), t.Record.CAs...)...)
	if err != nil {
		return env.Tunnel{}, err
	}
	store, err := trust.JVMTrustStore(bundle.Path)
	if err != nil {
		return env.Tunnel{}, err
	}
	wgetrc, err := trust.Wgetrc(bundle.Path, env.Get(environ, "SYSTEM_WGETRC"))
	if err != nil {
		return env.Tunnel{}, err
	}
	// What is added to a tool's own roots: our certificate alone, unless others
	// sign as well (an upstream, or origins that are passed through).
	own := filepath.Join(t.Dir, rundir.CertFile)
	if len(t.Record.CAs) > 0 {
		own = bundle.Path
	}
	return env.Tunnel{
		URL: t.URL(), Host: "127.0.0.1", Port: strconv.Itoa(t.Record.Port),
		StateDir: t.Dir, CA: own, Bundle: bundle.Path,
		JavaStore: store, JavaStorePassword: trust.JVMPassword, Wgetrc: wgetrc,
	}, nil
}

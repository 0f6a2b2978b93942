package main

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"github.com/agentproxy/agentproxy/profiles/env"
	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/proxy/ca"
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
  agentproxy exec -- sh -c 'curl -sS "$URL" | jq .'  # everything that the shell starts is covered`,
		long: `
The command gets the tunnel's address and CA in its environment, your own
NO_PROXY and CA files merged in. Its output, exit status and death by signal come
out unchanged. When it fails, what the tunnel saw go wrong is printed on stderr.

Exit status: the command's own; 125 when agentproxy itself fails, 126 when the
command cannot be executed, 127 when it is not found.`,
		define: func(flags *pflag.FlagSet) action {
			var t tunnelFlags
			t.define(flags)
			return func(ctx context.Context, args []string) error { return runExec(ctx, t, args) }
		},
	}
}

func runExec(ctx context.Context, flags tunnelFlags, argv []string) error {
	if len(argv) == 0 {
		return hint(errors.New("exec needs a command"), "agentproxy exec -- curl -sS https://example.com/")
	}
	options, err := flags.options()
	if err != nil {
		return err
	}
	id := rand.Text()
	tunnel, run, err := attach.Enter(ctx, options, id)
	if err != nil {
		return err
	}
	sayNotice(tunnel)
	environ := os.Environ()
	described, err := describe(tunnel, environ)
	if err != nil {
		return err
	}
	described.Run = id
	result, err := wrap.Run(wrap.NewPlan(wrap.Input{Argv: argv, Environ: environ, Tunnel: described}))
	if err != nil {
		return err
	}
	if !result.OK() {
		// The command's failure is its own; that ours could not be fetched would
		// only distract from it.
		if failures, err := run.Failures(ctx); err == nil {
			sayFailures(failures)
		}
	}
	run.Close()
	wrap.Exit(result)
	return nil
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
	own := filepath.Join(t.Dir, ca.CertFile)
	if len(t.Record.CAs) > 0 {
		own = bundle.Path
	}
	return env.Tunnel{
		URL: t.URL(), Host: "127.0.0.1", Port: strconv.Itoa(t.Record.Port),
		StateDir: t.Dir, CA: own, Bundle: bundle.Path,
		JavaStore: store, JavaStorePassword: trust.JVMPassword, Wgetrc: wgetrc,
	}, nil
}

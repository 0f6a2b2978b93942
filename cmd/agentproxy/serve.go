package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os/signal"
	"strings"
	"syscall"

	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/daemon"
	"github.com/agentproxy/agentproxy/proxy/front"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/spf13/pflag"
)

func serveCommand() *command {
	return &command{
		name:  "serve",
		short: "Serve the tunnel in the foreground, for a service manager",
		examples: `
  agentproxy serve --port 3128                   # until interrupted; exec finds it
  agentproxy serve --config ./ci.toml            # with the policy of this file`,
		long: "serve logs to stderr as JSON lines and never leaves when idle. SIGTERM and SIGINT end it.",
		define: func(flags *pflag.FlagSet) action {
			t := tunnelFlags{anywhere: true}
			t.define(flags)
			port := flags.Int("port", 0, "listen on this `PORT` of 127.0.0.1 (default: front.port, or a free one)")
			return func(ctx context.Context, proc *process, _ []string) error {
				options, err := t.options(proc)
				if err != nil {
					return err
				}
				if *port < 0 || *port > 65535 {
					return hint(fmt.Errorf("--port: %d is not a port", *port), "agentproxy serve --port 3128")
				}
				return runServe(ctx, proc, options, *port)
			}
		},
	}
}

func runServe(ctx context.Context, proc *process, options attach.Options, port int) error {
	if t, err := attach.Find(ctx, options); err == nil {
		return hint(fmt.Errorf("a tunnel for this configuration already runs on 127.0.0.1:%d (pid %d)", t.Record.Port, t.Record.PID), "agentproxy down")
	}
	start, err := attach.Wanted(ctx, options)
	if err != nil {
		return err
	}
	if port != 0 {
		start.Config.Front.Port = port
	}
	return foreground(ctx, proc, daemon.Options{Start: start, Tools: toolsOf(ctx, proc, start.Config), Readme: readme(proc)})
}

// foreground runs a daemon in this process until it is told to stop.
func foreground(ctx context.Context, proc *process, o daemon.Options) error {
	dir, err := rundir.Open(proc.Getenv)
	if err != nil {
		return err
	}
	release, err := rundir.Lock(dir.Path)
	if err != nil {
		return err
	}
	o.Dir, o.Stay = dir.Path, true
	o.HangUp = !isTerminal(proc.In) // else it is the terminal's end, and ours
	o.Log = slog.New(slog.NewJSONHandler(proc.Err, nil))
	ready := o.Ready
	o.Ready = func(r *rundir.Record) {
		release()
		if ready != nil {
			ready(r)
		}
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return daemon.Run(ctx, o)
}

// credentialsVariable holds user:password for egress; not a flag, because argv
// is readable by everybody.
const credentialsVariable = "AGENTPROXY_EGRESS_CREDENTIALS"

func egressCommand() *command {
	return &command{
		name:  "egress",
		short: "Serve the same egress to other machines",
		examples: `
  AGENTPROXY_EGRESS_CREDENTIALS=ci:s3cret agentproxy egress --listen 10.0.0.5:3128
  AGENTPROXY_EGRESS_CREDENTIALS=ci:s3cret agentproxy egress --listen :3128 --tls egress.internal  # an https:// proxy`,
		long: `
Clients set egress.upstream = "http://ci:s3cret@10.0.0.5:3128", and name a copy of this
machine's agent-proxy-ca.crt in egress.extra_roots. egress requires credentials and
reads them from the environment. Without --tls they cross the network in clear text.`,
		define: func(flags *pflag.FlagSet) action {
			t := tunnelFlags{anywhere: true}
			t.define(flags)
			listen := flags.String("listen", "", "`ADDRESS:PORT` to listen at (required)")
			name := flags.String("tls", "", "speak TLS to clients, with a certificate for this host `NAME`")
			return func(ctx context.Context, proc *process, _ []string) error {
				options, err := t.options(proc)
				if err != nil {
					return err
				}
				return runEgress(ctx, proc, options, *listen, *name)
			}
		},
	}
}

func runEgress(ctx context.Context, proc *process, options attach.Options, listen, tlsName string) error {
	const example = credentialsVariable + "=user:password agentproxy egress --listen :3128"
	if _, _, err := net.SplitHostPort(listen); err != nil {
		return hint(errors.New("egress needs --listen address:port"), example)
	}
	user, password, ok := strings.Cut(proc.Getenv(credentialsVariable), ":")
	if !ok || user == "" || password == "" {
		return hint(fmt.Errorf("egress needs user:password in %s", credentialsVariable), example)
	}
	start, err := attach.Wanted(ctx, options)
	if err != nil {
		return err
	}
	o := daemon.Options{Start: start}
	o.Key, o.Listen = "egress-"+o.Key, listen
	o.Authorize = func(u, p string) bool { return front.SameCredentials(u, p, user, password) }
	o.Ready = func(r *rundir.Record) { proc.say("egress on port %d", r.Port) }
	if tlsName != "" {
		o.WrapListener = func(l net.Listener, authority *ca.Authority) (net.Listener, error) {
			leaf, err := authority.Config(tlsName)
			if err != nil {
				return nil, err
			}
			own := leaf.Clone()
			own.NextProtos = []string{"http/1.1"}
			return tls.NewListener(l, own), nil
		}
	}
	return foreground(ctx, proc, o)
}

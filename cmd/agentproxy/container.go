package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/wrap/plan"
	"github.com/spf13/pflag"
)

func containerArgsCommand() *command {
	return &command{
		name:  "container-args",
		args:  "[FLAG...] {docker | podman} {run | build} | buildah build | --compose SERVICE...",
		short: "Print the arguments that take a container through the tunnel",
		examples: `
  docker run $(agentproxy container-args docker run) debian curl -sS https://example.com/  # adds by hand what exec adds
  docker compose -f compose.yaml -f <(agentproxy container-args --compose web worker) up   # services of a Compose file`,
		long: `
This prints one argument a line. None needs quoting. It is for scripts and Compose:
exec adds the arguments by itself, unless you choose a network or publish ports.

The files of a build are secrets, which leave nothing in the image. exec hands the
engine a copy of your Dockerfile in which every step asks for them. In a Dockerfile
that must work without exec, a step asks like this:

  ARG SSL_CERT_FILE=/run/agentproxy-ca-bundle.crt
  RUN --mount=type=secret,id=agentproxy-ca-bundle.crt,mode=0444,target=/run/agentproxy-ca-bundle.crt curl …

An engine on another machine, in a virtual machine, or with a network of its own
cannot reach this machine's tunnel. container-args then says so.`,
		define: func(flags *pflag.FlagSet) action {
			var c containerArgs
			c.define(flags)
			flags.BoolVar(&c.json, "json", false, "print a JSON array")
			flags.BoolVar(&c.compose, "compose", false, "print a Compose file that gives these services the same; read it after your own")
			return func(ctx context.Context, proc *process, args []string) error { return c.run(ctx, proc, args) }
		},
	}
}

type containerArgs struct {
	tunnelFlags
	json, compose bool
}

func (c *containerArgs) check(args []string) error {
	switch {
	case c.compose && c.json:
		return hint(errors.New("--compose prints YAML, not JSON"), "agentproxy container-args --compose web")
	case c.compose && len(args) == 0:
		return hint(errors.New("--compose needs the names of services"), "agentproxy container-args --compose web")
	case c.compose:
		return nil
	case len(args) != 2 || !slices.Contains([]string{"docker run", "docker build", "podman run", "podman build", "buildah build"}, strings.Join(args, " ")):
		return hint(errors.New("container-args needs an engine and run or build"), "agentproxy container-args docker run")
	}
	return nil
}

func (c *containerArgs) run(ctx context.Context, proc *process, args []string) error {
	if err := c.check(args); err != nil {
		return err
	}
	services := args
	if c.compose {
		args = []string{"docker", "run"}
	}
	options, tunnel, err := c.attach(ctx, proc)
	if err != nil {
		return err
	}
	planned, err := planFor(ctx, proc, options, tunnel, args...)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(planned.Arguments, func(a plan.Arguments) bool { return a.Told })
	if i < 0 {
		return hint(errors.New(strings.Join(planned.Never, "; ")), "agentproxy container-args --help")
	}
	insert := planned.Arguments[i].Insert
	if i := slices.IndexFunc(insert, func(s string) bool { return strings.ContainsAny(s, " \t\n") }); i >= 0 {
		return fmt.Errorf("%q would need quoting; set AGENT_PROXY_STATE_DIR to a directory without spaces", insert[i])
	}
	switch {
	case c.compose:
		printCompose(proc.Out, services, insert)
		return nil
	case c.json:
		return printJSON(proc.Out, insert)
	}
	fmt.Fprintln(proc.Out, strings.Join(insert, "\n"))
	return nil
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

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/profiles/env"
	"github.com/agentproxy/agentproxy/wrap"
	"github.com/agentproxy/agentproxy/wrap/container"
	"github.com/spf13/pflag"
)

func containerArgsCommand() *command {
	return &command{
		name:  "container-args",
		args:  "[flags] {docker | podman} {run | build} | buildah build | --compose <service>...",
		short: "Print what a container or its build is given",
		examples: `
  docker run $(agentproxy container-args docker run) debian curl -sS https://example.com/  # by hand what exec adds
  docker compose -f compose.yaml -f <(agentproxy container-args --compose web worker) up   # services of a Compose file`,
		long: `
One argument a line, none of which needs quoting. exec adds them by itself, unless
you choose a network or publish ports; this is for scripts and Compose.

The files of a build are secrets, which leave nothing in the image. exec hands the
engine a copy of your Dockerfile in which every step asks for them; in one of your
own that is to work without exec, a step asks so:

  ARG SSL_CERT_FILE=/run/agentproxy-ca-bundle.crt
  RUN --mount=type=secret,id=agentproxy-ca-bundle.crt,mode=0444,target=/run/agentproxy-ca-bundle.crt curl …

An engine on another machine, in a virtual machine, or with a network of its own
cannot reach this machine's tunnel; for some of these the answer names another.`,
		define: func(flags *pflag.FlagSet) action {
			var c containerArgs
			c.define(flags)
			flags.BoolVar(&c.json, "json", false, "print a JSON array")
			flags.BoolVar(&c.compose, "compose", false, "print a Compose file that gives these services the same, to be read behind your own")
			return func(ctx context.Context, args []string) error { return c.run(ctx, args) }
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

func (c *containerArgs) run(ctx context.Context, args []string) error {
	if err := c.check(args); err != nil {
		return err
	}
	services := args
	if c.compose {
		args = []string{"docker", "run"}
	}
	options, tunnel, err := c.attach(ctx)
	if err != nil {
		return err
	}
	plan, err := planned(ctx, options, tunnel, args)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(plan.Arguments, func(a wrap.Arguments) bool { return a.Told })
	if i < 0 {
		return hint(errors.New(strings.Join(plan.Never, "; ")), "agentproxy container-args --help")
	}
	insert := plan.Arguments[i].Insert
	if i := slices.IndexFunc(insert, func(s string) bool { return strings.ContainsAny(s, " \t\n") }); i >= 0 {
		return fmt.Errorf("%q would need quoting; set AGENT_PROXY_STATE_DIR to a directory without spaces", insert[i])
	}
	switch {
	case c.compose:
		printCompose(os.Stdout, services, insert)
		return nil
	case c.json:
		return json.NewEncoder(os.Stdout).Encode(insert)
	}
	fmt.Println(strings.Join(insert, "\n"))
	return nil
}

// share is what a container that the command starts gets.
func (r *execution) share(ctx context.Context, t env.Tunnel) (*container.Share, error) {
	share, err := container.Prepare(ctx, container.Input{
		Contained: r.known.tools.Contained, Library: library(), World: r.known.world, Tunnel: t,
	})
	if err != nil {
		return nil, err
	}
	r.known.machine.Save() // the engine may have been asked for its version
	r.steps = share.Tools
	return share, nil
}

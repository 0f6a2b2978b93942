package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

func containerArgsCommand() *command {
	return &command{
		name:  "container-args",
		args:  "[flags] {docker | podman | buildah} {run | build}",
		short: "Print what a container or its build is given",
		examples: `
  docker run $(agentproxy container-args docker run) debian curl -sS https://example.com/  # by hand what exec adds
  agentproxy container-args --json podman build  # the same for a program`,
		long: `
One argument a line, none of which needs quoting. exec adds them by itself, unless
you choose a network or publish ports; this is for scripts and Compose.

A build under BuildKit takes no mount from outside. It gets the roots as a secret,
which leaves nothing in the image, where a step of the Dockerfile asks for it:

  RUN --mount=type=secret,id=agentproxy-ca,target=/etc/ssl/certs/ca-certificates.crt apt-get update

An engine on another machine cannot reach this one's tunnel.`,
		define: func(flags *pflag.FlagSet) action {
			var t tunnelFlags
			t.define(flags)
			asJSON := flags.Bool("json", false, "print a JSON array")
			return func(ctx context.Context, args []string) error { return containerArgs(ctx, t, args, *asJSON) }
		},
	}
}

// remoteEngine are the variables that name an engine elsewhere.
var remoteEngine = map[string]string{"docker": "DOCKER_HOST", "podman": "CONTAINER_HOST", "buildah": "CONTAINER_HOST"}

func containerArgs(ctx context.Context, flags tunnelFlags, args []string, asJSON bool) error {
	if len(args) != 2 || remoteEngine[args[0]] == "" || args[1] != "run" && args[1] != "build" {
		return hint(errors.New("container-args needs an engine and run or build"), "agentproxy container-args docker run")
	}
	variable := remoteEngine[args[0]]
	if engine := os.Getenv(variable); engine != "" && !strings.HasPrefix(engine, "unix:") {
		return hint(fmt.Errorf("%s names an engine that cannot reach this machine's tunnel", variable), "env -u %s agentproxy container-args %s %s", variable, args[0], args[1])
	}
	options, tunnel, err := flags.attach(ctx)
	if err != nil {
		return err
	}
	plan, err := planned(options, tunnel, args)
	if err != nil {
		return err
	}
	var insert []string
	for _, a := range plan.Arguments {
		if a.Told {
			insert = append(insert, a.Insert...)
		}
	}
	if args[0] == "docker" && args[1] == "build" {
		insert = append(insert, "--secret=id=agentproxy-ca,src="+plan.Fact("bundle"))
	}
	if i := slices.IndexFunc(insert, func(s string) bool { return strings.ContainsAny(s, " \t\n") }); i >= 0 {
		return fmt.Errorf("%q would need quoting; set AGENT_PROXY_STATE_DIR to a directory without spaces", insert[i])
	}
	if asJSON {
		return json.NewEncoder(os.Stdout).Encode(insert)
	}
	fmt.Println(strings.Join(insert, "\n"))
	return nil
}

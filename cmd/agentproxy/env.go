package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/profiles/env"
	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/shell"
	"github.com/agentproxy/agentproxy/wrap/plan"
	"github.com/spf13/pflag"
)

func envCommand() *command {
	return &command{
		name:  "env",
		short: "Print the environment that leads through the tunnel",
		examples: `
  eval "$(agentproxy env)"                         # this shell, until it ends; "agentproxy hook" keeps it up to date
  agentproxy env --explain                         # every value that changes, and why
  agentproxy env --format fish | source            # the same in fish
  agentproxy env --format github >>"$GITHUB_ENV"   # the later steps of a GitHub job`,
		long: `
This is what exec gives to a command that no profile covers, without the run's own
identity. It starts the tunnel when none runs. Formats beside those of shells:

  github   for the file that $GITHUB_ENV names
  dotenv   NAME='value', for .env files
  docker   for docker run --env-file, with --network host
  json     one object; null for a variable that is to be unset`,
		define: func(flags *pflag.FlagSet) action {
			var f envFlags
			f.define(flags)
			flags.StringVar(&f.format, "format", "sh", "print assignments in this `FORMAT`: "+strings.Join(formatNames(), ", "))
			flags.StringVar(&f.format, "shell", "sh", "the same as --format, with a `SHELL`")
			flags.BoolVar(&f.explain, "explain", false, "print every value with its reason")
			flags.BoolVar(&f.json, "json", false, "print the changes with their reasons as JSON")
			return func(ctx context.Context, proc *process, _ []string) error {
				return runEnv(ctx, proc, f)
			}
		},
		flagValues: map[string]func(*process) []string{"format": values(formatNames()...), "shell": values(shell.Names()...)},
	}
}

type envFlags struct {
	tunnelFlags
	format        string
	explain, json bool
}

func runEnv(ctx context.Context, proc *process, f envFlags) error {
	i := slices.IndexFunc(envFormats, func(other envFormat) bool { return other.name == f.format })
	sh, isShell := shell.Named(f.format)
	if i < 0 && !isShell {
		return hint(fmt.Errorf("--format is %s, not %q", strings.Join(formatNames(), ", "), f.format), "agentproxy env --help")
	}
	if f.explain && f.json {
		return hint(errors.New("--json holds the reasons already"), "agentproxy env --json")
	}
	options, err := f.options(proc)
	if err != nil {
		return err
	}
	_, planned, err := shellPlan(ctx, proc, options)
	if err != nil {
		return err
	}
	switch {
	case f.json:
		return printJSON(proc.Out, planned.Changes)
	case f.explain:
		printChanges(proc.Out, planned.Changes)
	case i >= 0:
		printEnvironment(proc, envFormats[i], edits(planned.Changes))
	default:
		fmt.Fprint(proc.Out, sh.Assignments(edits(planned.Changes)))
	}
	return nil
}

// shellPlan is what is changed for a shell, from which anything may be started.
func shellPlan(ctx context.Context, proc *process, options attach.Options) (*attach.Tunnel, plan.Plan, error) {
	tunnel, err := attached(ctx, proc, options)
	if err != nil {
		return nil, plan.Plan{}, err
	}
	planned, err := planFor(ctx, proc, options, tunnel)
	return tunnel, planned, err
}

// edits are the changes in the form that shells get.
func edits(changes []plan.Change) []env.Edit {
	var list []env.Edit
	for _, c := range changes {
		list = append(list, env.Edit{Name: c.Name, Value: c.Value, Unset: c.Action == "remove", Reason: c.Reason})
	}
	return list
}

func namedShell(name string) (shell.Shell, error) {
	sh, ok := shell.Named(name)
	if !ok {
		return sh, hint(fmt.Errorf("%q is none of the shells %s", name, strings.Join(shell.Names(), ", ")), "agentproxy hook --help")
	}
	return sh, nil
}

// printChanges shows each variable that is changed, and why.
func printChanges(w io.Writer, changes []plan.Change) {
	sign := map[string]string{"add": "+", "change": "~", "remove": "-"}
	for _, c := range changes {
		text := c.Name
		if c.Action != "remove" {
			text += "=" + c.Value
		}
		fmt.Fprintf(w, "%s %s\n      # %s\n", sign[c.Action], text, c.Reason)
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/agentproxy/agentproxy/profiles"
	"github.com/agentproxy/agentproxy/wrap/classify"
	"github.com/agentproxy/agentproxy/wrap/learned"
	"github.com/spf13/pflag"
)

func profileCommand() *command {
	return &command{
		name:  "profile",
		short: "Show what is known about tools",
		examples: `
  agentproxy profile show npm              # what npm gets under exec, and which of its settings lead elsewhere
  agentproxy profile check ./mytool.txtar  # checks a profile and runs its examples`,
		long: `
A profile says what one tool needs to go through the tunnel. Yours are files in
$XDG_CONFIG_HOME/agentproxy/profiles. One with the name of ours replaces it.`,
		verbs: []*command{
			{
				name:  "profile list",
				short: "List the tools that have a profile",
				examples: `
  agentproxy profile list           # name and summary, a line each
  agentproxy profile list --json    # for programs`,
				define: func(flags *pflag.FlagSet) action {
					asJSON := flags.Bool("json", false, "print JSON")
					return func(_ context.Context, proc *process, _ []string) error {
						return listProfiles(proc, *asJSON)
					}
				},
			},
			{
				name:  "profile show",
				args:  "TOOL",
				short: "Print a tool's profile",
				examples: `
  agentproxy profile show npm       # by the profile's name, or by a command's
  agentproxy profile show base      # what every command gets`,
				define: func(*pflag.FlagSet) action {
					return oneArg("profile show", "a tool", "agentproxy profile list", showProfile)
				},
				values: func(proc *process, words []string) []string {
					if len(words) > 0 {
						return nil
					}
					return library(proc).Names()
				},
			},
			{
				name:  "profile check",
				args:  "FILE",
				short: "Check a profile and run its examples",
				examples: `
  agentproxy profile check ./mytool.txtar                          # file, line and column of what is wrong
  agentproxy profile check ~/.config/agentproxy/profiles/my.txtar  # one of yours`,
				define: func(*pflag.FlagSet) action {
					return oneArg("profile check", "a file", "agentproxy profile check --help", checkProfile)
				},
			},
			{
				name:  "profile learned",
				short: "List the changes that helped after a failure",
				examples: `
  agentproxy profile learned            # by tool and project; they are made from the start since then
  agentproxy profile learned --forget   # forget all of them`,
				define: func(flags *pflag.FlagSet) action {
					asJSON := flags.Bool("json", false, "print JSON")
					forget := flags.Bool("forget", false, "forget all of them")
					return func(_ context.Context, proc *process, _ []string) error {
						return listLearned(proc, *asJSON, *forget)
					}
				},
			},
		},
	}
}

// profileRow is one profile in the list.
type profileRow struct {
	Name     string   `json:"name"`
	Summary  string   `json:"summary"`
	Commands []string `json:"commands,omitempty"`
	// File is the user's, "" for one of ours.
	File string `json:"file,omitempty"`
	// Never is set for a tool that cannot work, with what to do instead.
	Never string `json:"never,omitempty"`
}

func listProfiles(proc *process, asJSON bool) error {
	all := library(proc)
	var rows []profileRow
	for _, name := range all.Names() {
		p, err := all.Named(name)
		if err != nil {
			return err
		}
		row := profileRow{Name: name, Summary: p.Summary, Commands: p.Commands, Never: p.Never}
		if strings.Contains(p.File, "/") {
			row.File = p.File
		}
		rows = append(rows, row)
	}
	if asJSON {
		return printJSON(proc.Out, rows)
	}
	printProfiles(proc.Out, rows)
	return nil
}

// showProfile prints the file: it is written to be read.
func showProfile(proc *process, tool string) error {
	all := library(proc)
	_, data, err := all.Read(tool)
	if errors.Is(err, fs.ErrNotExist) {
		p, lookup := all.ForCommand(tool)
		if lookup != nil {
			return lookup
		}
		if p == nil {
			return hint(fmt.Errorf("no profile covers %q; it gets what every command gets", tool), "agentproxy profile show %s", profiles.BaseName)
		}
		_, data, err = all.Read(p.Name)
	}
	if err != nil {
		return err
	}
	_, err = proc.Out.Write(data)
	return err
}

func checkProfile(proc *process, file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	p, err := profiles.Parse(file, data)
	if err != nil {
		return err
	}
	if errs := classify.CheckExamples(library(proc), p); len(errs) > 0 {
		return errors.Join(errs...)
	}
	fmt.Fprintf(proc.Out, "%s: ok, %d rules, %d examples\n", file, len(p.Rules), len(p.Examples))
	return nil
}

func listLearned(proc *process, asJSON, forget bool) error {
	memory := learned.Open(stateDir(proc))
	if forget {
		n, err := memory.Drop(func(learned.Fix) bool { return true })
		if err == nil {
			fmt.Fprintf(proc.Out, "forgot %d\n", n)
		}
		return err
	}
	all := memory.All()
	if asJSON {
		return printJSON(proc.Out, append([]learned.Fix{}, all...))
	}
	printLearned(proc.Out, all)
	return nil
}

// printProfiles draws the list of profiles.
func printProfiles(w io.Writer, rows []profileRow) {
	for _, r := range rows {
		summary := r.Summary
		if r.Never != "" {
			summary += " (cannot go through a proxy)"
		}
		if r.File != "" {
			summary += " · " + r.File
		}
		fmt.Fprintf(w, "%-14s %s\n", r.Name, summary)
	}
}

// printLearned draws what helped after failures.
func printLearned(w io.Writer, all []learned.Fix) {
	if len(all) == 0 {
		fmt.Fprintln(w, "nothing has been learned yet")
	}
	for _, f := range all {
		fmt.Fprintf(w, "%-20s %-16s %s  (%s)\n", strings.TrimSpace(f.Tool+" "+f.Version), f.Class, f.Project, f.Since.Local().Format(time.DateOnly))
	}
}

package main

import (
	"context"
	"encoding/json"
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
		args:  "list | show <tool> | check <file> | learned",
		short: "Show what is known about tools",
		examples: `
  agentproxy profile show npm                    # what npm gets under exec, and which of its settings lead elsewhere
  agentproxy profile check ./mytool.txtar        # reads a profile, says where it is wrong, runs its examples`,
		long: `
learned lists the changes that helped after a failure and are made from the start
since then, by tool and project; learned --forget drops them all.

A profile says what one tool needs to go through the tunnel. Yours are files in
$XDG_CONFIG_HOME/agentproxy/profiles; one with the name of ours replaces it.`,
		define: func(flags *pflag.FlagSet) action {
			asJSON := flags.Bool("json", false, "with list and learned: print JSON")
			forget := flags.Bool("forget", false, "with learned: forget all of it")
			of := verbFlags{"list": {"json"}, "learned": {"json", "forget"}, "show": nil, "check": nil}
			return func(_ context.Context, proc *process, args []string) error {
				if len(args) > 0 {
					if err := of.check("profile", args[0], flags); err != nil {
						return err
					}
				}
				switch {
				case len(args) == 1 && args[0] == "list":
					return listProfiles(proc, *asJSON)
				case len(args) == 1 && args[0] == "learned":
					return listLearned(proc, *asJSON, *forget)
				case len(args) == 2 && args[0] == "show":
					return showProfile(proc, args[1])
				case len(args) == 2 && args[0] == "check":
					return checkProfile(proc, args[1])
				}
				return hint(errors.New("profile needs list, show <tool>, check <file> or learned"), "agentproxy profile list")
			}
		},
		values: func(proc *process, words []string) []string {
			switch {
			case len(words) == 0:
				return []string{"list", "show", "check", "learned"}
			case len(words) == 1 && words[0] == "show":
				return library(proc).Names()
			}
			return nil
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
		return json.NewEncoder(proc.Out).Encode(rows)
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
		return json.NewEncoder(proc.Out).Encode(append([]learned.Fix{}, all...))
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

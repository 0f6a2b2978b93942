package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/proxy/trust"
	"github.com/agentproxy/agentproxy/shell"
	"github.com/spf13/pflag"
)

func uninstallCommand() *command {
	return &command{
		name:     "uninstall",
		destroys: true,
		short:    "Undo everything that agentproxy has set up",
		examples: `
  agentproxy uninstall --dry-run                               # what would be undone
  agentproxy uninstall                                         # shows that, asks, and does it
  agentproxy uninstall --yes && rm "$(command -v agentproxy)"  # without a question, and the program too`,
		long: `
This takes the CA out of every store, and the hooks out of the shells' rc files and the
agents' settings. It then stops the tunnels and removes the state directory with the
CA's key. When a step fails (a store may want root), nothing after it is done. Your configuration
and profiles stay. Directories that are empty then go, too.`,
		define: func(flags *pflag.FlagSet) action {
			dryRun := flags.Bool("dry-run", false, "print what would be undone, and change nothing")
			yes := flags.BoolP("yes", "y", false, "do not ask")
			return func(ctx context.Context, proc *process, _ []string) error {
				return uninstall(ctx, proc, *dryRun, *yes)
			}
		},
	}
}

// undoing is a step of uninstall: what it comes to, and how it is done.
type undoing struct {
	what []string
	do   func(context.Context, *process) error
}

func uninstall(ctx context.Context, proc *process, dryRun, yes bool) error {
	steps, err := toUndo(ctx, proc)
	if err != nil {
		return err
	}
	defer sayWhatStays(proc, dryRun)
	if len(steps) == 0 {
		fmt.Fprintln(proc.Out, "nothing of agentproxy's is set up here")
		return nil
	}
	if dryRun || !yes {
		for _, s := range steps {
			for _, what := range s.what {
				fmt.Fprintf(proc.Out, "would %s\n", what)
			}
		}
	}
	if dryRun {
		return nil
	}
	if !yes {
		if err := confirmUninstall(proc); err != nil {
			return err
		}
	}
	for _, s := range steps {
		if err := s.do(ctx, proc); err != nil {
			return err
		}
	}
	return nil
}

func confirmUninstall(proc *process) error {
	if !isTerminal(proc.In) || !isTerminal(proc.Err) {
		return hint(errors.New("uninstall asks first, and here is nobody to answer"), "agentproxy uninstall --yes")
	}
	fmt.Fprint(proc.Err, "agentproxy: undo all of this? [y/N] ")
	answer, _ := bufio.NewReader(proc.In).ReadString('\n')
	if !strings.EqualFold(strings.TrimSpace(answer), "y") {
		return errors.New("nothing was undone")
	}
	return nil
}

// toUndo lists the steps, and changes nothing.
func toUndo(ctx context.Context, proc *process) (steps []undoing, err error) {
	for _, list := range []func(context.Context, *process) ([]undoing, error){undoStores, undoShells, undoAgents, undoTunnels, undoState} {
		more, err := list(ctx, proc)
		if err != nil {
			return nil, err
		}
		for _, s := range more {
			if len(s.what) > 0 {
				steps = append(steps, s)
			}
		}
	}
	return steps, nil
}

func undoStores(_ context.Context, proc *process) ([]undoing, error) {
	t := trusting{proc: proc, all: true, dryRun: true}
	if err := t.open("remove"); err != nil {
		return nil, err
	}
	all, _ := trust.Stores()
	places, err := t.places(all)
	if err != nil {
		return nil, err
	}
	step := undoing{do: removeStores}
	for _, p := range places {
		r, would, err := t.manager.WouldRemove(p)
		if would || err != nil && r.Managed {
			step.what = append(step.what, fmt.Sprintf("take the CA out of %s (%s)", p.Path, p.Store))
		}
	}
	return []undoing{step}, nil
}

func removeStores(ctx context.Context, proc *process) error {
	t := trusting{proc: proc, all: true}
	if err := t.open("remove"); err != nil {
		return err
	}
	defer t.release()
	return t.remove(ctx)
}

func undoShells(_ context.Context, proc *process) (steps []undoing, err error) {
	home, err := rundir.Home(proc.Getenv)
	if err != nil {
		return nil, err
	}
	for _, sh := range shell.Shells() {
		if path := sh.RCPath(home, proc.Getenv); shell.HasHook(path) || shell.HasBackup(path) {
			steps = append(steps, undoing{[]string{"take the hook out of " + path}, func(_ context.Context, proc *process) error {
				return removeHook(proc, hookFlags{rc: path}, nil)
			}})
		}
	}
	return steps, nil
}

func undoAgents(_ context.Context, proc *process) (steps []undoing, err error) {
	for _, a := range codingAgents {
		path, err := a.path(proc)
		if err != nil {
			return nil, err
		}
		if a.holds(proc, path) || shell.HasBackup(path) {
			steps = append(steps, undoing{[]string{"take the hook out of " + path}, func(_ context.Context, proc *process) error {
				return removeAgent(proc, a, "")
			}})
		}
	}
	script, err := agentScript(proc, installedShellName)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(script); err == nil {
		steps = append(steps, undoing{[]string{"remove " + script}, func(context.Context, *process) error {
			err := os.Remove(script)
			tidy(proc, filepath.Dir(script))
			return err
		}})
	}
	return steps, nil
}

func undoTunnels(ctx context.Context, proc *process) ([]undoing, error) {
	all, err := attach.All(ctx, proc.Getenv)
	step := undoing{do: func(ctx context.Context, proc *process) error {
		_, err := stopRunning(ctx, proc)
		return err
	}}
	for _, t := range all {
		step.what = append(step.what, fmt.Sprintf("stop the tunnel on 127.0.0.1:%d", t.Record.Port))
	}
	return []undoing{step}, err
}

// formerAgentShell is where the script for agents was once, in the state directory.
const formerAgentShell = "agent-shell"

// What earlier versions have left, beside what is registered by who writes it.
var _ = rundir.Register(formerAgentShell, "wgetrc*", "pulse-*")

func undoState(_ context.Context, proc *process) (steps []undoing, err error) {
	dirs, _, err := rundir.Usable(proc.Getenv)
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		if len(entries) == 0 || slices.ContainsFunc(entries, func(e os.DirEntry) bool { return rundir.IsRegistered(e.Name()) }) {
			steps = append(steps, undoing{[]string{"remove " + dir + ", with the CA's key and all that is remembered"}, func(_ context.Context, proc *process) error {
				return removeState(proc, dir)
			}})
		}
	}
	return steps, nil
}

// removeState removes what is ours from a state directory, and it when nothing is left.
func removeState(proc *process, dir string) error {
	if err := rundir.RemovePublic(dir); err != nil {
		return err
	}
	former := filepath.Join(dir, formerAgentShell)
	if _, err := os.Stat(former); err == nil {
		fmt.Fprintf(proc.Out, "take %s out of agents' settings that name it: it is removed\n", former)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	left := 0
	for _, e := range entries {
		if !rundir.IsRegistered(e.Name()) {
			left++
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	if left > 0 {
		fmt.Fprintf(proc.Out, "removed what is ours from %s; %d other entries stay\n", dir, left)
		return nil
	}
	if err := os.Remove(dir); err != nil {
		return err
	}
	fmt.Fprintf(proc.Out, "removed %s\n", dir)
	tidy(proc, filepath.Dir(dir))
	return nil
}

// sayWhatStays names what is the user's, and what settings made by hand may name.
func sayWhatStays(proc *process, dryRun bool) {
	script, err := agentScript(proc, agentShellName)
	if err != nil {
		return
	}
	if _, err := os.Stat(script); err == nil {
		fmt.Fprintf(proc.Out, "%s stays: without agentproxy it runs an agent's commands as they are; before you remove it, take this out of the settings that you made by hand: \"CLAUDE_CODE_SHELL_PREFIX\": %s\n", script, quoted(script))
	}
	if file, err := config.Path("", proc.Getenv); err == nil && !dryRun {
		if _, err := os.Stat(file); err == nil {
			fmt.Fprintf(proc.Out, "%s stays: it is yours\n", file)
		}
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/shell"
	"github.com/spf13/pflag"
)

func uninstallCommand() *command {
	return &command{
		name:     "uninstall",
		destroys: true,
		short:    "Undo everything that was ever set up",
		examples: `
  agentproxy uninstall                           # stores, rc files, tunnels, the CA and all that is remembered
  agentproxy uninstall && rm "$(command -v agentproxy)"  # and the program`,
		long: `
In this order: the CA leaves every store that it was installed in, the blocks leave
the rc files of bash, zsh, fish and sh, the tunnels stop, and the state directory goes
with the CA's key. When a store cannot be mended (it may want root) nothing after it
is done. Your configuration and profiles stay.`,
		define: func(*pflag.FlagSet) action {
			return func(ctx context.Context, proc *process, args []string) error {
				if err := noArgs("uninstall", args); err != nil {
					return err
				}
				return uninstall(ctx, proc)
			}
		},
	}
}

func uninstall(ctx context.Context, proc *process) error {
	t := trusting{proc: proc, all: true}
	if err := t.open("remove"); err != nil {
		return err
	}
	err := t.remove(ctx)
	t.release()
	if err != nil {
		return err
	}
	home, err := rundir.Home(proc.Getenv)
	if err != nil {
		return err
	}
	for _, sh := range shell.Shells() {
		path := sh.RCPath(home, proc.Getenv)
		if changed, err := shell.RemoveHook(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		} else if changed {
			fmt.Fprintln(proc.Out, rcSentence("remove", path, true))
		}
	}
	if err := stopTunnels(ctx, proc); err != nil {
		return err
	}
	return removeState(proc)
}

// formerAgentShell is where the script for agents was once, in the state directory.
const formerAgentShell = "agent-shell"

// What earlier versions have left, beside what is registered by who writes it.
var _ = rundir.Register(formerAgentShell, "wgetrc*", "pulse-*")

func removeState(proc *process) error {
	dir, err := rundir.Open(proc.Getenv)
	if err != nil {
		return err
	}
	if err := rundir.RemovePublic(dir.Path); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir.Path)
	if err != nil {
		return err
	}
	former := filepath.Join(dir.Path, formerAgentShell)
	if _, err := os.Stat(former); err == nil {
		fmt.Fprintf(proc.Out, "agents whose settings name %s (agentproxy hook, before it moved) need that taken out: it is removed\n", former)
	}
	if script, err := agentShell(proc); err == nil {
		if _, err := os.Stat(script); err == nil {
			fmt.Fprintf(proc.Out, "%s stays, for agents whose settings name it: without agentproxy it runs their commands as they are\n", script)
		}
	}
	left := 0
	for _, e := range entries {
		if !rundir.IsRegistered(e.Name()) {
			left++
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir.Path, e.Name())); err != nil {
			return err
		}
	}
	if left > 0 {
		fmt.Fprintf(proc.Out, "removed what is ours from %s; %d entries there are not\n", dir.Path, left)
		return nil
	}
	fmt.Fprintf(proc.Out, "removed %s\n", dir.Path)
	return os.Remove(dir.Path)
}

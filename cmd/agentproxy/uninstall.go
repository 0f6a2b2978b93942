package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/shell"
	"github.com/spf13/pflag"
)

func uninstallCommand() *command {
	return &command{
		name:  "uninstall",
		short: "Undo everything that was ever set up",
		examples: `
  agentproxy uninstall                           # stores, rc files, tunnels, the CA and all that is remembered
  agentproxy uninstall && rm "$(command -v agentproxy)"  # and the program`,
		long: `
In this order: the CA leaves every store that it was installed in, the blocks leave
the rc files of bash, zsh, fish and sh, the tunnels stop, and the state directory goes
with the CA's key. When a store cannot be mended (it may want root) nothing after it
is done. Your configuration and profiles stay.`,
		define: func(*pflag.FlagSet) action {
			return func(ctx context.Context, args []string) error {
				if err := noArgs("uninstall", args); err != nil {
					return err
				}
				return uninstall(ctx)
			}
		},
	}
}

func uninstall(ctx context.Context) error {
	t := trusting{all: true}
	if err := t.open("remove"); err != nil {
		return err
	}
	err := t.remove(ctx)
	t.release()
	if err != nil {
		return err
	}
	home, err := rundir.Home(os.Getenv)
	if err != nil {
		return err
	}
	for _, sh := range shell.Shells() {
		path := sh.RCPath(home, os.Getenv)
		if changed, err := shell.RemoveHook(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		} else if changed {
			fmt.Println(rcSentence("remove", path, true))
		}
	}
	if err := stopTunnels(ctx); err != nil {
		return err
	}
	return removeState()
}

// ours is what we put into a state directory. It may be one that the user has
// chosen, with files of theirs, so nothing else is removed.
var ours = []string{
	"agent-proxy-ca.*", "ca-bundle*", "java-truststore*", "endpoint-*", "daemon-*.log*", "pulse*", "lock", "audit.log*",
	"versions.json", "learned.json", "verdicts.json", "README.md", "wgetrc*", "files", "preload", "nss", "trust",
	"containers", "shells-*", shimsName, agentShellName,
}

func removeState() error {
	dir, err := rundir.Open(os.Getenv)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir.Path)
	if err != nil {
		return err
	}
	script := filepath.Join(dir.Path, agentShellName)
	if _, err := os.Stat(script); err == nil {
		fmt.Printf("agents whose settings name %s (agentproxy hook) need that taken out: it is removed\n", script)
	}
	left := 0
	for _, e := range entries {
		known := slices.ContainsFunc(ours, func(pattern string) bool { ok, err := filepath.Match(pattern, e.Name()); return ok && err == nil })
		if !known {
			left++
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir.Path, e.Name())); err != nil {
			return err
		}
	}
	if left > 0 {
		fmt.Printf("removed what is ours from %s; %d entries there are not\n", dir.Path, left)
		return nil
	}
	fmt.Printf("removed %s\n", dir.Path)
	return os.Remove(dir.Path)
}

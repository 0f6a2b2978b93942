package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/shell"
)

// shimsName is the directory of shims, in the state directory.
const shimsName = "shims"

// writeShims makes the directory of shims anew and returns it: a script for each
// installed command with a profile.
func writeShims(exe string) (string, error) {
	state, err := rundir.Open(os.Getenv)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(state.Path, shimsName)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	commands := wrappable()
	for _, c := range commands {
		if err := rundir.WriteFile(filepath.Join(dir, c), []byte(shell.Shim(exe, dir, c)), 0o700); err != nil {
			return "", err
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, e := range entries { // of what is no longer installed
		if !slices.Contains(commands, e.Name()) {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return "", err
			}
		}
	}
	return dir, nil
}

// leaveShims takes the shims out of our PATH, so that a command is the real one,
// for us and for what we start.
func leaveShims() {
	states, err := rundir.Candidates(os.Getenv)
	if err != nil {
		return // there is nowhere to have them
	}
	entries := strings.Split(os.Getenv("PATH"), ":")
	others := slices.DeleteFunc(slices.Clone(entries), func(entry string) bool {
		return filepath.Base(entry) == shimsName && slices.Contains(states, filepath.Dir(entry))
	})
	if len(others) < len(entries) {
		os.Setenv("PATH", strings.Join(others, ":"))
	}
}

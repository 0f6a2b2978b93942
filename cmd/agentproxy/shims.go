package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/proxy/atomicfile"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/shell"
)

// shimsName is the directory of shims, in the state directory.
const shimsName = "shims"

var _ = rundir.Register(shimsName)

// writeShims makes the directory of shims anew and returns it: a script for each
// installed command with a profile.
func writeShims(proc *process, exe string) (string, error) {
	state, err := rundir.Open(proc.Getenv)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(state.Path, shimsName)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	commands := wrappable(proc)
	for _, c := range commands {
		if err := atomicfile.Write(filepath.Join(dir, c), []byte(shell.Shim(exe, dir, c)), 0o700); err != nil {
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

// withoutShims is PATH without the directories of shims: behind a shim, a command is
// the real one.
func withoutShims(getenv func(string) string) string {
	path := getenv("PATH")
	states, err := rundir.Candidates(getenv)
	if err != nil {
		return path // there is nowhere to have them
	}
	return strings.Join(slices.DeleteFunc(strings.Split(path, ":"), func(entry string) bool {
		return filepath.Base(entry) == shimsName && slices.Contains(states, filepath.Dir(entry))
	}), ":")
}

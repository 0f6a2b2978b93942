package daemon

import (
	"os"
	"path/filepath"
	"strconv"

	"github.com/agentproxy/agentproxy/proxy/peer"
	"github.com/agentproxy/agentproxy/proxy/rundir"
)

// shellsDir holds a file for each shell whose environment goes through the
// tunnel, by its process number: somebody may type a command there that needs
// it. A tunnel that takes the place of a crashed one finds them.
func shellsDir(dir, key string) string { return filepath.Join(dir, "shells-"+key) }

// KeepFor keeps the tunnel with this key from leaving while a shell lives.
func KeepFor(dir, key string, shell int) error {
	shells := shellsDir(dir, key)
	if err := os.MkdirAll(shells, 0o700); err != nil {
		return err
	}
	return rundir.WriteFile(filepath.Join(shells, strconv.Itoa(shell)), []byte(peer.Started(shell)), 0o600)
}

// shells counts those that live, and forgets the others.
func (d *daemon) shells() int {
	shells := shellsDir(d.options.Dir, d.options.Key)
	entries, _ := os.ReadDir(shells)
	n := 0
	for _, e := range entries {
		file := filepath.Join(shells, e.Name())
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue // being written
		}
		started, err := os.ReadFile(file)
		switch {
		case err != nil:
		case peer.Lives(pid, string(started)):
			n++
		default:
			os.Remove(file)
		}
	}
	return n
}

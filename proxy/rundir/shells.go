package rundir

import (
	"os"
	"path/filepath"
	"strconv"

	"github.com/agentproxy/agentproxy/proxy/atomicfile"
	"github.com/agentproxy/agentproxy/proxy/peer"
)

// shellsDir holds a file for each shell whose environment goes through the
// tunnel, by its process number: somebody may type a command there that needs
// it. A tunnel that takes the place of a crashed one finds them.
func shellsDir(dir, key string) string { return filepath.Join(dir, shellsName(key)) }

func shellsName(key string) string { return "shells-" + key }

// KeepFor keeps the tunnel with this key from leaving while a shell lives.
func KeepFor(dir, key string, shell int) error {
	shells := shellsDir(dir, key)
	if err := MakeDir(shells); err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(shells, strconv.Itoa(shell)), []byte(peer.Started(shell)), 0o600)
}

// Shells counts the shells that live and keep the tunnel with this key, and
// forgets the others.
func Shells(dir, key string) int {
	shells := shellsDir(dir, key)
	entries, _ := os.ReadDir(shells)
	n := 0
	for _, e := range entries {
		file := filepath.Join(shells, e.Name())
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue // being written
		}
		started, err := ReadFile(file)
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

// ForgetShells removes what KeepFor has written for the tunnel with this key.
func ForgetShells(dir, key string) error { return os.RemoveAll(shellsDir(dir, key)) }

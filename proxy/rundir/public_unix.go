//go:build unix

package rundir

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/agentproxy/agentproxy/proxy/atomicfile"
	"golang.org/x/sys/unix"
)

// publicBases are where root's public files go, the first that can be had: the
// directory for programs' state (FHS 3.0 §5.8), which the mount namespaces of
// engines and sandboxes keep, where /run and /tmp are often their own; then that of
// running programs (§3.15), and shared memory. Each holds a directory for each
// state directory.
var publicBases = []string{"/var/lib/agentproxy", "/run/agentproxy", "/dev/shm/agentproxy-public"}

// ownerFile says in a public directory which state directory it belongs to.
const ownerFile = "state"

// Public is the directory for what commands are pointed at: certificates,
// truststores, hooks, files for tools; nothing secret. It is the state directory
// itself, but for root: what root starts may become another user (su, runuser,
// setpriv), who cannot pass through a directory of mode 0700. There others may
// read, and nobody else may write.
func Public(dir string) string {
	if os.Geteuid() != 0 {
		return dir
	}
	for _, base := range publicBases {
		if path, err := publicIn(base, dir); err == nil {
			return path
		}
	}
	return dir
}

// RemovePublic removes what Public has made for a state directory.
func RemovePublic(dir string) error {
	var errs []error
	for _, base := range publicBases {
		path := publicPath(base, dir)
		if owner, err := ReadFile(filepath.Join(path, ownerFile)); err == nil && string(owner) == dir {
			errs = append(errs, os.RemoveAll(path))
			os.Remove(base) // if it was the last
		}
	}
	return errors.Join(errs...)
}

func publicPath(base, dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return filepath.Join(base, hex.EncodeToString(sum[:6]))
}

func publicIn(base, dir string) (string, error) {
	path := publicPath(base, dir)
	owner := filepath.Join(path, ownerFile)
	if is, err := ReadFile(owner); err == nil && string(is) == dir {
		return path, nil
	}
	if _, err := os.Stat(filepath.Dir(base)); err != nil {
		return "", err
	}
	if err := makeDirs(path, 0o755); err != nil {
		return "", err
	}
	sweepPublic(base)
	return path, atomicfile.Write(owner, []byte(dir), 0o600)
}

// sweepPublic removes the directories of state directories that are no more.
func sweepPublic(base string) {
	entries, _ := os.ReadDir(base)
	for _, e := range entries {
		path := filepath.Join(base, e.Name())
		dir, err := ReadFile(filepath.Join(path, ownerFile))
		if err != nil {
			continue // being made
		}
		if _, err := os.Lstat(string(dir)); errors.Is(err, fs.ErrNotExist) {
			os.RemoveAll(path)
		}
	}
}

// makeDirs makes a directory and those above it, with this mode whatever the umask
// is, and refuses one that is there and not ours.
func makeDirs(dir string, mode fs.FileMode) error {
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := makeDirs(filepath.Dir(dir), mode); err != nil {
			return err
		}
		if err := os.Mkdir(dir, mode); err == nil {
			err = os.Chmod(dir, mode)
			if err != nil {
				return err
			}
		} else if !errors.Is(err, fs.ErrExist) {
			return err
		}
	} else {
		return nil
	}
	f, err := openDir(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return judge(f, dir, unix.S_IFDIR, 0o022)
}

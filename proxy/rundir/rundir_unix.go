//go:build unix

package rundir

import (
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// minFree is what a tunnel needs for its CA, bundle, truststore and log.
const minFree = 4 << 20

// checkWritable tells a read-only or full file system without writing to it.
func checkWritable(path string) error {
	if err := unix.Access(path, unix.W_OK|unix.X_OK); err != nil {
		return &fs.PathError{Op: "write", Path: path, Err: err}
	}
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return nil // a file system that cannot say is tried
	}
	if uint64(st.Bavail)*uint64(st.Bsize) < minFree {
		return &fs.PathError{Op: "write", Path: path, Err: unix.ENOSPC}
	}
	return nil
}

// Lock takes the directory's lock, waiting for it, and returns the release.
func Lock(dir string) (release func(), err error) {
	f, err := OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err := retry(func() (int, error) { return 0, unix.Flock(int(f.Fd()), unix.LOCK_EX) }); err != nil {
		f.Close()
		return nil, &fs.PathError{Op: "lock", Path: f.Name(), Err: err}
	}
	return func() { f.Close() }, nil
}

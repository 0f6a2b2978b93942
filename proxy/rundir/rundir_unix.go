//go:build unix

package rundir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// CheckPrivate refuses a path that is a symbolic link, belongs to another user
// or has more permissions than mode. The error is an *UnsafeError.
func CheckPrivate(path string, mode fs.FileMode) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		return &UnsafeError{path, "is a symbolic link", "rm " + path}
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		return &UnsafeError{path, fmt.Sprintf("belongs to user %d, not to you (%d)", st.Uid, os.Geteuid()),
			fmt.Sprintf("sudo chown -R %d %s", os.Geteuid(), path)}
	}
	if got := info.Mode().Perm(); got&^mode != 0 {
		return &UnsafeError{path, fmt.Sprintf("has mode %04o, which lets others in", got), fmt.Sprintf("chmod %04o %s", mode, path)}
	}
	return nil
}

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
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, &fs.PathError{Op: "lock", Path: f.Name(), Err: err}
	}
	return func() { f.Close() }, nil
}

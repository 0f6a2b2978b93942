//go:build unix

package rundir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Everything in a state directory decides what a command runs or trusts, and some
// of the directories stand where every user may make one (/dev/shm, /tmp). So
// nothing there is believed before its owner is known: a file is opened through
// the descriptor of its directory, and both are judged by what was opened, not by
// their names. Children are given names all the same; those stay what they were
// as long as nobody else can rename what leads to them, which is judged as well.

// UnsafeError says that something of ours could have been made or changed by
// somebody else, and what to type about it. Nothing is read from it then.
type UnsafeError struct {
	Path, Problem, Fix string
}

func (e *UnsafeError) Error() string {
	return fmt.Sprintf("%s %s; fix it with: %s", e.Path, e.Problem, e.Fix)
}

// ownDirectory is the advice where the place itself is the problem.
const ownDirectory = "export AGENT_PROXY_STATE_DIR=<a directory of your own>"

// maxLinks is how many symbolic links may lead to a directory, as for the kernel
// (path_resolution(7)).
const maxLinks = 40

// CheckDir refuses a state directory that is a symbolic link, belongs to somebody
// else, lets anybody else in, or lies where others could put another in its
// place. The error is an *UnsafeError; fs.ErrNotExist says that there is none,
// and that one could be made there.
func CheckDir(dir string) error {
	f, err := openDir(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return judge(f, dir, unix.S_IFDIR, 0o077)
}

// CheckPrivate is CheckDir for a file that only its owner may read.
func CheckPrivate(path string) error {
	f, err := open(path, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return judge(f, path, unix.S_IFREG, 0o077)
}

// OpenFile opens a file of a state directory; flag and perm are os.OpenFile's.
// It refuses one that is no regular file, belongs to another user or can be
// written by one, and one in such a directory, and it never waits for a pipe's
// other end. The path is absolute.
func OpenFile(path string, flag int, perm fs.FileMode) (*os.File, error) {
	f, err := open(path, flag, perm)
	if err != nil {
		return nil, err
	}
	if err := judge(f, path, unix.S_IFREG, 0o022); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// ReadFile reads a file that OpenFile would open.
func ReadFile(path string) ([]byte, error) {
	f, err := OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// State is a word that changes with a file that OpenFile would open: its inode, its
// size, and when its content and its inode were changed last. Programs cannot set the
// latter (inode(7)), so that a file is known to be as it was written without being read.
func State(path string) (string, error) {
	f, err := OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return "", &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return fmt.Sprintf("%d:%d:%d:%d", st.Ino, st.Size, unix.TimespecToNsec(st.Mtim), unix.TimespecToNsec(st.Ctim)), nil
}

// open opens a file through its directory's descriptor.
func open(path string, flag int, perm fs.FileMode) (*os.File, error) {
	dir, err := openDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	if err := judge(dir, dir.Name(), unix.S_IFDIR, 0o022); err != nil {
		return nil, err
	}
	const always = unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC | unix.O_NOCTTY
	fd, err := retry(func() (int, error) {
		return unix.Openat(int(dir.Fd()), filepath.Base(path), flag|always, uint32(perm.Perm()))
	})
	switch {
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.EMLINK): // the latter on FreeBSD
		return nil, isLink(path)
	case errors.Is(err, unix.ENXIO): // a pipe without a reader, a socket
		return nil, &UnsafeError{path, "is not a regular file", "rm " + path}
	case err != nil:
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// openDir opens a directory to which nobody else can have led us.
func openDir(dir string) (*os.File, error) {
	if !filepath.IsAbs(dir) {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: errors.New("not an absolute path")}
	}
	dir = filepath.Clean(dir)
	if err := checkAncestors(filepath.Dir(dir)); err != nil {
		return nil, err
	}
	fd, err := retry(func() (int, error) {
		return unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
		if info, lerr := os.Lstat(dir); lerr == nil && info.Mode()&fs.ModeSymlink != 0 {
			return nil, isLink(dir)
		}
	}
	if errors.Is(err, unix.EACCES) {
		return nil, judgeName(dir, err)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	return os.NewFile(uintptr(fd), dir), nil
}

// judgeName says whose a directory is that may not even be opened.
func judgeName(dir string, denied error) error {
	var st unix.Stat_t
	if unix.Lstat(dir, &st) == nil && int(st.Uid) != os.Geteuid() {
		return belongs(dir, st.Uid)
	}
	return &fs.PathError{Op: "open", Path: dir, Err: denied}
}

func isLink(path string) error { return &UnsafeError{path, "is a symbolic link", "rm " + path} }

func belongs(path string, owner uint32) error {
	return &UnsafeError{path, fmt.Sprintf("belongs to user %d, not to you (%d)", owner, os.Geteuid()), ownDirectory}
}

// judge judges what has been opened: it must be of the kind, ours, and without
// the permissions for others.
func judge(f *os.File, path string, kind uint32, others uint32) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	mode := uint32(st.Mode)
	switch {
	case mode&unix.S_IFMT != kind:
		return &UnsafeError{path, "is not a regular file", "rm " + path}
	case int(st.Uid) != os.Geteuid():
		return belongs(path, st.Uid)
	case mode&others != 0:
		perm := mode & 0o7777
		return &UnsafeError{path, fmt.Sprintf("has mode %04o, which lets others in", perm), fmt.Sprintf("chmod %04o %s", perm&^others, path)}
	}
	return nil
}

// checkAncestors refuses a directory that somebody else could replace, or lead to
// another place: each part of the way must belong to us, to root or to whoever
// owns "/" (in a user namespace root may be unknown), and only its owner may
// rename what is in it, be it for want of permission or by the sticky bit
// (inode(7)). What is not there yet is no harm.
func checkAncestors(dir string) error {
	var root unix.Stat_t
	if err := unix.Stat("/", &root); err != nil {
		return &fs.PathError{Op: "stat", Path: "/", Err: err}
	}
	at, links := "/", 0
	for rest := parts(dir); len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		if name == ".." {
			at = filepath.Dir(at)
			continue
		}
		next := filepath.Join(at, name)
		var st unix.Stat_t
		if err := unix.Lstat(next, &st); err != nil {
			return &fs.PathError{Op: "lstat", Path: next, Err: err}
		}
		if st.Uid != 0 && st.Uid != root.Uid && int(st.Uid) != os.Geteuid() {
			return belongs(next, st.Uid)
		}
		if st.Mode&unix.S_IFMT == unix.S_IFLNK {
			target, err := os.Readlink(next)
			if err != nil {
				return err
			}
			if links++; links > maxLinks {
				return &fs.PathError{Op: "open", Path: dir, Err: unix.ELOOP}
			}
			rest = append(parts(target), rest...)
			if filepath.IsAbs(target) {
				at = "/"
			}
			continue
		}
		if writableByOthers(&st) {
			return &UnsafeError{next, fmt.Sprintf("has mode %04o, so that others can replace what is in it", st.Mode&0o7777), ownDirectory}
		}
		at = next
	}
	return nil
}

// writableByOthers reports whether others can rename what is in a directory. Many
// systems give each user a group of their own, and a umask that lets it write;
// such a directory of ours is as good as private.
func writableByOthers(st *unix.Stat_t) bool {
	mode := uint32(st.Mode)
	if mode&unix.S_ISVTX != 0 {
		return false
	}
	private := int(st.Uid) == os.Geteuid() && int(st.Gid) == os.Getegid()
	return mode&0o002 != 0 || mode&0o020 != 0 && !private
}

func parts(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// CheckForeign refuses a file that neither we nor root, but somebody else on this
// machine could have written: one that another program told us to trust.
func CheckForeign(path string) error {
	if !filepath.IsAbs(path) {
		return &fs.PathError{Op: "open", Path: path, Err: errors.New("not an absolute path")}
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	for _, p := range []string{path, real} { // who can lead us elsewhere, and who can replace what is there
		if err := checkAncestors(filepath.Dir(p)); err != nil {
			return err
		}
	}
	var st unix.Stat_t
	if err := unix.Stat(real, &st); err != nil {
		return &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return belongs(path, st.Uid)
	}
	if st.Mode&0o022 != 0 {
		return &UnsafeError{path, fmt.Sprintf("has mode %04o, which lets others write", st.Mode&0o7777), "chmod go-w " + path}
	}
	return nil
}

// retry repeats a system call that a signal has interrupted.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, syscall.EINTR) {
			return n, err
		}
	}
}

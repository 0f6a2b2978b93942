package capture

import (
	"errors"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// What an isolated command opens is the kernel's to allow, by Landlock, wherever that may
// allow it. In the directories above ours it allows only what was there when the command
// began; the rest is opened here.

// opening is a call that opens a file.
type opening struct {
	at          int
	named       string
	flags, mode uint64
}

func (call *notification) opening(n naming) (o opening, err error) {
	o.at = unix.AT_FDCWD
	if n.at != none {
		o.at = int(int32(call.args[n.at]))
	}
	if n.creates {
		o.flags, o.mode = unix.O_CREAT|unix.O_WRONLY|unix.O_TRUNC, call.args[n.path+1]
	} else {
		o.flags, o.mode = uint64(uint32(call.args[n.flags])), call.args[n.flags+1]
	}
	o.named, err = call.text(call.args[n.path])
	return o, err
}

// openGuarded opens what Landlock does not allow the command though it is not ours, and
// lets the kernel decide about all else.
func (s *supervisor) openGuarded(call *notification, n naming) {
	o, err := call.opening(n)
	if err != nil || o.named == "" {
		s.calls.goOn(call)
		return
	}
	path, exists := call.destination(o)
	if path == "" || s.Guard.isAllowed(path) || !call.isOurUser() {
		s.calls.goOn(call)
		return
	}
	if exists && o.flags&unix.O_CREAT != 0 && o.flags&unix.O_EXCL != 0 {
		s.calls.fail(call, unix.EEXIST)
		return
	}
	ours, err := s.Guard.open(path, o)
	switch {
	case errors.Is(err, errOurs):
		s.calls.goOn(call)
		return
	case err != nil:
		s.calls.fail(call, err)
		return
	}
	defer unix.Close(ours)
	if !exists { // ours is not the command's mask
		mask, _ := strconv.ParseUint(call.status("Umask:"), 8, 32)
		if err := unix.Fchmod(ours, uint32(o.mode&^mask)); err != nil {
			s.calls.fail(call, err)
			return
		}
	}
	s.give(call, ours, o.flags)
}

// destination is the true path of what is to be opened, "" where that is the kernel's to
// find out.
func (call *notification) destination(o opening) (path string, exists bool) {
	fd, err := call.resolve(o.at, o.named, unix.O_PATH|o.flags&unix.O_NOFOLLOW)
	rest := ""
	if errors.Is(err, unix.ENOENT) && o.flags&unix.O_CREAT != 0 {
		dir, name := filepath.Split(o.named)
		if name == "" || name == "." || name == ".." {
			return "", false
		}
		rest = name
		fd, err = call.resolve(o.at, dir+".", unix.O_PATH|unix.O_DIRECTORY)
	}
	if err != nil {
		return "", false
	}
	defer unix.Close(fd)
	path, err = truePath(fd)
	if err != nil {
		return "", false
	}
	return filepath.Join(path, rest), rest == ""
}

// isAllowed reports whether Landlock allows what is at a true path, or it is ours.
func (g *guard) isAllowed(path string) bool {
	entry := g.Wall.entry(path)
	if entry == "" {
		return false
	}
	id, ok := identifyEntry(entry)
	return ok && slices.Contains(g.Allowed, id) || slices.Contains(g.Wall.Behind, entry)
}

// errOurs says that a path leads into a directory of ours.
var errOurs = errors.New("it is ours")

// open opens what is at a true path, unless it has become another's. None of the
// directories that it lies in may be ours: ours may have got another name, but what is in
// them cannot be moved out, as Landlock allows no file more than it had.
func (g *guard) open(path string, o opening) (int, error) {
	dir, err := openDirectory(filepath.Dir(path))
	if err != nil {
		return -1, err
	}
	defer unix.Close(dir)
	ours, err := g.leadsTo(dir)
	if err != nil {
		return -1, err
	}
	if ours {
		return -1, errOurs
	}
	name := filepath.Base(path)
	if path == "/" {
		name = "."
	}
	how := unix.OpenHow{Flags: o.flags | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_BENEATH}
	if o.flags&unix.O_CREAT != 0 || o.flags&unix.O_TMPFILE == unix.O_TMPFILE {
		how.Mode = o.mode & 0o7777
	}
	fd, err := unix.Openat2(dir, name, &how)
	if err != nil {
		return -1, err
	}
	if id, ok := identify(descriptorPath(fd)); !ok || slices.Contains(g.Ours, id) {
		unix.Close(fd)
		return -1, errOurs
	}
	return fd, nil
}

func openDirectory(path string) (int, error) {
	return unix.Openat2(unix.AT_FDCWD, path, &unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS})
}

// leadsTo reports whether a directory is behind the wall, by the directories that it
// lies in.
func (g *guard) leadsTo(dir int) (bool, error) {
	at, err := unix.FcntlInt(uintptr(dir), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return false, err
	}
	defer func() { unix.Close(at) }()
	for last := (fileID{}); ; {
		var st unix.Stat_t
		if err := unix.Fstat(at, &st); err != nil {
			return false, err
		}
		id := idOf(&st)
		switch {
		case slices.Contains(g.Ours, id):
			return true, nil
		case id == last: // the root is its own
			return false, nil
		}
		last = id
		up, err := unix.Openat(at, "..", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return false, err
		}
		unix.Close(at)
		at = up
	}
}

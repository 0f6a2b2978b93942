package capture

import (
	"fmt"
	"os"
	"path"
	"unsafe"

	"golang.org/x/sys/unix"
)

// roots are the files and directories that the command sees in the place of others, as
// mounts would have it.
type roots struct {
	files, dirs map[fileID]string
	// added are the names of what is in one of our directories alone.
	added map[string]bool
}

// fileID identifies one by what it is, whatever its path.
type fileID struct {
	Dev uint64 `json:"dev"`
	Ino uint64 `json:"ino"`
}

func idOf(st *unix.Stat_t) fileID { return fileID{uint64(st.Dev), st.Ino} }

func identify(path string) (fileID, bool) {
	var st unix.Stat_t
	err := unix.Stat(path, &st)
	return idOf(&st), err == nil
}

// identifyEntry identifies a link by itself.
func identifyEntry(path string) (fileID, bool) {
	var st unix.Stat_t
	err := unix.Lstat(path, &st)
	return idOf(&st), err == nil
}

func findRoots(mounts []Mount) roots {
	r := roots{map[fileID]string{}, map[fileID]string{}, map[string]bool{}}
	directories := map[string]string{}
	for _, m := range mounts {
		id, ok := identify(m.Target)
		info, err := os.Stat(m.Source)
		switch {
		case !ok || err != nil:
		case info.IsDir():
			r.dirs[id] = m.Source
			r.add(m)
			directories[m.Target] = m.Source
		default:
			r.files[id] = m.Source
			// It lies over what is in our directory, too.
			if dir := directories[path.Dir(m.Target)]; dir != "" {
				if id, ok := identify(path.Join(dir, path.Base(m.Target))); ok {
					r.files[id] = m.Source
				}
			}
		}
	}
	return r
}

func (r *roots) add(m Mount) {
	entries, _ := os.ReadDir(m.Source) // what cannot be read, nobody finds there
	for _, e := range entries {
		if _, err := os.Lstat(path.Join(m.Target, e.Name())); err != nil {
			r.added[e.Name()] = true
		}
	}
}

// naming says which arguments of a call name a file.
type naming struct {
	// at is the directory's, path the path's, flags that of the flags, and answer that
	// of what the call writes to. One may be none.
	at, path, flags, answer int
	// exempt are flags with which a call is not for us, unless the command is isolated:
	// those of it are nearly all.
	exempt uint32
	// creates is true for a call that is for us only then.
	creates bool
	// ask makes the call here, on another file, and returns what the call writes and
	// returns. A call without it opens a file.
	ask func(source string, call *notification, n naming) ([]byte, int, error)
}

const none = -1

// notRead are flags of what is not opened for its content.
const notRead = unix.O_ACCMODE | unix.O_CREAT | unix.O_PATH

// namings are the calls that look at files; amd64 has more.
var namings = map[uint32]naming{
	unix.SYS_OPENAT:     {at: 0, path: 1, flags: 2, exempt: notRead},
	unix.SYS_NEWFSTATAT: {at: 0, path: 1, flags: 3, exempt: unix.AT_EMPTY_PATH, answer: 2, ask: stat},
	unix.SYS_STATX:      {at: 0, path: 1, flags: 2, exempt: unix.AT_EMPTY_PATH, answer: 4, ask: statX},
	unix.SYS_FACCESSAT:  {at: 0, path: 1, flags: none, answer: none, ask: mayRead},
	unix.SYS_FACCESSAT2: {at: 0, path: 1, flags: 3, exempt: unix.AT_EMPTY_PATH, answer: none, ask: mayRead},
	unix.SYS_READLINKAT: {at: 0, path: 1, flags: none, answer: 2, ask: readLink},
	unix.SYS_GETXATTR:   {at: none, path: 0, flags: none, answer: none, ask: noAttribute},
	unix.SYS_LGETXATTR:  {at: none, path: 0, flags: none, answer: none, ask: noAttribute},
}

func statBy(source string, flags int) ([]byte, int, error) {
	var st unix.Stat_t
	err := unix.Fstatat(unix.AT_FDCWD, source, &st, flags)
	return unsafe.Slice((*byte)(unsafe.Pointer(&st)), unsafe.Sizeof(st)), 0, err
}

func stat(source string, call *notification, _ naming) ([]byte, int, error) {
	return statBy(source, int(int32(call.args[3])))
}

func statAll(source string, _ *notification, _ naming) ([]byte, int, error) { return statBy(source, 0) }

func lstatAll(source string, _ *notification, _ naming) ([]byte, int, error) {
	return statBy(source, unix.AT_SYMLINK_NOFOLLOW)
}

func statX(source string, call *notification, _ naming) ([]byte, int, error) {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, source, int(int32(call.args[2])), int(uint32(call.args[3])), &st)
	return unsafe.Slice((*byte)(unsafe.Pointer(&st)), unsafe.Sizeof(st)), 0, err
}

// mayRead is for files that nobody but us may write to.
func mayRead(source string, call *notification, n naming) ([]byte, int, error) {
	mode := call.args[n.path+1]
	if mode&unix.W_OK != 0 {
		return nil, 0, unix.EACCES
	}
	return nil, 0, unix.Access(source, uint32(mode))
}

// noAttribute is so of files that we have made (xattr(7)).
func noAttribute(string, *notification, naming) ([]byte, int, error) { return nil, 0, unix.ENODATA }

func readLink(source string, call *notification, n naming) ([]byte, int, error) {
	size := int32(call.args[n.answer+1])
	if size <= 0 {
		return nil, 0, unix.EINVAL
	}
	target := make([]byte, min(size, unix.PathMax))
	length, err := unix.Readlink(source, target)
	return target[:max(length, 0)], length, err
}

// isOther reports whether a call asks about a file that cannot be one of ours, by its
// name: nearly all do, and a program may ask ten thousand times.
func (s *supervisor) isOther(call *notification) bool {
	n, ok := namings[uint32(call.nr)]
	if !ok || n.ask == nil {
		return false
	}
	named, err := call.text(call.args[n.path])
	return err != nil || !s.roots.added[path.Base(named)]
}

// look has a call that names a file act on the one that the command is to see there.
func (s *supervisor) look(call *notification) {
	n := namings[uint32(call.nr)]
	named, err := call.text(call.args[n.path])
	source := ""
	if err == nil && named != "" && call.isForContent(n) {
		source = s.source(call, n, named)
	}
	switch {
	case source == "" && n.ask == nil && s.Guard != nil:
		s.openGuarded(call, n)
	case source == "":
		s.calls.goOn(call)
	case n.ask == nil:
		s.open(call, source, call.args[n.flags])
	default:
		s.ask(call, n, source)
	}
}

// isForContent reports whether a call reads a file, or asks about one.
func (call *notification) isForContent(n naming) bool {
	return n.ask != nil || !n.creates && call.args[n.flags]&notRead == 0
}

// open gives the command a file of ours.
func (s *supervisor) open(call *notification, source string, flags uint64) {
	ours, err := unix.Open(source, unix.O_RDONLY|unix.O_CLOEXEC|int(flags)&(unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_NONBLOCK), 0)
	if err != nil {
		s.calls.fail(call, err)
		return
	}
	defer unix.Close(ours)
	s.give(call, ours, flags)
}

// give gives the command what it has opened, with those flags.
func (s *supervisor) give(call *notification, ours int, flags uint64) {
	number, err := s.calls.add(call, ours, flags&unix.O_CLOEXEC != 0)
	if err != nil {
		s.calls.fail(call, err)
		return
	}
	s.calls.succeed(call, number)
}

// ask answers what the command asks about a file with what is so of ours.
func (s *supervisor) ask(call *notification, n naming, source string) {
	answer, value, err := n.ask(source, call, n)
	if err == nil && n.answer != none {
		err = s.write(call, part{call.args[n.answer], answer})
	}
	if err != nil {
		s.calls.fail(call, err)
		return
	}
	s.calls.succeed(call, value)
}

// source returns what a call is to act on in the place of a path, "" for the path itself.
// The content of a file is another where ours has our roots; all else is asked only of
// those that nobody else has.
func (s *supervisor) source(call *notification, n naming, named string) string {
	at := unix.AT_FDCWD
	if n.at != none {
		at = int(int32(call.args[n.at]))
	}
	named = call.within(at, named)
	if id, ok := identify(named); ok && n.ask == nil {
		if source := s.roots.files[id] + s.roots.dirs[id]; source != "" {
			return source
		}
	}
	if !s.roots.added[path.Base(named)] {
		return ""
	}
	if id, ok := identify(path.Dir(named)); ok && s.roots.dirs[id] != "" {
		return path.Join(s.roots.dirs[id], path.Base(named))
	}
	return ""
}

// within is a path as the command's process sees it, from here.
func (call *notification) within(at int, named string) string {
	switch {
	case path.IsAbs(named):
		return fmt.Sprintf("/proc/%d/root%s", call.tid, named)
	case at == unix.AT_FDCWD:
		return fmt.Sprintf("/proc/%d/cwd/%s", call.tid, named)
	}
	return fmt.Sprintf("/proc/%d/fd/%d/%s", call.tid, at, named)
}

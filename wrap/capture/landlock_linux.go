package capture

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Versions of Landlock's interface (landlock(7)).
const (
	landlockNet   = 4 // rules on ports; Linux 6.7
	landlockScope = 6 // signals and abstract sockets; Linux 6.12
)

// landlockVersion is that of this kernel's interface, 0 for none.
func landlockVersion() int {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(version)
}

// scope lets the command signal nobody outside, nor reach abstract sockets there. An older
// kernel has no such thing; abstract sockets are the network namespace's all the same.
func scope() error {
	if landlockVersion() < landlockScope {
		return nil
	}
	return enforce(unix.LandlockRulesetAttr{Scoped: scoped}, nil)
}

const scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL

// Rights to what is in a file or directory. All others stay: to make, remove and rename
// is no way to see what is there.
const (
	rightsToRead = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	rightsToFile = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE
	rightsToAll  = rightsToRead | rightsToFile | unix.LANDLOCK_ACCESS_FS_REFER
)

// shut takes away what a network and mounts of its own would: connections of TCP that the
// command makes itself, processes outside, and what is in our directories. It wants a
// kernel with landlockNet.
func (i *Isolation) shut() error {
	version := landlockVersion()
	if version < landlockNet {
		return fmt.Errorf("isolate without namespaces: %w", errLandlock)
	}
	attr := unix.LandlockRulesetAttr{Handled_access_fs: rightsToAll, Handled_access_net: unix.LANDLOCK_ACCESS_NET_CONNECT_TCP}
	if version >= landlockScope {
		attr.Scoped = scoped
	}
	w := wallAround(i.State)
	return enforce(attr, func(ruleset int) error {
		for _, path := range w.open() {
			if err := allowBeneath(ruleset, path, i.rights(path)); err != nil {
				return err
			}
		}
		for _, path := range i.Kept {
			if err := allowBeneath(ruleset, path, rightsToRead); err != nil {
				return err
			}
		}
		return nil
	})
}

// errLandlock says what is missing where a command without namespaces cannot be isolated.
var errLandlock = errors.New("the kernel has no Landlock with rules for TCP, which came with Linux 6.7")

// rights are those to what does not lead to our directories. Root has none to write what
// the kernel starts programs by (core(5)).
func (i *Isolation) rights(path string) uint64 {
	if os.Geteuid() == 0 && (path == "/proc" || path == "/sys") {
		return rightsToRead
	}
	return rightsToAll
}

// enforce makes a ruleset, has rules added, and holds this thread to it.
func enforce(attr unix.LandlockRulesetAttr, rules func(ruleset int) error) error {
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return fmt.Errorf("make a Landlock ruleset: %w", errno)
	}
	defer unix.Close(int(fd))
	if rules != nil {
		if err := rules(int(fd)); err != nil {
			return err
		}
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return fmt.Errorf("enforce the Landlock ruleset: %w", errno)
	}
	return nil
}

// allowBeneath gives rights to a file, or to a directory and all that is in it. What has
// gone needs none.
func allowBeneath(ruleset int, path string, rights uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK: // what it leads to has rights of its own
		return nil
	case unix.S_IFDIR:
	default:
		rights &= rightsToFile
	}
	attr := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(fd)}
	if _, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&attr)), 0, 0, 0); errno != 0 {
		return fmt.Errorf("allow what is in %s: %w", path, errno)
	}
	return nil
}

// wall stands around directories that the command may not see into. Landlock knows no
// exception to what is allowed, so all is allowed that lies in the directories above
// them, but not these themselves: what is made there later the supervisor opens.
type wall struct {
	// Behind are the directories, and Above those that they lie in.
	Behind []string `json:"behind,omitempty"`
	Above  []string `json:"above,omitempty"`
}

// wallAround has the directories that are there, by their true paths.
func wallAround(dirs []string) (w wall) {
	for _, dir := range dirs {
		if real, err := filepath.EvalSymlinks(dir); err == nil && !slices.Contains(w.Behind, real) {
			w.Behind = append(w.Behind, real)
		}
	}
	w.Behind = slices.DeleteFunc(w.Behind, func(dir string) bool {
		return slices.ContainsFunc(w.Behind, func(other string) bool { return dir != other && isWithin(dir, other) })
	})
	for _, dir := range w.Behind {
		for above := filepath.Dir(dir); !slices.Contains(w.Above, above); above = filepath.Dir(above) {
			w.Above = append(w.Above, above)
		}
	}
	if len(w.Above) == 0 {
		w.Above = []string{"/"}
	}
	return w
}

// open are the paths of all that lies in the directories above, and leads to none behind.
func (w *wall) open() (paths []string) {
	for _, dir := range w.Above {
		entries, _ := os.ReadDir(dir) // what we may not list, the supervisor opens
		for _, e := range entries {
			if path := filepath.Join(dir, e.Name()); !slices.Contains(w.Above, path) && !slices.Contains(w.Behind, path) {
				paths = append(paths, path)
			}
		}
	}
	return paths
}

// entry is the path of what a true path leads to or into from the innermost directory
// above; "" for such a directory itself.
func (w *wall) entry(path string) string {
	if slices.Contains(w.Above, path) {
		return ""
	}
	innermost := "/"
	for _, dir := range w.Above {
		if isWithin(path, dir) && len(dir) > len(innermost) {
			innermost = dir
		}
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(path[len(innermost):], "/"), "/")
	return filepath.Join(innermost, name)
}

// isWithin reports whether a path is a directory's own, or of something in it.
func isWithin(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

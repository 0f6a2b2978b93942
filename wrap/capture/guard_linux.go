package capture

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// guard decides what an isolated command reaches that has no namespaces. Its supervisor
// does what the command asks for and never lets the kernel do it, which would look at the
// command's memory once more: by then it may say something else. Every socket for the
// internet is bound to lo, so that none leads out of the machine whatever is done with it.
type guard struct {
	// Wall is around our own directories, which Ours identifies, and Allowed is what
	// Landlock allows.
	Wall    wall     `json:"wall"`
	Ours    []fileID `json:"ours,omitempty"`
	Allowed []fileID `json:"allowed"`
	// Dirs are directories in which sockets are services'. Sockets and Abstract are those
	// that others had when the command began.
	Dirs     []string `json:"dirs"`
	Sockets  []fileID `json:"sockets,omitempty"`
	Abstract []string `json:"abstract,omitempty"`
	// Reach are ports of loopback that the command may connect to besides its own.
	Reach []uint16 `json:"reach,omitempty"`

	mu sync.Mutex
	// Serving are the sockets that the command's processes have begun to listen on.
	Serving []uint64 `json:"serving,omitempty"`
}

// newGuard looks at the machine as it is. It comes before the command's own look
// (Isolation.shut): what is made in between is not allowed here, and the supervisor
// opens it.
func newGuard(i *Isolation) *guard {
	g := &guard{Wall: wallAround(i.State), Dirs: append(slices.Clone(i.State), i.Emptied...), Reach: i.Reach}
	for _, socket := range namedSockets("/proc/net/unix") {
		if isAbstract(socket) {
			g.Abstract = append(g.Abstract, socket)
		}
	}
	for _, path := range g.Wall.Behind {
		if id, ok := identify(path); ok {
			g.Ours = append(g.Ours, id)
		}
	}
	for _, path := range g.Wall.open() {
		if id, ok := identifyEntry(path); ok {
			g.Allowed = append(g.Allowed, id)
		}
	}
	for _, path := range i.Sockets {
		if id, ok := identify(path); ok {
			g.Sockets = append(g.Sockets, id)
		}
	}
	return g
}

// serves takes note that a process of the command listens on a socket.
func (g *guard) serves(id fileID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !slices.Contains(g.Serving, id.Ino) {
		g.Serving = append(g.Serving, id.Ino)
	}
}

// allows reports whether an address of this machine is one that the command may connect
// to: one that is shared, or one at which the command alone listens.
func (g *guard) allows(to netip.AddrPort) bool {
	if slices.Contains(g.Reach, to.Port()) && to.Addr().IsLoopback() {
		return true
	}
	listening := listeners(to)
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(listening) > 0 && !slices.ContainsFunc(listening, func(inode uint64) bool { return !slices.Contains(g.Serving, inode) })
}

// listeners are the sockets that may accept a connection to an address (proc_net(5)).
func listeners(to netip.AddrPort) (inodes []uint64) {
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(table)
		if err != nil { // there is no IPv6
			continue
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) < 10 || fields[3] != "0A" {
				continue
			}
			at, ok := tableAddress(fields[1])
			if !ok || at.Port() != to.Port() || at.Addr() != to.Addr() && !at.Addr().IsUnspecified() {
				continue
			}
			if inode, err := strconv.ParseUint(fields[9], 10, 64); err == nil {
				inodes = append(inodes, inode)
			}
		}
	}
	return inodes
}

// tableAddress reads an address as the kernel's tables have it: words of the machine's
// own order in hexadecimal, and the port.
func tableAddress(text string) (netip.AddrPort, bool) {
	address, port, _ := strings.Cut(text, ":")
	number, err := strconv.ParseUint(port, 16, 16)
	if err != nil || len(address)%8 != 0 {
		return netip.AddrPort{}, false
	}
	var b []byte
	for ; address != ""; address = address[8:] {
		word, err := strconv.ParseUint(address[:8], 16, 32)
		if err != nil {
			return netip.AddrPort{}, false
		}
		b = binary.NativeEndian.AppendUint32(b, uint32(word))
	}
	addr, ok := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(addr.Unmap(), uint16(number)), ok
}

// isLocal reports whether an address is one of this machine's.
func isLocal(addr netip.Addr) bool {
	if addr.IsLoopback() {
		return true
	}
	own, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(own, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && prefix.Addr().Unmap() == addr
	})
}

// connectLocal connects a socket of AF_UNIX to one of the command's own: the sockets that
// others have are none. To the other side we are who has connected.
func (s *supervisor) connectLocal(call *notification, fd int, protocol string) error {
	name, err := call.localAddress()
	if err != nil {
		return err
	}
	kind := unix.SOCK_SEQPACKET // the other kind that there is (hostNetwork)
	if protocol == "UNIX-STREAM" {
		kind = unix.SOCK_STREAM
	}
	ours, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(ours)
	flags, err := call.flagsOf(fd)
	if err == nil && flags&unix.O_NONBLOCK != 0 {
		err = unix.SetNonblock(ours, true)
	}
	if err != nil {
		return err
	}
	if abstract, ok := strings.CutPrefix(name, "\x00"); ok {
		name = "@" + abstract // as the kernel shows it, and x/sys has it
		if abstract == "" || slices.Contains(s.Guard.Abstract, name) || strings.Contains(abstract, "\x00") {
			return unix.ECONNREFUSED
		}
		err = unix.Connect(ours, &unix.SockaddrUnix{Name: name})
	} else {
		err = s.connectPath(call, ours, name)
	}
	if err != nil {
		return err
	}
	return s.inPlace(call, ours, fd)
}

// connectPath connects to a socket in the file system, if it is the command's.
func (s *supervisor) connectPath(call *notification, ours int, name string) error {
	target, err := call.resolve(unix.AT_FDCWD, name, unix.O_PATH)
	if err != nil {
		return err
	}
	defer unix.Close(target)
	var st unix.Stat_t
	if err := unix.Fstat(target, &st); err != nil {
		return err
	}
	path, err := truePath(target)
	isForeign := err != nil || slices.Contains(s.Guard.Sockets, idOf(&st)) ||
		slices.ContainsFunc(s.Guard.Dirs, func(dir string) bool { return isWithin(path, dir) })
	switch {
	case isForeign:
		return unix.ECONNREFUSED
	case !call.isOurUser() && st.Mode&unix.S_IWOTH == 0: // we may more than it
		return unix.EACCES
	}
	return unix.Connect(ours, &unix.SockaddrUnix{Name: descriptorPath(target)})
}

// localAddress is the path of an AF_UNIX address, or a zero byte and the name of one that
// is abstract (unix(7)).
func (call *notification) localAddress() (string, error) {
	size := min(int(uint32(call.args[2])), unix.SizeofSockaddrUnix)
	b, err := call.read(call.args[1], size)
	switch {
	case err != nil:
		return "", err
	case len(b) <= 2 || binary.NativeEndian.Uint16(b) != unix.AF_UNIX:
		return "", unix.EINVAL
	}
	name := b[2:]
	if name[0] == 0 {
		return string(name), nil
	}
	name, _, _ = bytes.Cut(name, []byte{0})
	return string(name), nil
}

// resolve opens what the command's process sees at a path, as far as that leads through
// no link of proc(5) to what a process has open: here that would be what we have.
func (call *notification) resolve(at int, named string, flags uint64) (int, error) {
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_MAGICLINKS}
	if filepath.IsAbs(named) {
		if !call.isInOurRoot() {
			return -1, unix.EACCES
		}
		return unix.Openat2(unix.AT_FDCWD, named, &how)
	}
	dir, err := unix.Open(call.within(at, "."), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(dir)
	return unix.Openat2(dir, named, &how)
}

// isInOurRoot reports whether absolute paths are for the process what they are for us.
func (call *notification) isInOurRoot() bool {
	theirs, ok := identify(fmt.Sprintf("/proc/%d/root/", call.tid))
	ours, found := identify("/")
	return ok && found && ours == theirs
}

// isOurUser reports whether the process does with files as we may, and no less.
func (call *notification) isOurUser() bool {
	user, group := fmt.Sprint(os.Geteuid()), fmt.Sprint(os.Getegid())
	return call.status("Uid:") == user && call.status("Gid:") == group
}

// status is the last word of a line of proc_pid_status(5): of those with numbers of users
// and groups that is the one for files.
func (call *notification) status(name string) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", call.tid))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == name {
			return fields[len(fields)-1]
		}
	}
	return ""
}

// descriptorPath names what a descriptor of ours is of.
func descriptorPath(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

// truePath is the path of what is open.
func truePath(fd int) (string, error) {
	path, err := os.Readlink(descriptorPath(fd))
	if err == nil && !filepath.IsAbs(path) {
		err = unix.ENOENT
	}
	return path, err
}

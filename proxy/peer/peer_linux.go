package peer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Lookup asks the kernel by sock_diag(7) for the owner of the peer's socket. A
// kernel that has ever answered can tell: then there is no ErrUnknown any more.
func Lookup(c net.Conn) (Socket, error) { return diag.ask(c) }

func (d *diagnoser) ask(c net.Conn) (Socket, error) {
	local, remote, ok := addrs(c)
	if !ok {
		return Socket{}, ErrUnknown
	}
	s, err := d.lookup(local, remote)
	if errors.Is(err, ErrUnknown) && d.answers.Load() {
		if s, err = d.lookup(local, remote); errors.Is(err, ErrUnknown) {
			err = ErrGone
		}
	}
	return s, err
}

// diagnoser holds one netlink socket; requests are answered in order.
type diagnoser struct {
	mu sync.Mutex
	fd int // 0 when not open
	// answers is true once the kernel has answered about a connection.
	answers atomic.Bool
	// given is true when fd is of another network namespace: no other can be opened.
	given bool
}

var diag diagnoser

// Layout of struct inet_diag_msg (linux/inet_diag.h), after the netlink header.
const (
	diagRequestLen = unix.NLMSG_HDRLEN + 56
	diagUID        = unix.NLMSG_HDRLEN + 64
	diagInode      = unix.NLMSG_HDRLEN + 68
	diagReplyLen   = unix.NLMSG_HDRLEN + 72
)

func (d *diagnoser) lookup(local, remote netip.AddrPort) (Socket, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.open(); err != nil {
		return Socket{}, ErrUnknown
	}
	if err := unix.Sendto(d.fd, diagRequest(local, remote), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		d.close()
		return Socket{}, ErrUnknown
	}
	var reply [512]byte
	n, _, err := unix.Recvfrom(d.fd, reply[:], 0)
	if err != nil {
		d.close() // an answer that comes later must not be taken for the next one's
		return Socket{}, ErrUnknown
	}
	if n >= unix.NLMSG_HDRLEN+4 && binary.NativeEndian.Uint16(reply[4:]) == unix.NLMSG_ERROR {
		errno := -int32(binary.NativeEndian.Uint32(reply[unix.NLMSG_HDRLEN:]))
		if unix.Errno(errno) == unix.ENOENT {
			d.answers.Store(true)
			return Socket{}, ErrGone
		}
		return Socket{}, ErrUnknown
	}
	if n < diagReplyLen {
		return Socket{}, ErrUnknown
	}
	d.answers.Store(true)
	s := Socket{
		UID:   int(binary.NativeEndian.Uint32(reply[diagUID:])),
		Inode: binary.NativeEndian.Uint32(reply[diagInode:]),
	}
	if s.Inode == 0 { // what is left of a closed one says user 0, whosever it was
		return Socket{}, ErrGone
	}
	return s, nil
}

func (d *diagnoser) open() error {
	if d.fd != 0 {
		return nil
	}
	if d.given {
		return ErrUnknown
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return err
	}
	if err := setPatience(fd); err != nil {
		unix.Close(fd)
		return err
	}
	d.fd = fd
	return nil
}

// setPatience has a netlink socket wait no longer for an answer than one may take.
func setPatience(fd int) error {
	limit := unix.NsecToTimeval(int64(200 * time.Millisecond))
	return unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit)
}

func (d *diagnoser) close() {
	unix.Close(d.fd)
	d.fd = 0
}

// loopback is the number of lo's interface in every network namespace: with it sockets
// that are bound to lo are found, too.
const loopback = 1

// diagRequest is a netlink message with a struct inet_diag_req_v2 for one
// connection.
func diagRequest(local, remote netip.AddrPort) []byte {
	b := make([]byte, diagRequestLen)
	binary.NativeEndian.PutUint32(b[0:], diagRequestLen)
	binary.NativeEndian.PutUint16(b[4:], unix.SOCK_DIAG_BY_FAMILY)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST)
	req := b[unix.NLMSG_HDRLEN:]
	req[0], req[1] = unix.AF_INET, unix.IPPROTO_TCP
	if local.Addr().Is6() {
		req[0] = unix.AF_INET6
	}
	binary.NativeEndian.PutUint32(req[4:], ^uint32(0)) // any TCP state
	binary.BigEndian.PutUint16(req[8:], local.Port())
	binary.BigEndian.PutUint16(req[10:], remote.Port())
	copy(req[12:28], local.Addr().AsSlice())
	copy(req[28:44], remote.Addr().AsSlice())
	binary.NativeEndian.PutUint32(req[44:], loopback)
	for i := 48; i < 56; i++ {
		req[i] = 0xff // INET_DIAG_NOCOOKIE
	}
	return b
}

// Find returns a process that holds the socket. It reads the descriptors of
// every process of the socket's user, some milliseconds' work: ask only when
// something has gone wrong, or name the process that it is likely to be, which
// is asked first.
func Find(s Socket, likely int) (Process, error) {
	if s.Inode == 0 {
		return Process{}, ErrUnknown
	}
	want := fmt.Sprintf("socket:[%d]", s.Inode)
	if dir := fmt.Sprintf("/proc/%d", likely); likely != 0 && holds(dir, want) {
		return process(dir)
	}
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return Process{}, err
	}
	for _, dir := range dirs {
		if holds(dir, want) {
			return process(dir)
		}
	}
	return Process{}, ErrUnknown
}

// holds is false for another user's process, and for one that has gone.
func holds(dir, want string) bool {
	fds, _ := os.ReadDir(dir + "/fd")
	for _, fd := range fds {
		if link, err := os.Readlink(dir + "/fd/" + fd.Name()); err == nil && link == want {
			return true
		}
	}
	return false
}

func process(dir string) (Process, error) {
	pid, err := strconv.Atoi(filepath.Base(dir))
	if err != nil {
		return Process{}, err
	}
	name, _ := os.ReadFile(dir + "/comm")
	return Process{PID: pid, Name: strings.TrimSpace(string(name))}, nil
}

// Getenv returns a variable of the environment that the process started with.
func Getenv(pid int, name string) string {
	for entry := range strings.SplitSeq(Environ(pid), "\x00") {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// Environ returns the whole of it, each variable followed by a zero; "" when it
// cannot be read, as that of another user's process by any but root.
func Environ(pid int) string {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return string(raw)
}

// Exit waits for the end of a process, by pidfd_open(2): one that is no child of
// ours, and that nobody may have waited for.
type Exit struct{ fd int }

// WatchExit is to be followed by Close.
func WatchExit(pid int) Exit {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		fd = -1 // gone, or a kernel before 5.3
	}
	return Exit{fd}
}

// Wait returns when the process has ended, or after the limit.
func (e Exit) Wait(limit time.Duration) {
	until := time.Now().Add(limit)
	for left := limit; e.fd >= 0 && left > 0; left = time.Until(until) {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(e.fd), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		if n > 0 || err != nil && err != unix.EINTR {
			return
		}
	}
}

// Close ends the watch.
func (e Exit) Close() {
	if e.fd >= 0 {
		unix.Close(e.fd)
	}
}

// Parent returns the parent of a process, 0 when it cannot be told.
func Parent(pid int) int {
	parent, _ := strconv.Atoi(stat(pid, 4))
	return parent
}

// Started tells when a process did, in a way of the system's own: two processes
// that have the same number one after the other differ in it. "" when it is gone.
func Started(pid int) string { return stat(pid, 22) }

// Lives reports whether the process that started then is still there.
func Lives(pid int, started string) bool { return started != "" && started == Started(pid) }

// stat returns a field of /proc/PID/stat by its number in proc(5), from 3 on.
func stat(pid, field int) string {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The name in parentheses may hold anything, also spaces and parentheses.
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	if field -= 3; field >= len(fields) {
		return ""
	}
	return fields[field]
}

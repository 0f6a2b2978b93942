package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/agentproxy/agentproxy/proxy/capture/sockets"
	"golang.org/x/sys/unix"
)

// supervisor does for a command what its network would do, where it has none: it
// connects sockets of its own into the tunnel and puts them in the place of the
// command's, and gives it the files with our roots for those without. It is no jail:
// what does not connect is not asked about, and datagrams may go out.
//
// The kernel must let it see into the command's processes: it is an ancestor of them,
// as Yama asks for (ptrace(2)).
type supervisor struct {
	calls notifications
	supervision
	files, dirs map[fileID]string
	alive       *os.File
	wake        [2]*os.File
	handling    sync.WaitGroup
	ended       chan struct{}
}

// supervision is what a supervisor knows.
type supervision struct {
	// Ports are those whose connections are carried.
	Ports []uint16 `json:"ports"`
	// Forward and Names are the ports on loopback at which the tunnel serves connections
	// and questions for addresses.
	Forward uint16  `json:"forward"`
	Names   uint16  `json:"names"`
	Mounts  []Mount `json:"mounts,omitempty"`
}

// fileID identifies one by what it is, whatever its path.
type fileID struct{ dev, ino uint64 }

func identify(path string) (fileID, bool) {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return fileID{}, false
	}
	return fileID{uint64(st.Dev), st.Ino}, true
}

// supervise begins. The descriptor is the supervisor's from now on, and alive is the
// writing end of a pipe.
func supervise(fd int, alive *os.File, known supervision) (*supervisor, error) {
	s := &supervisor{calls: notifications(fd), supervision: known, files: map[fileID]string{}, dirs: map[fileID]string{}, alive: alive, ended: make(chan struct{})}
	var err error
	if s.wake[0], s.wake[1], err = os.Pipe(); err != nil {
		unix.Close(fd)
		alive.Close()
		return nil, err
	}
	for _, m := range known.Mounts {
		id, ok := identify(m.Target)
		if info, err := os.Stat(m.Source); ok && err == nil {
			if info.IsDir() {
				s.dirs[id] = m.Source
			} else {
				s.files[id] = m.Source
			}
		}
	}
	go s.serve()
	return s, nil
}

// serve answers until nobody is left to be supervised, or until another takes over.
func (s *supervisor) serve() {
	defer close(s.ended)
	polled := []unix.PollFd{{Fd: int32(s.calls), Events: unix.POLLIN}, {Fd: int32(s.wake[0].Fd()), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(polled, -1)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil, polled[1].Revents != 0, polled[0].Revents&unix.POLLIN == 0:
			s.handling.Wait()
			return
		}
		call, err := s.calls.receive()
		if err != nil {
			continue
		}
		s.handling.Go(func() { s.handle(call) })
	}
}

// stop ends the service; calls go on waiting.
func (s *supervisor) stop() {
	s.wake[1].Close()
	<-s.ended
	s.wake[0].Close()
}

// isNeeded reports whether there is somebody left to be supervised.
func (s *supervisor) isNeeded() bool {
	polled := []unix.PollFd{{Fd: int32(s.calls), Events: unix.POLLIN}}
	_, err := unix.Poll(polled, 0)
	return err == nil && polled[0].Revents&unix.POLLHUP == 0
}

// close lets go of it all: calls fail from now on.
func (s *supervisor) close() {
	unix.Close(int(s.calls))
	s.alive.Close()
}

func (s *supervisor) handle(call *notification) {
	if call.nr == unix.SYS_CONNECT {
		s.connect(call)
		return
	}
	s.open(call)
}

// connect connects in the place of the command.
func (s *supervisor) connect(call *notification) {
	fd := int(int32(call.args[0]))
	to, ok := call.destination()
	protocol := call.protocol(fd)
	isStream := strings.HasPrefix(protocol, "TCP") || strings.HasPrefix(protocol, "MPTCP")
	if !ok || !isStream && !strings.HasPrefix(protocol, "UDP") || !s.calls.isWaiting(call) {
		s.calls.goOn(call)
		return
	}
	family := unix.AF_INET
	if strings.HasSuffix(protocol, "v6") {
		family = unix.AF_INET6
	}
	var ours int
	var err error
	switch {
	case isStream:
		ours, err = s.stream(family, to)
	case to.Port() != DNSPort && to.Addr().IsLoopback():
		s.calls.goOn(call)
		return
	default:
		ours, err = s.datagram(family, to)
	}
	if err == nil {
		defer unix.Close(ours)
		err = s.inPlace(call, ours, fd)
	}
	if err != nil {
		s.calls.fail(call, err)
		return
	}
	s.calls.succeed(call, 0)
}

// stream returns a connected socket: to the host's own loopback where that was meant,
// else to the tunnel, which is told where the connection is to go.
func (s *supervisor) stream(family int, to netip.AddrPort) (int, error) {
	switch {
	case to.Port() != DNSPort && to.Addr().IsLoopback():
		return connected(family, unix.SOCK_STREAM, to)
	case to.Port() != DNSPort && !slices.Contains(s.Ports, to.Port()):
		return -1, unix.ECONNREFUSED
	}
	fd, err := connected(family, unix.SOCK_STREAM, onLoopback(s.Forward))
	if err != nil {
		return -1, err
	}
	if err := unix.Send(fd, sockets.AppendDestination(nil, to), unix.MSG_NOSIGNAL); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// datagram returns a socket that asks us for addresses, or where something else was
// meant one that reaches nobody: what is sent there is refused, as in a network of the
// command's own.
func (s *supervisor) datagram(family int, to netip.AddrPort) (int, error) {
	if to.Port() == DNSPort {
		return connected(family, unix.SOCK_DGRAM, onLoopback(s.Names))
	}
	return connected(family, unix.SOCK_DGRAM, onLoopback(nobody))
}

// nobody is a port that nothing serves by datagrams (tcpmux, RFC 1078, is TCP's).
const nobody = 1

func onLoopback(port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
}

// connected returns a socket of the family that is connected.
func connected(family, kind int, to netip.AddrPort) (int, error) {
	var address unix.Sockaddr
	switch {
	case family == unix.AF_INET6:
		address = &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
	case to.Addr().Is4():
		address = &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	default:
		return -1, unix.EAFNOSUPPORT
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.Connect(fd, address); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// inPlace puts a socket in the place of the command's, with what that one had been
// opened with.
func (s *supervisor) inPlace(call *notification, ours, theirs int) error {
	flags, err := call.flagsOf(theirs)
	if err != nil {
		return err
	}
	if flags&unix.O_NONBLOCK != 0 {
		if err := unix.SetNonblock(ours, true); err != nil {
			return err
		}
	}
	return s.calls.replace(call, ours, theirs, flags&unix.O_CLOEXEC != 0)
}

// open gives the command a file with our roots in the place of one without.
func (s *supervisor) open(call *notification) {
	at, name, flags := unix.AT_FDCWD, call.args[0], call.args[1]
	if call.nr == unix.SYS_OPENAT {
		at, name, flags = int(int32(call.args[0])), call.args[1], call.args[2]
	}
	source := ""
	if named, err := call.text(name); err == nil && named != "" {
		source = s.source(call.within(at, named))
	}
	if source == "" || !s.calls.isWaiting(call) {
		s.calls.goOn(call)
		return
	}
	ours, err := unix.Open(source, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		s.calls.goOn(call)
		return
	}
	defer unix.Close(ours)
	number, err := s.calls.add(call, ours, flags&unix.O_CLOEXEC != 0)
	if err != nil {
		s.calls.fail(call, err)
		return
	}
	s.calls.succeed(call, number)
}

// source returns what is to be opened in the place of a path, "" for the path itself.
func (s *supervisor) source(named string) string {
	if id, ok := identify(named); ok && s.files[id] != "" {
		return s.files[id]
	}
	if len(s.dirs) == 0 {
		return ""
	}
	if id, ok := identify(path.Dir(named)); ok && s.dirs[id] != "" {
		return path.Join(s.dirs[id], path.Base(named))
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

// destination is the address of a connect(2), when it is of IPv4 or IPv6.
func (call *notification) destination() (netip.AddrPort, bool) {
	size := min(int(uint32(call.args[2])), unix.SizeofSockaddrInet6)
	if size < unix.SizeofSockaddrInet4 {
		return netip.AddrPort{}, false
	}
	b, err := call.read(call.args[1], size)
	if err != nil || len(b) < size {
		return netip.AddrPort{}, false
	}
	port := binary.BigEndian.Uint16(b[2:])
	var addr netip.Addr
	switch family := binary.NativeEndian.Uint16(b); {
	case family == unix.AF_INET:
		addr = netip.AddrFrom4([4]byte(b[4:8]))
	case family == unix.AF_INET6 && size >= 24: // the scope may be left out
		addr = netip.AddrFrom16([16]byte(b[8:24])).Unmap()
	default:
		return netip.AddrPort{}, false
	}
	switch addr { // of a host that connects to these, itself is meant
	case netip.IPv4Unspecified():
		addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case netip.IPv6Unspecified():
		addr = netip.IPv6Loopback()
	}
	return netip.AddrPortFrom(addr, port), true
}

// protocol is the name of a socket's: "TCP", "UDPv6" and others. The kernel has it as
// an extended attribute of sockets (sockfs).
func (call *notification) protocol(fd int) string {
	name := make([]byte, 32)
	n, err := unix.Getxattr(fmt.Sprintf("/proc/%d/fd/%d", call.tid, fd), "system.sockprotoname", name)
	if err != nil {
		return ""
	}
	return string(bytes.TrimRight(name[:n], "\x00"))
}

// flagsOf are those that a descriptor was opened with (proc_pid_fdinfo(5)).
func (call *notification) flagsOf(fd int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", call.tid, fd))
	if err != nil {
		return 0, unix.EBADF
	}
	for line := range strings.Lines(string(text)) {
		if octal, ok := strings.CutPrefix(line, "flags:"); ok {
			flags, err := strconv.ParseInt(strings.TrimSpace(octal), 8, 64)
			return int(flags), err
		}
	}
	return 0, unix.EBADF
}

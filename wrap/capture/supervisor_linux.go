package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/agentproxy/agentproxy/proxy/capture/sockets"
	"golang.org/x/sys/unix"
)

// supervisor does for a command what its network would do, where it has none: it makes
// the command's sockets and connects them into the tunnel, and gives it the files with
// our roots for those without. Without a guard it is no jail: what is sent by sendmsg(2)
// may go out, and a call that it lets go on may find other memory than it has read.
//
// The kernel must let it see into the command's processes: it is an ancestor of them,
// as Yama asks for (ptrace(2)).
type supervisor struct {
	calls notifications
	supervision
	roots    roots
	held     held
	alive    *os.File
	wake     [2]*os.File
	handling sync.WaitGroup
	ended    chan struct{}
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
	// Secret shows the tunnel that a connection comes from a supervisor.
	Secret []byte `json:"secret"`
	// Guard is for an isolated command, else nil.
	Guard *guard `json:"guard,omitempty"`
}

// supervise begins. The descriptor is the supervisor's from now on, and alive is the
// writing end of a pipe.
func supervise(fd int, alive *os.File, known supervision) (*supervisor, error) {
	s := &supervisor{calls: notifications(fd), supervision: known, roots: findRoots(known.Mounts), alive: alive, ended: make(chan struct{})}
	var err error
	if s.wake[0], s.wake[1], err = os.Pipe(); err != nil {
		unix.Close(fd)
		alive.Close()
		return nil, err
	}
	s.calls.wakeSoon()
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
		if s.isOther(call) {
			s.calls.goOn(call)
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
	s.held.close()
	s.alive.Close()
}

func (s *supervisor) handle(call *notification) {
	switch call.nr {
	case unix.SYS_SOCKET:
		s.create(call)
	case unix.SYS_BIND, unix.SYS_LISTEN:
		s.serveAt(call)
	case unix.SYS_CONNECT:
		s.connect(call)
	case unix.SYS_SENDTO:
		s.sendTo(call)
	case unix.SYS_RECVFROM, unix.SYS_RECVMSG:
		s.receiveFrom(call)
	default:
		s.look(call)
	}
}

// connect connects in the place of the command.
func (s *supervisor) connect(call *notification) {
	fd := int(int32(call.args[0]))
	to, ok := call.address(call.args[1], call.args[2])
	protocol := call.protocol(fd)
	isStream := strings.HasPrefix(protocol, "TCP") || strings.HasPrefix(protocol, "MPTCP")
	switch {
	case s.Guard != nil && !(ok && isStream):
		s.connectGuarded(call, fd, protocol)
		return
	case !ok || !isStream && !strings.HasPrefix(protocol, "UDP") || !s.calls.isWaiting(call):
		s.calls.goOn(call)
		return
	case !isStream && to.Port() != DNSPort && to.Addr().IsLoopback():
		s.letGo(call)
		return
	}
	family := familyOf(protocol)
	var err error
	if isStream {
		err = s.stream(call, fd, family, to)
	} else {
		err = s.datagrams(call, fd, family, to)
	}
	if err != nil {
		s.calls.fail(call, err)
		return
	}
	s.calls.succeed(call, 0)
}

// stream connects to the host's own loopback where that was meant, else to the tunnel,
// which is told where the connection is to go. Where the command's own socket is not
// held, or cannot be connected so, one of ours takes its place.
func (s *supervisor) stream(call *notification, fd, family int, to netip.AddrPort) error {
	r := route{to: onLoopback(s.Forward), header: sockets.AppendDestination(nil, to, s.Secret)}
	switch {
	case s.isOfThisMachine(to):
		if s.Guard != nil && !s.Guard.allows(to) {
			return unix.ECONNREFUSED
		}
		r = route{to: to}
	case to.Port() != DNSPort && !slices.Contains(s.Ports, to.Port()):
		return unix.ECONNREFUSED
	}
	if h, ok := s.held.take(call.socketOf(fd)); ok {
		if r.connect(h.fd, family) == nil {
			unix.Close(h.fd)
			return nil
		}
		s.held.keep(h)
	}
	ours, err := s.socket(family, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(ours)
	if err := r.connect(ours, family); err != nil {
		return err
	}
	return s.inPlace(call, ours, fd)
}

// isOfThisMachine reports whether an address is one that the tunnel does not carry: one of
// loopback or, where the tunnel would refuse it, any of this machine's. What the command
// listens at in a network of its own it finds at each of these.
func (s *supervisor) isOfThisMachine(to netip.AddrPort) bool {
	if to.Port() == DNSPort {
		return false
	}
	return to.Addr().IsLoopback() || s.Guard != nil && !slices.Contains(s.Ports, to.Port()) && isLocal(to.Addr())
}

// connectGuarded connects what is no stream of the internet's in the place of an isolated
// command, or refuses it.
func (s *supervisor) connectGuarded(call *notification, fd int, protocol string) {
	if s.connectResolver(call, fd) {
		return
	}
	err := error(unix.EAFNOSUPPORT)
	if strings.HasPrefix(protocol, "UNIX") {
		err = s.connectLocal(call, fd, protocol)
	}
	if err != nil {
		s.calls.fail(call, err)
		return
	}
	s.calls.succeed(call, 0)
}

// route is where a stream is connected in truth, and what the tunnel is told on it.
type route struct {
	to     netip.AddrPort
	header []byte
}

// connect connects a socket, which may be one that does not block.
func (r *route) connect(fd, family int) error {
	address := sockaddr(family, r.to)
	if address == nil {
		return unix.EAFNOSUPPORT
	}
	err := unix.Connect(fd, address)
	if err == unix.EINPROGRESS {
		err = established(fd)
	}
	if err == nil && r.header != nil {
		err = unix.Send(fd, r.header, unix.MSG_NOSIGNAL)
	}
	return err
}

// established waits until a socket is connected. It is to a listener on loopback, which
// answers at once, if it does.
func established(fd int) error {
	polled := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	n, err := unix.Poll(polled, int(connectTimeout/time.Millisecond))
	switch {
	case err != nil:
		return err
	case n == 0:
		return unix.ETIMEDOUT
	}
	errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && errno != 0 {
		err = unix.Errno(errno)
	}
	return err
}

const connectTimeout = 5 * time.Second

func onLoopback(port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
}

// sockaddr is an address for a socket of a family, nil for one that it cannot have.
func sockaddr(family int, to netip.AddrPort) unix.Sockaddr {
	switch {
	case family == unix.AF_INET6:
		return &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
	case to.Addr().Is4():
		return &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	}
	return nil
}

// rawSockaddr is one as the kernel writes it (ip(7), ipv6(7)).
func rawSockaddr(family int, to netip.AddrPort) []byte {
	b := binary.BigEndian.AppendUint16(binary.NativeEndian.AppendUint16(nil, uint16(family)), to.Port())
	if family == unix.AF_INET {
		b = append(b, to.Addr().Unmap().AsSlice()...)
		return append(b, make([]byte, unix.SizeofSockaddrInet4-len(b))...)
	}
	ip := to.Addr().As16()
	b = append(append(b, 0, 0, 0, 0), ip[:]...)
	return append(b, 0, 0, 0, 0)
}

func familyOf(protocol string) int {
	if strings.HasSuffix(protocol, "v6") {
		return unix.AF_INET6
	}
	return unix.AF_INET
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

// address is one that the command has in its memory, when it is of IPv4 or IPv6.
func (call *notification) address(at, length uint64) (netip.AddrPort, bool) {
	size := min(int(uint32(length)), unix.SizeofSockaddrInet6)
	if size < unix.SizeofSockaddrInet4 {
		return netip.AddrPort{}, false
	}
	b, err := call.read(at, size)
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

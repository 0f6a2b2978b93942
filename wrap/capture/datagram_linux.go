package capture

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Questions to name servers go to the tunnel, and its answers seem to be of who was asked:
// many a resolver takes no answers of others.

// datagrams connects a socket to whoever answers for name servers, or where something
// else was meant to one that reaches nobody: what is sent there is refused, as in a
// network of the command's own.
func (s *supervisor) datagrams(call *notification, fd, family int, to netip.AddrPort) error {
	ours, err := s.asking(call, fd, family, to)
	if err != nil {
		return err
	}
	defer unix.Close(ours)
	answers := onLoopback(s.Names)
	if to.Port() != DNSPort {
		answers = onLoopback(nobody)
	}
	return unix.Connect(ours, sockaddr(family, answers))
}

// nobody is a port that nothing serves by datagrams (tcpmux, RFC 1078, is TCP's).
const nobody = 1

// maxDatagram is the longest question or answer that is carried.
const maxDatagram = 64 << 10

// sendTo sends in the place of the command. What is for nobody but the internet is
// refused.
func (s *supervisor) sendTo(call *notification) {
	fd := int(int32(call.args[0]))
	to, ok := call.address(call.args[4], call.args[5])
	protocol := call.protocol(fd)
	switch {
	case !ok || !strings.HasPrefix(protocol, "UDP") || to.Port() != DNSPort && to.Addr().IsLoopback():
		s.calls.goOn(call)
	case to.Port() != DNSPort:
		s.calls.fail(call, unix.ECONNREFUSED)
	default:
		n, err := s.question(call, fd, familyOf(protocol), to)
		if err != nil {
			s.calls.fail(call, err)
			return
		}
		s.calls.succeed(call, n)
	}
}

// question sends one to the tunnel.
func (s *supervisor) question(call *notification, fd, family int, to netip.AddrPort) (int, error) {
	data, err := call.read(call.args[1], int(min(call.args[2], maxDatagram)))
	if err != nil {
		return 0, err
	}
	ours, err := s.asking(call, fd, family, to)
	if err != nil {
		return 0, err
	}
	defer unix.Close(ours)
	return len(data), unix.Sendto(ours, data, unix.MSG_NOSIGNAL, sockaddr(family, onLoopback(s.Names)))
}

// asking returns a descriptor of the command's socket for datagrams, which asks somebody
// from now on. Where none is held, one of ours takes its place.
func (s *supervisor) asking(call *notification, fd, family int, to netip.AddrPort) (int, error) {
	ours, _, ok := s.held.borrow(call.socketOf(fd), to)
	if ok {
		return ours, nil
	}
	ours, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err = s.inPlace(call, ours, fd); err == nil {
		err = s.held.hold(ours, to)
	}
	if err != nil {
		unix.Close(ours)
		return -1, err
	}
	return ours, nil
}

// receiveFrom receives in the place of the command where it has asked a name server.
func (s *supervisor) receiveFrom(call *notification) {
	ours, asked, ok := s.held.borrow(call.socketOf(int(int32(call.args[0]))), netip.AddrPort{})
	if !ok {
		s.calls.goOn(call)
		return
	}
	defer unix.Close(ours)
	if !asked.IsValid() {
		s.calls.goOn(call)
		return
	}
	if err := s.answer(call, ours, asked); err != nil {
		s.calls.fail(call, err)
	}
}

// answer receives one, and says that it is from whoever was asked.
func (s *supervisor) answer(call *notification, ours int, asked netip.AddrPort) error {
	buffer := make([]byte, min(call.args[2], maxDatagram))
	n, from, err := s.received(call, ours, buffer)
	if err != nil {
		return err
	}
	family := unix.AF_INET
	if _, ok := from.(*unix.SockaddrInet6); ok {
		family = unix.AF_INET6
	}
	address := rawSockaddr(family, asked)
	room, err := call.read(call.args[5], 4)
	if err != nil || len(room) < 4 {
		return unix.EFAULT
	}
	shown := min(int(binary.NativeEndian.Uint32(room)), len(address))
	err = s.write(call, part{call.args[1], buffer[:min(n, len(buffer))]}, part{call.args[4], address[:shown]},
		part{call.args[5], binary.NativeEndian.AppendUint32(nil, uint32(len(address)))})
	if err == nil {
		s.calls.succeed(call, n)
	}
	return err
}

// received waits as the socket's flags and its time limit have it (socket(7)), but no
// longer than the call does, or we.
func (s *supervisor) received(call *notification, ours int, buffer []byte) (int, unix.Sockaddr, error) {
	flags, err := unix.FcntlInt(uintptr(ours), unix.F_GETFL, 0)
	if err != nil {
		return 0, nil, err
	}
	how := int(int32(call.args[3]))
	waits := flags&unix.O_NONBLOCK == 0 && how&unix.MSG_DONTWAIT == 0
	var end time.Time
	if limit, err := unix.GetsockoptTimeval(ours, unix.SOL_SOCKET, unix.SO_RCVTIMEO); err == nil && *limit != (unix.Timeval{}) {
		end = time.Now().Add(time.Duration(limit.Nano()))
	}
	for {
		n, from, err := unix.Recvfrom(ours, buffer, how|unix.MSG_DONTWAIT)
		if err != unix.EAGAIN || !waits || !end.IsZero() && time.Now().After(end) {
			return n, from, err
		}
		polled := []unix.PollFd{{Fd: int32(ours), Events: unix.POLLIN}, {Fd: int32(s.wake[0].Fd())}}
		unix.Poll(polled, int(lookedAfter/time.Millisecond))
		if polled[1].Revents != 0 || !s.calls.isWaiting(call) {
			return 0, nil, unix.EINTR
		}
	}
}

// lookedAfter is how often it is looked whether a call still waits.
const lookedAfter = 100 * time.Millisecond

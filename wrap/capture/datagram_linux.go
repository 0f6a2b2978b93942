package capture

import (
	"cmp"
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
	if s.Guard != nil && s.askResolver(call, fd) {
		return
	}
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
	if h, ok := s.held.borrow(call.socketOf(fd), to); ok {
		return h.fd, nil
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
	h, ok := s.held.borrow(call.socketOf(int(int32(call.args[0]))), netip.AddrPort{})
	if !ok {
		s.calls.goOn(call)
		return
	}
	defer unix.Close(h.fd)
	if !h.asked.IsValid() {
		s.calls.goOn(call)
		return
	}
	room, err := call.room()
	if err == nil {
		err = s.answer(call, h, room)
	}
	if err != nil {
		s.calls.fail(call, err)
	}
}

// room is where the command wants a datagram, and the address of who has sent it.
type room struct {
	data     []part // as long as there is room
	name     uint64
	nameSize uint32
	// length is where the address's goes.
	length uint64
	flags  int
	// header is that of a recvmsg(2), 0 for none.
	header uint64
}

// room is that of a recvfrom(2) or recvmsg(2).
func (call *notification) room() (room, error) {
	if call.nr == unix.SYS_RECVMSG {
		return call.messageRoom()
	}
	size, err := call.read(call.args[5], 4)
	if err != nil || len(size) < 4 {
		return room{}, unix.EFAULT
	}
	return room{data: []part{{call.args[1], make([]byte, min(call.args[2], maxDatagram))}}, name: call.args[4],
		nameSize: binary.NativeEndian.Uint32(size), length: call.args[5], flags: int(int32(call.args[3]))}, nil
}

// Offsets in struct msghdr of 64-bit systems (recvmsg(2)).
const (
	messageName       = 0
	messageNameLength = 8
	messageParts      = 16
	messagePartCount  = 24
	messageControlLen = 40
	messageFlags      = 48
	messageSize       = 56
	iovecSize         = 16
	maxParts          = 64
)

func (call *notification) messageRoom() (room, error) {
	header, err := call.read(call.args[1], messageSize)
	if err != nil || len(header) < messageSize {
		return room{}, unix.EFAULT
	}
	word := func(b []byte, at int) uint64 { return binary.NativeEndian.Uint64(b[at:]) }
	r := room{name: word(header, messageName), nameSize: binary.NativeEndian.Uint32(header[messageNameLength:]),
		length: call.args[1] + messageNameLength, flags: int(int32(call.args[2])), header: call.args[1]}
	count := int(min(word(header, messagePartCount), maxParts))
	if count == 0 {
		return r, nil
	}
	parts, err := call.read(word(header, messageParts), count*iovecSize)
	if err != nil || len(parts) < count*iovecSize {
		return room{}, unix.EFAULT
	}
	for ; len(parts) > 0; parts = parts[iovecSize:] {
		r.data = append(r.data, part{word(parts, 0), make([]byte, min(word(parts, 8), maxDatagram))})
	}
	return r, nil
}

// answer receives one, and says that it is from whoever was asked.
func (s *supervisor) answer(call *notification, h heldSocket, r room) error {
	var buffers [][]byte
	for _, p := range r.data {
		buffers = append(buffers, p.data)
	}
	n, flags, from, err := s.received(call, h.fd, buffers, r.flags)
	if err != nil {
		return err
	}
	family := cmp.Or(h.family, unix.AF_INET)
	if _, ok := from.(*unix.SockaddrInet6); ok {
		family = unix.AF_INET6
	}
	var parts []part
	left := n
	for _, p := range r.data {
		p.data = p.data[:min(left, len(p.data))]
		left -= len(p.data)
		parts = append(parts, p)
	}
	if r.name != 0 {
		address := rawSockaddr(family, h.asked)
		parts = append(parts, part{r.name, address[:min(int(r.nameSize), len(address))]}, part{r.length, binary.NativeEndian.AppendUint32(nil, uint32(len(address)))})
	}
	if r.header != 0 {
		parts = append(parts, part{r.header + messageControlLen, make([]byte, 8)}, part{r.header + messageFlags, binary.NativeEndian.AppendUint32(nil, uint32(flags))})
	}
	if err := s.write(call, parts...); err != nil {
		return err
	}
	s.calls.succeed(call, n)
	return nil
}

// received waits as the socket's flags and its time limit have it (socket(7)), but no
// longer than the call does, or we.
func (s *supervisor) received(call *notification, ours int, buffers [][]byte, how int) (n, flags int, from unix.Sockaddr, err error) {
	opened, err := unix.FcntlInt(uintptr(ours), unix.F_GETFL, 0)
	if err != nil {
		return 0, 0, nil, err
	}
	waits := opened&unix.O_NONBLOCK == 0 && how&unix.MSG_DONTWAIT == 0
	var end time.Time
	if limit, err := unix.GetsockoptTimeval(ours, unix.SOL_SOCKET, unix.SO_RCVTIMEO); err == nil && *limit != (unix.Timeval{}) {
		end = time.Now().Add(time.Duration(limit.Nano()))
	}
	for {
		n, _, flags, from, err = unix.RecvmsgBuffers(ours, buffers, nil, how|unix.MSG_DONTWAIT)
		if err != unix.EAGAIN || !waits || !end.IsZero() && time.Now().After(end) {
			return n, flags, from, err
		}
		polled := []unix.PollFd{{Fd: int32(ours), Events: unix.POLLIN}, {Fd: int32(s.wake[0].Fd())}}
		unix.Poll(polled, int(lookedAfter/time.Millisecond))
		if polled[1].Revents != 0 || !s.calls.isWaiting(call) {
			return 0, 0, nil, unix.EINTR
		}
	}
}

// lookedAfter is how often it is looked whether a call still waits.
const lookedAfter = 100 * time.Millisecond

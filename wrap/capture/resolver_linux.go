package capture

import (
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// An isolated command in the host's network has no sockets for datagrams: one that was not
// connected could send them anywhere, by calls whose addresses are out of a filter's
// sight. What it gets in their place is an end of a pair, and its questions to name
// servers come out at the other.

// createResolver makes the pair.
func (s *supervisor) createResolver(call *notification) {
	kind, family := int(int32(call.args[1])), int(int32(call.args[0]))
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		s.calls.fail(call, err)
		return
	}
	theirs := ends[0]
	err = s.answerNames(ends[1])
	if err == nil && kind&unix.SOCK_NONBLOCK != 0 {
		err = unix.SetNonblock(theirs, true)
	}
	number := 0
	if err == nil {
		number, err = s.calls.add(call, theirs, kind&unix.SOCK_CLOEXEC != 0)
	}
	id, ok := identify(descriptorPath(theirs))
	if err != nil || !ok {
		unix.Close(theirs)
		s.calls.fail(call, err)
		return
	}
	s.held.keep(heldSocket{id: id, fd: theirs, family: family})
	s.calls.succeed(call, number)
}

// answerNames carries questions from our end of a pair to the tunnel and answers back,
// until the pair is closed. The descriptor is its own.
func (s *supervisor) answerNames(ours int) error {
	file := os.NewFile(uintptr(ours), "questions")
	questions, err := net.FileConn(file)
	file.Close()
	if err != nil {
		return err
	}
	answers, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(onLoopback(s.Names)))
	if err != nil {
		questions.Close()
		return err
	}
	go carry(questions, answers)
	go carry(answers, questions)
	return nil
}

// carry carries datagrams one way, and closes both ends after the last.
func carry(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	data := make([]byte, maxDatagram)
	for {
		n, err := from.Read(data)
		if err != nil {
			return
		}
		if _, err := to.Write(data[:n]); err != nil {
			return
		}
	}
}

// resolver is what the command has in place of a socket for datagrams, if the descriptor
// is of one: a descriptor of ours for it, and its family.
func (s *supervisor) resolver(call *notification, fd int, asked netip.AddrPort) (ours int, ok bool) {
	h, ok := s.held.borrow(call.socketOf(fd), asked)
	if !ok {
		return -1, false
	}
	if h.family == 0 {
		unix.Close(h.fd)
		return -1, false
	}
	return h.fd, true
}

// bindResolver succeeds where any address will do, which is all that resolvers want.
func (s *supervisor) bindResolver(call *notification) (done bool) {
	ours, ok := s.resolver(call, int(int32(call.args[0])), netip.AddrPort{})
	if !ok {
		return false
	}
	unix.Close(ours)
	if at, ok := call.address(call.args[1], call.args[2]); !ok || at.Port() != 0 {
		s.calls.fail(call, unix.EACCES)
		return true
	}
	s.calls.succeed(call, 0)
	return true
}

// connectResolver says whom the next questions are to seem to be for.
func (s *supervisor) connectResolver(call *notification, fd int) (done bool) {
	to, isAddress := call.address(call.args[1], call.args[2])
	var asked netip.AddrPort
	if isAddress && to.Port() == DNSPort {
		asked = to
	}
	ours, ok := s.resolver(call, fd, asked)
	if !ok {
		return false
	}
	unix.Close(ours)
	if !asked.IsValid() {
		s.calls.fail(call, unix.ECONNREFUSED)
		return true
	}
	s.calls.succeed(call, 0)
	return true
}

// askResolver sends a question.
func (s *supervisor) askResolver(call *notification, fd int) (done bool) {
	to, isAddress := call.address(call.args[4], call.args[5])
	isQuestion := isAddress && to.Port() == DNSPort
	if !isQuestion {
		to = netip.AddrPort{}
	}
	ours, ok := s.resolver(call, fd, to)
	if !ok {
		return false
	}
	defer unix.Close(ours)
	data, err := call.read(call.args[1], int(min(call.args[2], maxDatagram)))
	if err == nil && !isQuestion {
		err = unix.ECONNREFUSED
	}
	if err == nil {
		err = unix.Send(ours, data, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
	}
	if err != nil {
		s.calls.fail(call, err)
		return true
	}
	s.calls.succeed(call, len(data))
	return true
}

package capture

import (
	"fmt"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"
)

// held are the sockets that were made for the command and that it has neither connected
// nor bound so far. To connect what is held connects the command's own socket, with its
// options and with who waits for it (epoll(7) knows open sockets, not their numbers).
//
// Whoever holds a socket keeps it and its port from being closed, so a socket is let go
// of as soon as it does more than exist; but one that asks name servers stays, for its
// answers.
type held struct {
	mu   sync.Mutex
	list []heldSocket // the newest last
}

type heldSocket struct {
	id fileID
	fd int
	// asked is the name server that was asked by it last.
	asked netip.AddrPort
	// family is that of the socket for datagrams that one of a pair stands for, else 0.
	family int
}

// mostHeld is how many are held: the command may have closed the older ones.
const mostHeld = 64

// keep holds a socket, which is the table's from now on.
func (h *held) keep(s heldSocket) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list = append(h.list, s)
	if len(h.list) > mostHeld {
		unix.Close(h.list[0].fd)
		h.list = h.list[1:]
	}
}

// hold keeps another descriptor of a socket.
func (h *held) hold(fd int, asked netip.AddrPort) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	ours, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		h.keep(heldSocket{id: idOf(&st), fd: ours, asked: asked})
	}
	return err
}

// take returns the socket with that identity, which is the caller's then.
func (h *held) take(id fileID) (heldSocket, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, s := range h.list {
		if s.id == id {
			h.list = append(h.list[:i], h.list[i+1:]...)
			return s, true
		}
	}
	return heldSocket{}, false
}

// borrow returns a socket that stays held, by another descriptor for the caller to close.
// The name server that it asks is from now on the one that is given, if one is.
func (h *held) borrow(id fileID, asked netip.AddrPort) (heldSocket, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.list {
		s := &h.list[i]
		if s.id != id {
			continue
		}
		if asked.IsValid() {
			s.asked = asked
		}
		borrowed := *s
		var err error
		borrowed.fd, err = unix.FcntlInt(uintptr(s.fd), unix.F_DUPFD_CLOEXEC, 0)
		return borrowed, err == nil
	}
	return heldSocket{}, false
}

// close lets go of all.
func (h *held) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.list {
		unix.Close(s.fd)
	}
	h.list = nil
}

// socketOf identifies what the command has as a descriptor.
func (call *notification) socketOf(fd int) fileID {
	id, _ := identify(fmt.Sprintf("/proc/%d/fd/%d", call.tid, fd))
	return id
}

// create makes a socket for the command.
func (s *supervisor) create(call *notification) {
	kind := int(int32(call.args[1]))
	if s.Guard != nil && kind&kindOfSocket == unix.SOCK_DGRAM {
		s.createResolver(call)
		return
	}
	ours, err := s.socket(int(int32(call.args[0])), kind, int(int32(call.args[2])))
	if err != nil {
		s.calls.fail(call, err)
		return
	}
	defer unix.Close(ours)
	number, err := s.calls.add(call, ours, kind&unix.SOCK_CLOEXEC != 0)
	if err == nil {
		err = s.held.hold(ours, netip.AddrPort{})
	}
	if err != nil {
		s.calls.fail(call, err)
		return
	}
	s.calls.succeed(call, number)
}

// socket makes one for the internet; an isolated command's reach lo alone.
func (s *supervisor) socket(family, kind, protocol int) (int, error) {
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, protocol)
	if err != nil || s.Guard == nil {
		return fd, err
	}
	if err := unix.BindToDevice(fd, "lo"); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// serveAt has the kernel bind a socket, or listen on it.
func (s *supervisor) serveAt(call *notification) {
	if s.Guard != nil {
		if call.nr == unix.SYS_BIND && s.bindResolver(call) {
			return
		}
		if call.nr == unix.SYS_LISTEN {
			s.Guard.serves(call.socketOf(int(int32(call.args[0]))))
		}
	}
	s.letGo(call)
}

// letGo has the kernel do what was asked for, with a socket that is the command's alone.
func (s *supervisor) letGo(call *notification) {
	if h, ok := s.held.take(call.socketOf(int(int32(call.args[0])))); ok {
		unix.Close(h.fd)
	}
	s.calls.goOn(call)
}

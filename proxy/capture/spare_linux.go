package capture

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// spares are stream sockets of the namespace that are neither bound nor connected.
// More of them are made without a process inside: one connects to a listener there,
// and what is accepted is a socket of the namespace, too; then both are
// disconnected (connect(2) with AF_UNSPEC) and are as new.
type spares struct {
	ipv6 bool
	port uint16 // of a listener inside

	making   sync.Mutex // held while one is taken
	mu       sync.Mutex
	free     []int
	waited   uint16 // the port of the one that connects, 0 for none
	accepted chan int
}

func newSpares(ipv6 bool, port uint16) *spares {
	return &spares{ipv6: ipv6, port: port, accepted: make(chan int, 1)}
}

var errNoSpare = errors.New("no socket can be made in the command's network")

// makeTimeout is how long it may take to make one.
const makeTimeout = 2 * time.Second

// take returns a socket that does not block; the caller closes it.
func (s *spares) take() (int, error) {
	s.making.Lock()
	defer s.making.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.free) == 1 {
		if err := s.double(); err != nil {
			return -1, err
		}
	}
	if len(s.free) == 0 {
		return -1, errNoSpare
	}
	last := len(s.free) - 1
	fd := s.free[last]
	s.free = s.free[:last]
	return fd, unix.SetNonblock(fd, true)
}

// double makes another socket of the last one. While it does, mu is free for claim.
func (s *spares) double() error {
	seed := s.free[0]
	if err := errors.Join(unix.SetNonblock(seed, true), unix.Bind(seed, s.address(netip.Addr{}, 0))); err != nil {
		return fmt.Errorf("%w: %w", errNoSpare, err)
	}
	own, err := unix.Getsockname(seed)
	if err != nil {
		return err
	}
	s.waited = portOf(own)
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if err := unix.Connect(seed, s.address(loopback, s.port)); err != nil && err != unix.EINPROGRESS {
		s.waited = 0
		disconnect(seed)
		return fmt.Errorf("%w: %w", errNoSpare, err)
	}
	s.mu.Unlock()
	timeout := time.NewTimer(makeTimeout)
	fd := -1
	select {
	case fd = <-s.accepted:
	case <-timeout.C:
	}
	timeout.Stop()
	s.mu.Lock()
	s.waited = 0
	disconnect(seed)
	if fd < 0 {
		return errNoSpare
	}
	disconnect(fd)
	s.free = append(s.free, fd)
	return nil
}

// claim takes an accepted connection that is one of ours, and reports whether it was.
func (s *spares) claim(c *net.TCPConn) bool {
	from := c.RemoteAddr().(*net.TCPAddr).AddrPort()
	s.mu.Lock()
	wanted := s.waited != 0 && from.Port() == s.waited && from.Addr().Unmap().IsLoopback()
	if wanted {
		s.waited = 0
	}
	s.mu.Unlock()
	if !wanted {
		return false
	}
	defer c.Close()
	raw, err := c.SyscallConn()
	if err != nil {
		return true
	}
	raw.Control(func(fd uintptr) {
		if own, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); err == nil {
			s.accepted <- own
		}
	})
	return true
}

// address is one of the sockets' family; the zero address is any.
func (s *spares) address(a netip.Addr, port uint16) unix.Sockaddr {
	if s.ipv6 {
		if !a.IsValid() {
			return &unix.SockaddrInet6{Port: int(port)}
		}
		return &unix.SockaddrInet6{Addr: a.As16(), Port: int(port)}
	}
	if !a.IsValid() {
		return &unix.SockaddrInet4{Port: int(port)}
	}
	return &unix.SockaddrInet4{Addr: a.Unmap().As4(), Port: int(port)}
}

func portOf(a unix.Sockaddr) uint16 {
	switch a := a.(type) {
	case *unix.SockaddrInet6:
		return uint16(a.Port)
	case *unix.SockaddrInet4:
		return uint16(a.Port)
	}
	return 0
}

// disconnect makes a socket as new.
func disconnect(fd int) {
	none := unix.RawSockaddr{Family: unix.AF_UNSPEC}
	unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&none)), unsafe.Sizeof(none))
}

// listen listens inside, at one address.
func (s *spares) listen(at netip.AddrPort) (*net.TCPListener, error) {
	fd, err := s.socket(at)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "listener")
	defer file.Close()
	reuse := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) // of connections that have just ended
	if err := errors.Join(reuse, unix.Bind(fd, s.address(at.Addr(), at.Port())), unix.Listen(fd, unix.SOMAXCONN)); err != nil {
		return nil, err
	}
	l, err := net.FileListener(file)
	if err != nil {
		return nil, err
	}
	return l.(*net.TCPListener), nil
}

func (s *spares) socket(at netip.AddrPort) (int, error) {
	if at.Addr().Is6() && !s.ipv6 {
		return -1, unix.EAFNOSUPPORT
	}
	return s.take()
}

// dial connects inside.
func (s *spares) dial(to netip.AddrPort) (net.Conn, error) {
	fd, err := s.socket(to)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "connection")
	defer file.Close()
	if err := unix.Connect(fd, s.address(to.Addr(), to.Port())); err != nil && err != unix.EINPROGRESS {
		return nil, err
	}
	ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	if _, err := unix.Poll(ready, int(makeTimeout.Milliseconds())); err != nil && err != unix.EINTR {
		return nil, err
	}
	if errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || errno != 0 {
		return nil, errors.Join(err, syscall.Errno(errno))
	}
	return net.FileConn(file)
}

// close closes those that are left.
func (s *spares) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, fd := range s.free {
		unix.Close(fd)
	}
	s.free = nil
}

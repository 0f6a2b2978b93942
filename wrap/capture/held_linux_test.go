package capture

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/capture/sockets"
	"github.com/agentproxy/agentproxy/proxy/proxytest/leftout"
	"github.com/agentproxy/agentproxy/proxy/proxytest/process"
	"golang.org/x/sys/unix"
)

const (
	pollRole   = "poll"
	reuseRole  = "reuse"
	askForRole = "ask-for"
)

// pollFirst waits for a connection with a socket that was given to epoll(7) before it was
// connected, prints what comes, and whether an option of the socket has stayed.
func pollFirst(args []string) error {
	to, err := netip.ParseAddrPort(args[0])
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	poll, err := unix.EpollCreate1(0)
	if err != nil {
		return err
	}
	if err := errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1),
		unix.EpollCtl(poll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN})); err != nil {
		return err
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil && err != unix.EINPROGRESS {
		return err
	}
	for {
		n, err := unix.EpollWait(poll, make([]unix.EpollEvent, 1), int(limit/time.Millisecond))
		if err == unix.EINTR {
			continue
		}
		if err != nil || n != 1 {
			return fmt.Errorf("%d events, %v", n, err)
		}
		break
	}
	keep, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE)
	fmt.Printf("kept %d %v: ", keep, err)
	_, err = io.Copy(os.Stdout, os.NewFile(uintptr(fd), "socket"))
	return err
}

// A supervised command's own socket is connected: whoever polls it already hears of it,
// and its options stay. After one that is refused, it can be connected elsewhere.
func TestASupervisedCommandKeepsItsSocket(t *testing.T) {
	for to, want := range map[string]string{"192.0.2.7:443": "kept 1 <nil>: you meant 192.0.2.7:443 <nil>", "192.0.2.7:8080": "connection refused"} {
		hand, _ := tunnel(t)
		end, ok := supervised(t, Options{Ports: []uint16{443}}, hand, self(t, pollRole, to)...)
		if !ok {
			return
		}
		if got := end(); !strings.Contains(got, want) {
			t.Errorf("%s: %q", to, got)
		}
	}
}

// serveAgain takes a free port, and serves it once it has been given back.
func serveAgain([]string) error {
	for range 2 {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return err
		}
		address := l.Addr().String()
		l.Close()
		if l, err = net.Listen("tcp4", address); err != nil {
			return err
		}
		l.Close()
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		here := &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
		err = unix.Bind(fd, here)
		unix.Close(fd)
		if err == nil {
			var again net.PacketConn
			if again, err = net.ListenPacket("udp4", address); err == nil {
				again.Close()
			}
		}
		if err != nil {
			return err
		}
	}
	empty, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Sendto(empty, nil, 0, &unix.SockaddrInet4{Port: DNSPort, Addr: [4]byte{192, 0, 2, 53}})
	}
	if err != nil {
		return err
	}
	for range 2 * mostHeld { // more than are held
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
	}
	_, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_UDP)
	fastOpen := func(flags int) error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, []byte("early"), flags, &unix.SockaddrInet4{Port: 443, Addr: [4]byte{192, 0, 2, 7}})
	}
	fmt.Printf("served; %v; %v; %v", errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(fastOpen(unix.MSG_FASTOPEN), unix.EOPNOTSUPP), errors.Is(fastOpen(unix.MSG_NOSIGNAL), unix.EPIPE))
	return nil
}

// What a supervised command closes is closed: its ports are free again. Sockets that
// cannot be made, and data that would connect on its way, fail as they always do.
func TestASupervisedCommandClosesItsSockets(t *testing.T) {
	hand, ended := tunnel(t)
	end, ok := supervised(t, Options{Ports: []uint16{443}}, hand, self(t, reuseRole)...)
	if !ok {
		return
	}
	if got := end(); got != "served; true; true; true" {
		t.Errorf("%q", got)
	}
	ended()
}

// askFor prints the answer of a name server that is asked by a socket which is not
// connected, and who has given it.
func askFor(args []string) error {
	to, err := netip.ParseAddrPort(args[1])
	if err != nil {
		return err
	}
	family := unix.AF_INET
	if to.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if args[0] == "bound" {
		if err := unix.Bind(fd, anyAddress(family, 0)); err != nil {
			return err
		}
	}
	if args[0] == "connected" {
		if err = unix.Connect(fd, sockaddr(family, to)); err == nil {
			_, err = unix.Write(fd, []byte("question"))
		}
	} else {
		err = unix.Sendto(fd, []byte("question"), 0, sockaddr(family, to))
	}
	if err != nil {
		return err
	}
	buf := make([]byte, 100)
	n, from, err := 0, unix.Sockaddr(nil), error(nil)
	if args[0] == "message" { // in two parts, as musl receives
		var flags int
		n, _, flags, from, err = unix.RecvmsgBuffers(fd, [][]byte{buf[:3], buf[3:10]}, make([]byte, 100), 0)
		if flags&unix.MSG_TRUNC == 0 {
			return errors.New("what was cut off is not told")
		}
	} else {
		n, from, err = unix.Recvfrom(fd, buf, 0)
	}
	if err != nil {
		return err
	}
	switch from := from.(type) {
	case *unix.SockaddrInet4:
		fmt.Printf("%s from %s", buf[:n], netip.AddrPortFrom(netip.AddrFrom4(from.Addr), uint16(from.Port)))
	case *unix.SockaddrInet6:
		fmt.Printf("%s from %s", buf[:n], netip.AddrPortFrom(netip.AddrFrom16(from.Addr), uint16(from.Port)))
	}
	_, _, err = unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
	limited := errors.Is(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 1}), nil)
	_, _, late := unix.Recvfrom(fd, buf, 0)
	fmt.Printf("; no more: %v, %v", err, limited && errors.Is(late, unix.EAGAIN))
	return nil
}

// However a name server is asked, its answer is that of who was asked. Other datagrams are
// refused.
func TestASupervisedCommandIsAnsweredByWhomItAsked(t *testing.T) { areAnswered(t, Options{}) }

// areAnswered asks name servers, and others, in every way.
func areAnswered(t *testing.T, o Options) {
	t.Helper()
	for _, how := range []string{"unconnected", "bound", "connected", "message"} {
		for to, want := range map[string]string{
			"192.0.2.53:53":    "answer to question from 192.0.2.53:53; no more: resource temporarily unavailable, true",
			"[2001:db8::1]:53": "answer to question from [2001:db8::1]:53; no more: resource temporarily unavailable, true",
			"192.0.2.7:443":    "connection refused",
		} {
			end, ok := supervised(t, o, answering(t), self(t, askForRole, how, to)...)
			if !ok {
				return
			}
			if how == "message" {
				want = strings.Replace(want, "question", "", 1)
			}
			if got := end(); !strings.Contains(got, want) {
				t.Errorf("%s, %s: %q", how, to, got)
			}
		}
	}
}

// answering takes a set, and answers questions to name servers until the test ends.
func answering(t *testing.T) func(*sockets.Set) error {
	return func(s *sockets.Set) error {
		c := file(t, s, sockets.Datagram, DNSPort, net.FilePacketConn)
		s.Close()
		t.Cleanup(func() { c.Close() })
		go func() {
			question := make([]byte, 100)
			for {
				n, from, err := c.ReadFrom(question)
				if err != nil {
					return
				}
				c.WriteTo(append([]byte("answer to "), question[:n]...), from)
			}
		}()
		return nil
	}
}

// A supervisor can be left while the command waits for an answer.
func TestASupervisedCommandThatWaitsCanBeLeft(t *testing.T) {
	silent := make(chan net.PacketConn, 1)
	cmd := process.Command(t, askForRole, "unconnected", "192.0.2.53:53")
	r, err := New(Options{}, func(s *sockets.Set) error {
		silent <- file(t, s, sockets.Datagram, DNSPort, net.FilePacketConn)
		s.Close()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r.FallBack(&Refused{What: "no network of its own", Err: errors.New("by a test")})
	if cmd.Path, cmd.Args, err = r.Begin(cmd.Path, cmd.Args); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := r.Finish(); err != nil {
		cmd.Wait()
		if errors.As(err, new(*Refused)) {
			leftout.Note(t, "a supervisor for a command, which this system refuses")
			return
		}
		t.Fatal(err)
	}
	c := <-silent
	defer c.Close()
	c.SetDeadline(time.Now().Add(limit))
	if _, _, err := c.ReadFrom(make([]byte, 100)); err != nil { // it has asked
		t.Fatal(err)
	}
	r.Leave() // which returns
	cmd.Process.Kill()
	cmd.Wait()
}

// The filter, run by hand: what it lets wait, and what not.
func TestTraps(t *testing.T) {
	const arch = unix.AUDIT_ARCH_X86_64
	const pointer = 0x7f00_0000_1000
	errno := func(e unix.Errno) uint32 { return unix.SECCOMP_RET_ERRNO | uint32(e) }
	const waits, goes = unix.SECCOMP_RET_USER_NOTIF, unix.SECCOMP_RET_ALLOW
	for name, c := range map[string]struct {
		call uint32
		args [6]uint64
		want uint32
	}{
		"an ordinary call":            {unix.SYS_READ, [6]uint64{}, goes},
		"a connection":                {unix.SYS_CONNECT, [6]uint64{}, waits},
		"a port":                      {unix.SYS_BIND, [6]uint64{}, waits},
		"a stream":                    {unix.SYS_SOCKET, [6]uint64{unix.AF_INET, unix.SOCK_STREAM | unix.SOCK_CLOEXEC}, waits},
		"datagrams":                   {unix.SYS_SOCKET, [6]uint64{unix.AF_INET6, unix.SOCK_DGRAM | unix.SOCK_NONBLOCK}, waits},
		"a stream of paths":           {unix.SYS_SOCKET, [6]uint64{unix.AF_INET6, unix.SOCK_STREAM, unix.IPPROTO_MPTCP}, waits},
		"a stream of TCP":             {unix.SYS_SOCKET, [6]uint64{unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_TCP}, waits},
		"datagrams of UDP":            {unix.SYS_SOCKET, [6]uint64{unix.AF_INET6, unix.SOCK_DGRAM, unix.IPPROTO_UDP}, waits},
		"pings":                       {unix.SYS_SOCKET, [6]uint64{unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_ICMP}, goes},
		"packets":                     {unix.SYS_SOCKET, [6]uint64{unix.AF_INET, unix.SOCK_RAW}, goes},
		"a socket in the file system": {unix.SYS_SOCKET, [6]uint64{unix.AF_UNIX, unix.SOCK_STREAM}, goes},
		"to whom it is connected":     {unix.SYS_SENDTO, [6]uint64{3, pointer, 5}, goes},
		"to an address":               {unix.SYS_SENDTO, [6]uint64{3, pointer, 5, 0, pointer, 16}, waits},
		"to a high address":           {unix.SYS_SENDTO, [6]uint64{3, pointer, 5, 0, 1 << 32, 16}, waits},
		"to a low address":            {unix.SYS_SENDTO, [6]uint64{3, pointer, 5, 0, 8, 16}, waits},
		"early data":                  {unix.SYS_SENDTO, [6]uint64{3, pointer, 5, unix.MSG_FASTOPEN | unix.MSG_NOSIGNAL, pointer, 16}, errno(unix.EOPNOTSUPP)},
		"a message":                   {unix.SYS_SENDMSG, [6]uint64{3, pointer, unix.MSG_NOSIGNAL}, goes},
		"an early message":            {unix.SYS_SENDMSG, [6]uint64{3, pointer, unix.MSG_FASTOPEN}, errno(unix.EOPNOTSUPP)},
		"early messages":              {unix.SYS_SENDMMSG, [6]uint64{3, pointer, 1, unix.MSG_FASTOPEN}, errno(unix.EOPNOTSUPP)},
		"from whom does not matter":   {unix.SYS_RECVFROM, [6]uint64{3, pointer, 5}, goes},
		"from somebody":               {unix.SYS_RECVFROM, [6]uint64{3, pointer, 5, 0, pointer, pointer}, waits},
		"a file to read":              {unix.SYS_OPENAT, [6]uint64{0, pointer, unix.O_CLOEXEC}, waits},
		"a directory to list":         {unix.SYS_OPENAT, [6]uint64{0, pointer, unix.O_DIRECTORY}, waits},
		"a file to write":             {unix.SYS_OPENAT, [6]uint64{0, pointer, unix.O_WRONLY}, goes},
		"what a file is":              {unix.SYS_NEWFSTATAT, [6]uint64{0, pointer, pointer, 0}, waits},
		"what an open file is":        {unix.SYS_NEWFSTATAT, [6]uint64{0, pointer, pointer, unix.AT_EMPTY_PATH}, goes},
		"io_uring":                    {unix.SYS_IO_URING_SETUP, [6]uint64{}, errno(unix.ENOSYS)},
	} {
		if got := decide(t, traps(arch, false), c.call, arch, c.args); got != c.want {
			t.Errorf("%s: %#x, not %#x", name, got, c.want)
		}
	}
	if got := decide(t, traps(arch, false), unix.SYS_CONNECT, 0x40000003, [6]uint64{}); got != goes {
		t.Errorf("another architecture's call: %#x", got)
	}
}

package capture

import (
	"net"
	"os"
	"time"

	"github.com/agentproxy/agentproxy/proxy/capture/sockets"
	"golang.org/x/sys/unix"
)

// headerTimeout is how long the supervisor of a run may take to say where a connection
// is to go: it has been said when the connection comes.
const headerTimeout = 2 * time.Second

// serveForwarded takes a connection of a run without a namespace to where its
// supervisor says.
func (n *Network) serveForwarded(c *net.TCPConn) {
	if !n.isOwn(c) {
		c.Close()
		return
	}
	c.SetReadDeadline(time.Now().Add(headerTimeout))
	to, err := sockets.ReadDestination(c, n.secret)
	c.SetReadDeadline(time.Time{})
	switch {
	case err != nil:
		c.Close()
	case to.Port() == dnsPort:
		n.resolver.serveTCP(c)
	default:
		n.options.Serve(c, n.destination(c, to))
	}
}

// isOwn reports whether a connection is our user's, or root's.
func (n *Network) isOwn(c *net.TCPConn) bool {
	s, err := n.Process(c)
	return err == nil && (s.UID == os.Geteuid() || s.UID == 0)
}

// isSupervised reports whether the supervisor still has somebody to supervise.
func (n *Network) isSupervised() bool {
	raw, err := n.alive.SyscallConn()
	if err != nil {
		return false
	}
	supervised := false
	raw.Control(func(fd uintptr) {
		polled := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		_, err := unix.Poll(polled, 0)
		supervised = err == nil && polled[0].Revents == 0
	})
	return supervised
}

// Package peer tells who is at the other end of a loopback connection: the
// user that owns the socket, and the process that holds it.
package peer

import (
	"errors"
	"net"
	"net/netip"
)

// ErrUnknown is returned where the system cannot say.
var ErrUnknown = errors.New("the owner of the connection is not known")

// ErrGone is returned where the system could say, and the socket is no more, or no
// process's any more: whose it was cannot be told.
var ErrGone = errors.New("the client has gone")

// Socket is the peer's end of a connection.
type Socket struct {
	// UID is the numeric user that owns it.
	UID int
	// Inode identifies it in /proc.
	Inode uint32
}

// Process is a process that holds a socket.
type Process struct {
	PID  int
	Name string // the command's name
}

// addrs returns the connection as the peer sees it.
func addrs(c net.Conn) (local, remote netip.AddrPort, ok bool) {
	l, lok := c.RemoteAddr().(*net.TCPAddr)
	r, rok := c.LocalAddr().(*net.TCPAddr)
	if !lok || !rok {
		return local, remote, false
	}
	unmap := func(a *net.TCPAddr) netip.AddrPort {
		ap := a.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return unmap(l), unmap(r), true
}

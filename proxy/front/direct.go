package front

import (
	"net"

	"github.com/agentproxy/agentproxy/proxy/status"
)

// Direct carries a connection of which it is known, without CONNECT, where it is to
// go. Where no tunnel is to be had, refuse answers the client in a way that it
// understands.
func (f *Front) Direct(conn net.Conn, target string, refuse func(*status.Failure)) {
	f.taking(conn, func() {
		tunnel, err := f.openTunnel(conn, target)
		if err != nil {
			failure := failureOf(err, target)
			f.report(conn, failure)
			refuse(failure)
			return
		}
		defer tunnel.Close()
		taken, ended := f.opened(conn, target, tunnel)
		defer ended()
		f.carry(conn, conn, tunnel, taken)
	})
}

// ServeConn serves a connection as one that was accepted.
func (f *Front) ServeConn(conn net.Conn) {
	f.taking(conn, func() {
		if carry := f.handle(conn); carry != nil {
			carry()
		}
	})
}

// Relay carries bytes both ways until both have ended.
func (f *Front) Relay(conn, other net.Conn) {
	f.taking(conn, func() { f.relay(conn, conn, other) })
	other.Close()
}

// taking serves a connection unless the front is closed, and closes it.
func (f *Front) taking(conn net.Conn, handle func()) {
	if f.add(conn) {
		f.serve(conn, handle)
	}
}

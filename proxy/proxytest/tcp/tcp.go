// Package tcp makes connected pairs and a service for tests of every layer: it imports
// nothing of the module.
package tcp

import (
	"io"
	"net"
	"testing"
)

// Pair returns both ends of a connection over loopback, which are closed with the
// test.
func Pair(t testing.TB) (client, server *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

// Greet says the same to whoever connects, until the listener is closed.
func Greet(l net.Listener, says string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		io.WriteString(c, says)
		c.Close()
	}
}

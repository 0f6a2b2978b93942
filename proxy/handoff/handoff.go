// Package handoff lets an http.Server serve connections that somebody else has
// accepted and already looked at.
package handoff

import (
	"errors"
	"net"
	"sync"
)

// Listener is a net.Listener whose connections come from Serve.
type Listener struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

// New returns a listener that claims to listen at addr.
func New(addr net.Addr) *Listener {
	return &Listener{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
}

// Serve hands c to whoever accepts from the listener and returns when c has
// been closed. wrap may dress the connection before it is handed over; it is
// given c with a Close that Serve notices, and may be nil.
func (l *Listener) Serve(c net.Conn, wrap func(net.Conn) net.Conn) {
	w := &watched{Conn: c, closed: make(chan struct{})}
	var handed net.Conn = w
	if wrap != nil {
		handed = wrap(w)
	}
	select {
	case l.conns <- handed:
		<-w.closed
	case <-l.done:
		c.Close()
	}
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return l.addr }

// Prefixed returns c with bytes before it that were read too early.
func Prefixed(c net.Conn, prefix []byte) net.Conn { return &prefixed{Conn: c, prefix: prefix} }

type prefixed struct {
	net.Conn
	prefix []byte
}

func (c *prefixed) Read(b []byte) (int, error) {
	if len(c.prefix) > 0 {
		n := copy(b, c.prefix)
		c.prefix = c.prefix[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}

// CloseWrite half-closes, where the connection can.
func (c *prefixed) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

// watched notices its Close.
type watched struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (c *watched) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { close(c.closed) })
	return err
}

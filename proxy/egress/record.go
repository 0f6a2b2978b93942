package egress

import (
	"encoding/binary"
	"net"
	"sync"
)

// recordConn gives its reader one TLS record at a time (RFC 8446 §5.1), so that
// after the handshake what has arrived of the first request is here and not in
// crypto/tls, which does not tell what it holds. Once released it is out of the
// way. The records of one large write can be gathered into one segment.
type recordConn struct {
	net.Conn
	buf      []byte // read from the connection, not yet given on
	left     int    // bytes of the current record that are still to be given on
	released bool

	mu sync.Mutex
	// gathered are the records of a write under way, nil while each is sent by
	// itself.
	gathered *[]byte
}

const recordHeader = 5

// Read gives on at most the rest of one record.
func (c *recordConn) Read(b []byte) (int, error) {
	if c.released && len(c.buf) == 0 {
		return c.Conn.Read(b)
	}
	for len(c.buf) == 0 || c.left == 0 && len(c.buf) < recordHeader && !c.released {
		more := make([]byte, 4096)
		n, err := c.Conn.Read(more)
		c.buf = append(c.buf, more[:n]...)
		if err != nil && n == 0 {
			return 0, err
		}
	}
	if c.left == 0 && !c.released {
		c.left = recordHeader + int(binary.BigEndian.Uint16(c.buf[3:]))
	}
	n := len(c.buf)
	if !c.released {
		n = min(n, c.left)
	}
	n = copy(b, c.buf[:n])
	c.buf = c.buf[n:]
	c.left -= n
	if len(c.buf) == 0 {
		c.buf = nil
	}
	return n, nil
}

// release ends the handling by records and tells whether bytes are held that
// the peer has sent behind its handshake.
func (c *recordConn) release() (held bool) {
	c.released = true
	return len(c.buf) > 0
}

const (
	// maxPlaintext is what a TLS record carries (RFC 8446 §5.1).
	maxPlaintext = 16 << 10
	// segment is how much is gathered: the records of a copy buffer.
	segment = copyBuffer + copyBuffer/maxPlaintext*64
)

var segments = sync.Pool{New: func() any {
	b := make([]byte, 0, segment)
	return &b
}}

// Write sends b, or gathers it while gather is under way.
func (c *recordConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gathered == nil {
		return c.Conn.Write(b)
	}
	if len(*c.gathered)+len(b) > segment {
		if err := c.send(); err != nil {
			return 0, err
		}
	}
	*c.gathered = append(*c.gathered, b...)
	return len(b), nil
}

// gather calls write, which writes through TLS to this connection, and sends the
// records that it makes together: crypto/tls sends each by itself.
func (c *recordConn) gather(write func([]byte) (int, error), b []byte) (int, error) {
	c.mu.Lock()
	c.gathered = segments.Get().(*[]byte)
	c.mu.Unlock()
	n, err := write(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if unsent := c.send(); err == nil && unsent != nil {
		n, err = 0, unsent
	}
	segments.Put(c.gathered)
	c.gathered = nil
	return n, err
}

// send sends what is gathered; the lock is held.
func (c *recordConn) send() error {
	if len(*c.gathered) == 0 {
		return nil
	}
	_, err := c.Conn.Write(*c.gathered)
	*c.gathered = (*c.gathered)[:0]
	return err
}

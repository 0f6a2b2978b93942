package egress

import (
	"encoding/binary"
	"net"
)

// recordConn gives its reader one TLS record at a time (RFC 8446 §5.1), so that
// after the handshake what has arrived of the first request is here and not in
// crypto/tls, which does not tell what it holds. Once released it is out of the
// way.
type recordConn struct {
	net.Conn
	buf      []byte // read from the connection, not yet given on
	left     int    // bytes of the current record that are still to be given on
	released bool
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

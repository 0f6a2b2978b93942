package capture

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// helloTimeout is how long a client is waited for that may speak first, as those of
// TLS do.
const helloTimeout = 2 * time.Second

const (
	recordHeader = 5    // of TLS (RFC 8446 §5.1): type, version, length
	handshake    = 0x16 // the type of a record with a ClientHello
	maxRecord    = recordHeader + 1<<14
)

// serverName returns the server name of the ClientHello that a client has sent, ""
// when it has sent none. The bytes stay where they are, for whoever serves it.
func serverName(c *net.TCPConn) string {
	raw, err := c.SyscallConn()
	if err != nil {
		return ""
	}
	c.SetReadDeadline(time.Now().Add(helloTimeout))
	defer c.SetReadDeadline(time.Time{})
	buffer, n := make([]byte, maxRecord), 0
	raw.Read(func(fd uintptr) bool {
		got, _, err := unix.Recvfrom(int(fd), buffer, unix.MSG_PEEK|unix.MSG_DONTWAIT)
		if err == unix.EAGAIN || err == unix.EINTR {
			return false
		}
		if err != nil || got <= n { // its end
			return true
		}
		n = got
		return isWhole(buffer[:n])
	})
	return nameIn(buffer[:n])
}

// isWhole reports whether no more needs to be waited for.
func isWhole(b []byte) bool {
	return b[0] != handshake || len(b) >= recordHeader && len(b) >= recordHeader+int(binary.BigEndian.Uint16(b[3:]))
}

var errSeen = errors.New("the ClientHello has been seen")

// nameIn reads the server name by Go's own parser.
func nameIn(hello []byte) (name string) {
	tls.Server(readOnly{hello: &hello}, &tls.Config{GetConfigForClient: func(info *tls.ClientHelloInfo) (*tls.Config, error) {
		name = info.ServerName
		return nil, errSeen
	}}).Handshake()
	return name
}

// readOnly is a connection on which a ClientHello has come and nothing more will.
type readOnly struct {
	net.Conn
	hello *[]byte
}

func (c readOnly) Read(b []byte) (int, error) {
	if len(*c.hello) == 0 {
		return 0, io.EOF
	}
	n := copy(b, *c.hello)
	*c.hello = (*c.hello)[n:]
	return n, nil
}

func (readOnly) Write(b []byte) (int, error) { return len(b), nil } // an alert

func (readOnly) SetWriteDeadline(time.Time) error { return nil }
func (readOnly) Close() error                     { return nil }

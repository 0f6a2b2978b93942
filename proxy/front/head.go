package front

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"time"

	"github.com/agentproxy/agentproxy/proxy/handoff"
)

var (
	discard         = log.New(io.Discard, "", 0)
	errHeadTooLarge = fmt.Errorf("the request head is larger than %d bytes", maxHead)
)

// headConn is a client's connection of which the beginning has been looked at.
type headConn struct {
	net.Conn
	br *bufio.Reader
}

// The smallest buffer that bufio has; most clients send their head in one
// write, and idle tunnels keep no buffer at all (see afterHead).
const headBuffer = 2048

func newHeadConn(c net.Conn) *headConn {
	return &headConn{Conn: c, br: bufio.NewReaderSize(c, headBuffer)}
}

func (c *headConn) Read(b []byte) (int, error) { return c.br.Read(b) }

// CloseWrite half-closes, where the connection can.
func (c *headConn) CloseWrite() error { return closeWrite(c.Conn) }

// peek returns the first n bytes, or those that are there when the third is
// known not to be part of "CONNECT ".
func (c *headConn) peek(n int) ([]byte, error) {
	for i := 1; ; i++ {
		b, err := c.br.Peek(i)
		if err != nil {
			return nil, err
		}
		if i == n || !strings.HasPrefix("CONNECT ", string(b)) {
			return b, nil
		}
	}
}

// readHead reads and parses a CONNECT request up to the empty line.
func (c *headConn) readHead(limit int) (*head, error) {
	var raw bytes.Buffer
	for {
		line, err := c.br.ReadSlice('\n')
		raw.Write(line)
		switch {
		case raw.Len() > limit:
			return nil, errHeadTooLarge
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			return nil, errors.New("the client closed before its request was complete")
		case err != nil:
			return nil, err
		}
		if b := raw.Bytes(); bytes.HasSuffix(b, []byte("\n\r\n")) || bytes.HasSuffix(b, []byte("\n\n")) {
			return parseHead(raw.Bytes())
		}
	}
}

// parseHead parses a CONNECT request, HTTP/1.0 or 1.1 (Python before 3.12, PHP
// and openssl send 1.0 without Host).
func parseHead(raw []byte) (*head, error) {
	line, rest, _ := bytes.Cut(raw, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	fields := strings.Split(string(line), " ")
	if len(fields) != 3 || fields[0] != "CONNECT" {
		return nil, errors.New(`the request line is not "CONNECT host:port HTTP/1.1"`)
	}
	if fields[2] != "HTTP/1.1" && fields[2] != "HTTP/1.0" {
		return nil, errors.New("the version of HTTP in the request line is neither 1.1 nor 1.0")
	}
	header, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(rest))).ReadMIMEHeader()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.New("a header line cannot be parsed")
	}
	return &head{target: fields[1], header: http.Header(header)}, nil
}

// afterHead returns the connection for the tunnel: the plain one when nothing
// is buffered, so that the kernel can splice and no buffer is held.
func (c *headConn) afterHead() net.Conn {
	n := c.br.Buffered()
	if n == 0 {
		c.br = nil
		return c.Conn
	}
	early := make([]byte, n)
	io.ReadFull(c.br, early)
	c.br = nil
	return handoff.Prefixed(c.Conn, early)
}

// drain lets the client read our answer before the connection is reset by
// what it may still be sending.
func (c *headConn) drain() {
	closeWrite(c.Conn)
	c.Conn.SetReadDeadline(time.Now().Add(time.Second))
	io.CopyN(io.Discard, c.br, 64<<10)
}

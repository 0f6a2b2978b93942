package http1

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"

	"github.com/agentproxy/agentproxy/proxy/egress/message"
	"github.com/agentproxy/agentproxy/proxy/egress/wire"
)

const (
	// originHead is the buffer for answers; trailers must fit into it.
	originHead = 16 << 10
	// maxHead bounds the head of an answer, in bytes, with the interim answers
	// before it, as net/http's Transport does.
	maxHead = 1 << 20
)

var (
	errHeadTooLarge = fmt.Errorf("the head of its answer is larger than %d bytes", maxHead)
	errStale        = errors.New("the connection has ended or is out of step")
)

// Conn is a connection to an origin that speaks HTTP/1.1.
type Conn struct {
	*tls.Conn
	in  *bufio.Reader
	out *bufio.Writer
	// allowance is how many more bytes may be read for the head at hand.
	allowance int64
}

// NewConn is for a TLS connection over a wire.Wire.
func NewConn(c *tls.Conn) *Conn {
	o := &Conn{Conn: c, out: bufio.NewWriterSize(c, outBuffer)}
	o.in = bufio.NewReaderSize(o, originHead)
	return o
}

// Read reads at most what the head may still have.
func (c *Conn) Read(b []byte) (int, error) {
	if c.allowance <= 0 {
		return 0, errHeadTooLarge
	}
	if int64(len(b)) > c.allowance {
		b = b[:c.allowance]
	}
	n, err := c.Conn.Read(b)
	c.allowance -= int64(n)
	return n, err
}

// Reusable reports whether the connection can carry another request: the answer
// to the last one has been read, and nothing behind it, which would be taken for
// the answer to the next.
func (c *Conn) Reusable() bool { return c.in.Buffered() == 0 && wire.Read(c.Conn) }

// ask sends a request without body. A connection that was idle may have ended, or be out of
// step.
func (c *Conn) ask(r *http.Request, wasIdle bool) error {
	write := func() error {
		for _, s := range [...]string{r.Method, " ", r.RequestURI, " HTTP/1.1\r\nHost: ", r.Host, "\r\n"} {
			c.out.WriteString(s)
		}
		r.Header.Write(c.out)
		c.out.WriteString("\r\n")
		return c.out.Flush()
	}
	if wasIdle {
		if asked, err := wire.Ask(c.Conn, write); asked {
			return err
		}
		if !wire.Silent(c.Conn) {
			return errStale
		}
	}
	return write()
}

// exchange sends a request without body and reads the head of the answer.
func (c *Conn) exchange(r *http.Request, wasIdle bool, interim func(*http.Response) error) (*http.Response, error) {
	if err := c.ask(r, wasIdle); err != nil {
		return nil, err
	}
	c.allowance = maxHead
	for range message.MaxInterim + 1 {
		res, options, err := c.response(r)
		if err != nil {
			return nil, err
		}
		if err := message.Vet(res, false); err != nil {
			return nil, err
		}
		for _, name := range options {
			res.Header.Del(name)
		}
		if res.StatusCode >= 200 {
			c.allowance = math.MaxInt64
			message.CloseDelimited(res, wire.Of(c.Conn))
			return res, nil
		}
		if err := interim(res); err != nil {
			return nil, err
		}
	}
	return nil, message.ErrTooManyInterim
}

// fill reads what else of a body is at hand behind the first n bytes of b, so that one
// of several records is passed on by the bufferful. It is not for a body in chunks:
// net/http's reader of chunks keeps its errors.
func (c *Conn) fill(body io.Reader, b []byte, n int) (int, error) {
	for n < len(b) {
		more, err := wire.AtHand(c.Conn, body, b[n:])
		n += more
		if more == 0 || err != nil {
			return n, err
		}
	}
	return n, nil
}

// response reads the head of an answer. options are the fields that it names in
// Connection beside "close", which http.ReadResponse forgets then.
func (c *Conn) response(r *http.Request) (res *http.Response, options []string, err error) {
	head := c.peekHead()
	if res := parseResponse(string(head), r, c.in); res != nil {
		c.in.Discard(len(head))
		return res, nil, nil
	}
	options = connectionOptions(head)
	res, err = http.ReadResponse(c.in, r)
	return res, options, err
}

// peekHead returns the head to come. It is empty when it does not come, or does not fit into
// the buffer.
func (c *Conn) peekHead() []byte {
	for n := 1; n <= originHead; n = c.in.Buffered() + 1 {
		if _, err := c.in.Peek(n); err != nil {
			return nil
		}
		head, _ := c.in.Peek(c.in.Buffered())
		if end := endOfHead(head); end > 0 {
			return head[:end]
		}
	}
	return nil
}

func connectionOptions(head []byte) (names []string) {
	for line := range bytes.Lines(head) {
		const field = "connection:"
		if len(line) < len(field) || !strings.EqualFold(string(line[:len(field)]), field) {
			continue
		}
		for option := range strings.SplitSeq(string(line[len(field):]), ",") {
			if option = strings.TrimSpace(option); option != "" && !strings.EqualFold(option, "close") {
				names = append(names, option)
			}
		}
	}
	return names
}

// endOfHead returns the length of the head that b begins with, or 0 while it is
// not complete. Lines may end in a bare line feed (RFC 9112 §2.2).
func endOfHead(b []byte) int {
	for i := 0; ; {
		n := bytes.IndexByte(b[i:], '\n')
		if n < 0 {
			return 0
		}
		i += n + 1
		switch {
		case bytes.HasPrefix(b[i:], []byte("\n")):
			return i + 1
		case bytes.HasPrefix(b[i:], []byte("\r\n")):
			return i + 2
		}
	}
}

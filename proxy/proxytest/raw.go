package proxytest

import (
	"bufio"
	"io"
	"log"
	"net"
	"net/http"
	"testing"
	"time"
)

var discard = log.New(io.Discard, "", 0)

// Send writes raw bytes to the front and reads one response head. The
// connection is closed with the test.
func (tn *Tunnel) Send(t testing.TB, raw string) (net.Conn, *http.Response) {
	t.Helper()
	c, err := net.Dial("tcp", tn.URL.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(c, raw); err != nil {
		t.Fatal(err)
	}
	method := http.MethodGet
	if len(raw) > 7 && raw[:7] == http.MethodConnect {
		method = http.MethodConnect
	}
	br := bufio.NewReader(c)
	res, err := http.ReadResponse(br, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%q: no answer: %v", raw, err)
	}
	return &bufferedConn{c, br}, res
}

type bufferedConn struct {
	net.Conn
	br *bufio.Reader
}

func (c *bufferedConn) Read(b []byte) (int, error) { return c.br.Read(b) }

// CloseWrite half-closes.
func (c *bufferedConn) CloseWrite() error { return c.Conn.(*net.TCPConn).CloseWrite() }

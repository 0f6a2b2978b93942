package handoff

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// limit is how long a test waits for what must come: it is no measure.
const limit = 20 * time.Second

// tcpPair is a TCP connection's two ends.
func tcpPair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp4", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	for _, c := range []net.Conn{client, server} {
		c.SetDeadline(time.Now().Add(limit))
	}
	return client, server
}

// within waits for a channel to be closed.
func within(t *testing.T, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(limit):
		t.Fatal(what)
	}
}

// An http.Server answers on a connection that somebody else has accepted, and of
// which the first bytes have been read; Serve returns when it is done with it.
func TestServerServesWhatOthersAccepted(t *testing.T) {
	t.Parallel()
	client, conn := tcpPair(t)
	l := New(conn.LocalAddr())
	if l.Addr() != conn.LocalAddr() {
		t.Errorf("it claims to listen at %s", l.Addr())
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "you asked for "+r.URL.Path)
	})}
	go server.Serve(l)
	defer server.Close()
	io.WriteString(client, "GET /here HTTP/1.1\r\nHost: x.example\r\nConnection: close\r\n\r\n")
	first := make([]byte, 5)
	if _, err := io.ReadFull(conn, first); err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		l.Serve(Prefixed(conn, first), nil)
	}()
	answer, err := io.ReadAll(client)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(string(answer), "you asked for /here") {
		t.Errorf("%q, error %v", answer, err)
	}
	within(t, served, "Serve goes on after the connection's end")
}

// dressed is a connection in other clothes.
type dressed struct{ net.Conn }

// What is accepted is what wrap has made of the connection, and its end is noticed
// through the wrapping.
func TestWrapDressesTheConnection(t *testing.T) {
	t.Parallel()
	_, conn := tcpPair(t)
	l := New(conn.LocalAddr())
	served := make(chan struct{})
	go func() {
		defer close(served)
		l.Serve(conn, func(c net.Conn) net.Conn { return dressed{c} })
	}()
	got, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := got.(dressed); !ok {
		t.Errorf("accepted %T", got)
	}
	select {
	case <-served:
		t.Fatal("Serve returned while the connection is in use")
	default:
	}
	got.Close()
	within(t, served, "Serve goes on after the connection's end")
	got.Close() // again: harmless
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the connection below is open: %v", err)
	}
}

// A listener that has been closed accepts nothing, and closes what it is given, so
// that no client waits for ever.
func TestClosedListenerHangsUp(t *testing.T) {
	t.Parallel()
	client, conn := tcpPair(t)
	l := New(conn.LocalAddr())
	accepted := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		accepted <- err
	}()
	for range 2 { // net/http closes its listeners twice
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	select {
	case err := <-accepted:
		if !errors.Is(err, net.ErrClosed) { // http.Server takes only this for the end
			t.Errorf("Accept: %v", err)
		}
	case <-time.After(limit):
		t.Fatal("Accept waits for ever")
	}
	l.Serve(conn, nil)
	if n, err := client.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("%d bytes, error %v, want the end", n, err)
	}
}

// The bytes that were read too early come first, however small the reads, and none
// twice.
func TestPrefixedReadsTheEarlyBytesFirst(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 2, 3, 7, 64} {
		client, conn := tcpPair(t)
		io.WriteString(client, "and the rest")
		client.(*net.TCPConn).CloseWrite()
		var got bytes.Buffer
		if _, err := io.CopyBuffer(&got, struct{ io.Reader }{Prefixed(conn, []byte("early "))}, make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		if got.String() != "early and the rest" {
			t.Errorf("in pieces of %d: %q", size, got.String())
		}
	}
}

// A half-close reaches the connection below where that has one; where it has none
// the caller is told.
func TestPrefixedHalfCloses(t *testing.T) {
	t.Parallel()
	type halfCloser interface{ CloseWrite() error }
	client, conn := tcpPair(t)
	c := Prefixed(conn, nil)
	io.WriteString(c, "last words")
	if err := c.(halfCloser).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if said, err := io.ReadAll(client); err != nil || string(said) != "last words" {
		t.Errorf("%q, error %v", said, err)
	}
	io.WriteString(client, "an answer") // the other half is open
	client.Close()
	if said, err := io.ReadAll(c); err != nil || string(said) != "an answer" {
		t.Errorf("%q, error %v", said, err)
	}
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	if err := Prefixed(near, nil).(halfCloser).CloseWrite(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("error %v", err)
	}
}

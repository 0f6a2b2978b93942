package wire_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/egress/wire"
	"github.com/agentproxy/agentproxy/proxy/idle"
	"github.com/agentproxy/agentproxy/proxy/proxytest"
	"github.com/agentproxy/agentproxy/proxy/proxytest/tcp"
)

// pair is a client's TLS connection over a Wire, and the origin's end of it.
type pair struct {
	client *tls.Conn
	wire   *wire.Wire
	origin *tls.Conn
	raw    net.Conn // below the origin's TLS
}

func connect(t *testing.T) *pair {
	t.Helper()
	root := proxytest.NewCA(t, "root")
	cert := root.Issue(t, nil, nil, "origin.test")
	c, server := tcp.Pair(t)
	p := &pair{raw: server}
	var err error
	if p.wire, err = wire.New(c); err != nil {
		t.Fatal(err)
	}
	p.client = tls.Client(p.wire, &tls.Config{ServerName: "origin.test", RootCAs: root.Pool()})
	p.origin = tls.Server(p.raw, &tls.Config{Certificates: []tls.Certificate{cert}})
	done := make(chan error, 1)
	go func() { done <- p.origin.Handshake() }()
	if err := p.client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if wire.Of(p.client) != p.wire {
		t.Fatal("the wire below the connection is another")
	}
	// Both have spoken, so that the tickets of the handshake are on their way.
	p.exchange(t)
	return p
}

// exchange sends a byte each way.
func (p *pair) exchange(t *testing.T) {
	t.Helper()
	var b [1]byte
	for _, way := range []struct{ from, to io.ReadWriter }{{p.client, p.origin}, {p.origin, p.client}} {
		if _, err := way.from.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(way.to, b[:]); err != nil {
			t.Fatal(err)
		}
	}
}

// waiting reports whether the kernel has something for the client.
func (p *pair) waiting() bool { return idle.Readable(p.wire.Conn) }

// arrived waits until the kernel has something for the client.
func (p *pair) arrived(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !p.waiting(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing arrives")
		}
	}
}

func TestAnIdleConnectionIsSilent(t *testing.T) {
	t.Parallel()
	p := connect(t)
	for range 3 {
		if !wire.Silent(p.client) || !wire.Read(p.client) || p.wire.Cut() {
			t.Fatal("there is something to read")
		}
		p.exchange(t) // looking has taken nothing away
	}
}

// What an origin sends unasked, whole or in part, in TLS or not, makes its
// connection unfit for another request.
func TestWhatAnOriginSendsUnasked(t *testing.T) {
	t.Parallel()
	for name, send := range map[string]func(*pair){
		"plaintext":      func(p *pair) { p.origin.Write([]byte("HTTP/1.1 408 Request Timeout\r\n\r\n")) },
		"half a record":  func(p *pair) { p.raw.Write([]byte{23, 3, 3, 0, 100, 1, 2, 3}) },
		"half a header":  func(p *pair) { p.raw.Write([]byte{23, 3}) },
		"the end of TLS": func(p *pair) { p.origin.CloseWrite() },
		"the end of TCP": func(p *pair) { p.raw.(*net.TCPConn).CloseWrite() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := connect(t)
			send(p)
			p.arrived(t)
			// Nothing of it is taken for the answer to a request.
			if asked, err := wire.Ask(p.client, func() error { return errors.New("it writes") }); asked || err != nil {
				t.Errorf("asked: %v, %v", asked, err)
			}
			if wire.Silent(p.client) {
				t.Error("silent")
			}
			if wire.Silent(p.client) {
				t.Error("silent again")
			}
			if cut := name == "the end of TCP"; p.wire.Cut() != cut {
				t.Errorf("cut is %v", !cut)
			}
		})
	}
}

// Ask returns once the answer has come, or can no longer come.
func TestAskWaitsForTheAnswer(t *testing.T) {
	t.Parallel()
	p := connect(t)
	for _, pause := range []time.Duration{0, 20 * time.Millisecond} { // the answer comes before the wait begins, and after
		asked, err := wire.Ask(p.client, func() error {
			go func() {
				time.Sleep(pause)
				p.origin.Write([]byte("y"))
			}()
			if pause == 0 {
				p.arrived(t)
			}
			return nil
		})
		if !asked || err != nil || !p.waiting() {
			t.Fatalf("asked: %v, %v, and there is something to read: %v", asked, err, p.waiting())
		}
		if _, err := io.ReadFull(p.client, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	failure := errors.New("it cannot be written")
	if asked, err := wire.Ask(p.client, func() error { return failure }); !asked || err != failure {
		t.Errorf("a write that fails: %v, %v", asked, err)
	}
	asked, err := wire.Ask(p.client, func() error {
		time.AfterFunc(20*time.Millisecond, func() { p.client.Close() })
		return nil
	})
	if !asked || !errors.Is(err, net.ErrClosed) {
		t.Errorf("a connection that is closed meanwhile: %v, %v", asked, err)
	}
}

// What the client has sent counts, the alert that closes a connection does not.
func TestSent(t *testing.T) {
	t.Parallel()
	p := connect(t)
	before := p.wire.Sent()
	if _, err := p.client.Write([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	after := p.wire.Sent()
	if after <= before {
		t.Errorf("%d bytes before a request, %d behind it", before, after)
	}
	if err := p.client.Close(); err != nil {
		t.Fatal(err)
	}
	if p.wire.Sent() != after {
		t.Errorf("closing counts for %d bytes", p.wire.Sent()-after)
	}
}

func TestOnCloseIsCalledOnce(t *testing.T) {
	t.Parallel()
	p := connect(t)
	n := 0
	p.wire.OnClose = func() { n++ }
	p.client.Close()
	p.wire.Close()
	if n != 1 {
		t.Errorf("called %d times", n)
	}
}

// Settle waits for a reader that runs ahead, as net/http's does: until it has
// taken all and waits for more, or closes the connection.
func TestSettle(t *testing.T) {
	t.Parallel()
	p := connect(t)
	go func() {
		var b [100]byte
		for {
			if _, err := p.client.Read(b[:]); err != nil {
				p.client.Close()
				return
			}
		}
	}()
	if !p.wire.Settle() {
		t.Error("an idle connection ends within a record")
	}
	p.raw.Write([]byte{23, 3, 3, 0, 100, 1})
	for end := time.Now().Add(20 * time.Second); p.wire.Settle(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("half a record does not show")
		}
	}
	p.raw.Close()
	p.wire.Settle() // returns, as the reader has closed it
}

func TestACutShows(t *testing.T) {
	t.Parallel()
	p := connect(t)
	p.raw.Close()
	if _, err := p.client.Read(make([]byte, 1)); err != io.ErrUnexpectedEOF && err != io.EOF {
		t.Errorf("a cut connection ends with %v", err)
	}
	if !p.wire.Cut() {
		t.Error("a cut does not show")
	}
}

// AtHand never waits, loses nothing, and leaves the connection fit for ordinary reads.
func TestAtHandTakesWhatIsThere(t *testing.T) {
	t.Parallel()
	p := connect(t)
	b := make([]byte, 64<<10)
	if n, err := wire.AtHand(p.client, p.client, b); n != 0 || err != nil {
		t.Fatalf("%d bytes and %v of a silent connection", n, err)
	}
	sent := bytes.Repeat([]byte("0123456789abcdef"), 3<<10) // 48 KiB: three records
	if _, err := p.origin.Write(sent); err != nil {
		t.Fatal(err)
	}
	n, err := p.client.Read(b)
	for err == nil && n < len(sent) {
		var more int
		more, err = wire.AtHand(p.client, p.client, b[n:])
		n += more
	}
	if err != nil || !bytes.Equal(b[:n], sent) {
		t.Fatalf("%d bytes of %d, %v", n, len(sent), err)
	}
	p.exchange(t)
	p.origin.Close()
	if n, err := p.client.Read(b); n != 0 || err != io.EOF {
		t.Fatalf("%d bytes and %v at the end", n, err)
	}
	if n, err := wire.AtHand(p.client, p.client, b); n != 0 || err != io.EOF {
		t.Errorf("%d bytes and %v behind the end", n, err)
	}
}

//go:build unix

package idle

import (
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/proxytest/tcp"
)

// limit is how long a test waits for what must come: it is no measure.
const limit = 20 * time.Second

// eventually waits until something holds, which the kernel may take a moment for.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

// Wait lasts until there is something to read, be it data or the end, and takes
// nothing of it.
func TestWaitReturnsForDataAndForTheEnd(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		act  func(*net.TCPConn)
		want string
	}{
		{"data", func(c *net.TCPConn) { io.WriteString(c, "hello"); c.CloseWrite() }, "hello"},
		{"a half-close", func(c *net.TCPConn) { c.CloseWrite() }, ""},
		{"the end", func(c *net.TCPConn) { c.Close() }, ""},
	} {
		client, server := tcp.Pair(t)
		waited := make(chan error, 1)
		go func() { waited <- Wait(server) }()
		select {
		case err := <-waited:
			t.Fatalf("%s: it returned with nothing to read: %v", c.name, err)
		case <-time.After(20 * time.Millisecond):
		}
		c.act(client)
		select {
		case err := <-waited:
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		case <-time.After(limit):
			t.Fatalf("%s: it waits for ever", c.name)
		}
		if got, err := io.ReadAll(server); err != nil || string(got) != c.want {
			t.Errorf("%s: then %q is read, error %v", c.name, got, err)
		}
	}
}

// A deadline and a Close end the wait with an error.
func TestWaitEndsWithTheConnection(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*net.TCPConn){
		"deadline": func(c *net.TCPConn) { c.SetReadDeadline(time.Unix(1, 0)) },
		"close":    func(c *net.TCPConn) { c.Close() },
	} {
		_, server := tcp.Pair(t)
		waited := make(chan error, 1)
		go func() { waited <- Wait(server) }()
		end(server)
		select {
		case err := <-waited:
			if err == nil {
				t.Errorf("%s: no error", name)
			}
		case <-time.After(limit):
			t.Fatalf("%s: it waits for ever", name)
		}
	}
}

func TestReadable(t *testing.T) {
	t.Parallel()
	client, server := tcp.Pair(t)
	if Readable(server) {
		t.Error("readable with nothing to read")
	}
	io.WriteString(client, "x")
	eventually(t, "data are not noticed", func() bool { return Readable(server) })
	io.ReadFull(server, make([]byte, 1))
	if Readable(server) {
		t.Error("readable when all has been read")
	}
	client.Close()
	eventually(t, "the end is not noticed", func() bool { return Readable(server) })
	server.Close()
	if !Readable(server) {
		t.Error("a closed connection: the read must not be put off, its error is wanted")
	}
}

// A peer that has closed its side is noticed behind what it sent before.
func TestHungUp(t *testing.T) {
	t.Parallel()
	client, server := tcp.Pair(t)
	io.WriteString(client, "unread")
	eventually(t, "data are not noticed", func() bool { return Readable(server) })
	if HungUp(server) {
		t.Error("the peer is there")
	}
	if runtime.GOOS == "linux" { // elsewhere half a close is not seen
		client.CloseWrite()
		eventually(t, "the half-close is not noticed", func() bool { return HungUp(server) })
	}
	server.Close()
	if !HungUp(server) {
		t.Error("a closed connection is gone")
	}
}

// Moved tells a connection in use from one that lies still.
func TestMoved(t *testing.T) {
	t.Parallel()
	client, server := tcp.Pair(t)
	io.WriteString(client, "x")
	io.ReadFull(server, make([]byte, 1))
	if want := runtime.GOOS == "linux"; Moved(server, time.Hour) != want || Moved(client, time.Hour) != want {
		t.Error("what has just moved has not moved within an hour")
	}
	time.Sleep(20 * time.Millisecond)
	if Moved(server, time.Millisecond) || Moved(client, time.Millisecond) {
		t.Error("what lies still has moved")
	}
	client.Close()
	if Moved(client, time.Hour) {
		t.Error("a closed connection has moved")
	}
}

// Anything but a TCP connection is read as ever: nobody waits for it here.
func TestOtherConnections(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	if err := Wait(near); err != nil {
		t.Error(err)
	}
	if Readable(near) || HungUp(near) || Moved(near, time.Hour) {
		t.Error("something is said of a connection that is not TCP's")
	}
}

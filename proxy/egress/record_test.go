package egress

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/proxytest/tcp"
)

type readConn struct {
	net.Conn
	io.Reader
}

func (c readConn) Read(b []byte) (int, error) { return c.Reader.Read(b) }

// However the bytes arrive, every read ends with its record, and none is lost.
func TestRecordConn(t *testing.T) {
	first, second, tail := []byte("\x16\x03\x01\x00\x05hello"), []byte("\x17\x03\x03\x00\x01x"), []byte("\x17\x03\x03\x00\x04rest")
	all := bytes.Join([][]byte{first, second, tail}, nil)
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"at once": func(r io.Reader) io.Reader { return r }, "bytewise": iotest.OneByteReader, "in halves": iotest.HalfReader, "error with the data": iotest.DataErrReader,
	} {
		t.Run(name, func(t *testing.T) {
			c := &recordConn{Conn: readConn{Reader: wrap(bytes.NewReader(all))}}
			for _, want := range [][]byte{first, second} {
				got := make([]byte, 0, 64)
				for len(got) < len(want) {
					n, err := c.Read(got[len(got):cap(got)])
					if err != nil {
						t.Fatal(err)
					}
					got = got[:len(got)+n]
				}
				if !bytes.Equal(got, want) {
					t.Fatalf("got %q, want %q", got, want)
				}
			}
			held := c.release()
			if name == "at once" && !held || name == "bytewise" && held {
				t.Errorf("held %v", held)
			}
			if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, tail) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// countedConn counts the writes that reach the network.
type countedConn struct {
	net.Conn
	writes atomic.Int64
}

func (c *countedConn) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

// The records of a large write leave together, those of small ones at once, and the
// peer reads what was written.
func TestRecordsOfAWriteLeaveTogether(t *testing.T) {
	t.Parallel()
	authority, err := ca.Open(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	config, err := authority.Config("origin.test")
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(authority.Certificate())
	near, far := tcp.Pair(t)
	counted := &countedConn{Conn: near}
	records := &recordConn{Conn: counted}
	server := tls.Server(records, config)
	client := tls.Client(far, &tls.Config{ServerName: "origin.test", RootCAs: roots})
	done := make(chan error, 1)
	go func() { done <- client.Handshake() }()
	if err := errors.Join(server.Handshake(), <-done); err != nil {
		t.Fatal(err)
	}
	c := &clientConn{Conn: server, tls: server, records: records}
	for size, most := range map[int]int64{1: 1, maxPlaintext: 1, maxPlaintext + 1: 1, copyBuffer: 1, 3*copyBuffer + 5: 4} {
		sent := bytes.Repeat([]byte{'x', byte(size)}, size)[:size]
		before := counted.writes.Load()
		go func() {
			_, err := c.Write(sent)
			done <- err
		}()
		got := make([]byte, size)
		if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, sent) {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if n := counted.writes.Load() - before; n > most {
			t.Errorf("%d bytes left in %d writes, want %d at most", size, n, most)
		}
	}
	near.Close()
	if n, err := c.Write(make([]byte, copyBuffer)); n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed connection took %d bytes and said %v", n, err)
	}
}

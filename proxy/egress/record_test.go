package egress

import (
	"bytes"
	"io"
	"net"
	"testing"
	"testing/iotest"
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

package lying

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Path is where the scripts are asked for: Path plus the number in the list.
const Path = "/lie/"

// Origin serves scripts. A request for anything else is answered with its own
// request line, so that what a script left behind shows.
type Origin struct {
	Scripts []*Script
	Cert    tls.Certificate

	mu   sync.Mutex
	done map[int]chan struct{}
}

// Done is closed when the script of that number has been played once.
func (o *Origin) Done(script int) <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.done == nil {
		o.done = map[int]chan struct{}{}
	}
	if o.done[script] == nil {
		o.done[script] = make(chan struct{})
	}
	return o.done[script]
}

func (o *Origin) played(script int) {
	done := o.Done(script)
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case <-done:
	default:
		close(o.done[script])
	}
}

// Serve speaks HTTP/1.1 over TLS on c until either side has had enough.
func (o *Origin) Serve(c net.Conn) {
	held := &held{Conn: c}
	conn := tls.Server(held, &tls.Config{Certificates: []tls.Certificate{o.Cert}, NextProtos: []string{"http/1.1"}, DynamicRecordSizingDisabled: true})
	defer c.Close()
	if conn.Handshake() != nil {
		return
	}
	in := bufio.NewReader(conn)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		io.Copy(io.Discard, r.Body)
		script := -1
		if _, err := fmt.Sscanf(r.URL.Path, Path+"%d", &script); err != nil || script < 0 || script >= len(o.Scripts) {
			if err := tell(conn, r); err != nil {
				return
			}
			continue
		}
		held.hold = true
		err = o.Scripts[script].play(conn, held, in)
		held.hold = false
		o.played(script)
		if err == errEnded {
			drain(c)
		}
		if err != nil {
			return
		}
	}
}

func tell(w io.Writer, r *http.Request) error {
	body := Truth(r.Method, r.RequestURI)
	if r.Method == http.MethodHead {
		body = ""
	}
	_, err := fmt.Fprintf(w, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Own: %s\r\n\r\n%s", len(Truth(r.Method, r.RequestURI)), r.RequestURI, body)
	return err
}

// Truth is the body of a true answer.
func Truth(method, uri string) string { return method + " " + uri }

// play returns an error when the connection is at its end.
func (s *Script) play(conn *tls.Conn, out *held, in *bufio.Reader) error {
	for _, st := range s.steps {
		var err error
		switch st.verb {
		case "record":
			_, err = conn.Write([]byte(st.bytes))
		case "repeat":
			err = repeat(conn, out, st)
		case "raw":
			_, err = out.Write([]byte(st.bytes))
		case "segment":
			err = out.flush()
		case "pause":
			time.Sleep(st.pause)
		case "read":
			_, err = http.ReadRequest(in)
		case "close":
			conn.CloseWrite()
			return out.end()
		case "fin":
			return out.end()
		case "rst":
			out.flush()
			if tcp, ok := out.Conn.(*net.TCPConn); ok {
				tcp.SetLinger(0)
			}
			return net.ErrClosed
		}
		if err != nil {
			return err
		}
	}
	return out.flush()
}

func repeat(conn *tls.Conn, out *held, st step) error {
	const record = 16 << 10
	per := max(1, record/max(1, len(st.bytes)))
	chunk := []byte(strings.Repeat(st.bytes, per))
	for left := st.times; left > 0; left -= per {
		if left < per {
			chunk = chunk[:left*len(st.bytes)]
		}
		if _, err := conn.Write(chunk); err != nil {
			return err
		}
		if err := out.flush(); err != nil {
			return err
		}
	}
	return nil
}

var errEnded = errors.New("the script has ended the connection")

// drain reads what the peer still sends, so that what was sent to it is not
// taken back by a reset.
func drain(c net.Conn) {
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	io.Copy(io.Discard, c)
}

// held is a connection that writes when it is told to.
type held struct {
	net.Conn
	hold bool
	buf  bytes.Buffer
}

func (h *held) Write(b []byte) (int, error) {
	if h.hold {
		return h.buf.Write(b)
	}
	return h.Conn.Write(b)
}

func (h *held) flush() error {
	_, err := h.Conn.Write(h.buf.Bytes())
	h.buf.Reset()
	return err
}

// end flushes and closes one side of TCP.
func (h *held) end() error {
	h.SetWriteDeadline(time.Time{}) // which tls.Conn.CloseWrite has set
	if err := h.flush(); err != nil {
		return err
	}
	if tcp, ok := h.Conn.(*net.TCPConn); ok {
		tcp.CloseWrite()
	}
	return errEnded
}

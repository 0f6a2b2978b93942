// Package wire is the TCP connection below the TLS of an origin. It knows what
// crypto/tls does not show, and what decides whether a connection may carry
// another request: whether the peer has sent anything that was not read, and
// whether it ended the stream in TLS or cut it.
package wire

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/agentproxy/agentproxy/proxy/idle"
	"golang.org/x/sys/unix"
)

// Wire is the connection. Its zero value is of no use; see New.
type Wire struct {
	net.Conn
	// OnClose is called once; it is set before the connection is used.
	OnClose func()

	records records
	sent    atomic.Int64 // bytes, but for alerts
	// wait is how Read behaves; only the one goroutine that reads changes it.
	wait waiting
	// cut: the peer has closed TCP, and TLS wanted more (RFC 8446 §6.1). After a
	// close_notify TLS reads no more.
	cut atomic.Bool

	raw  syscall.RawConn
	try  func(fd uintptr) bool // attempt, made once
	into []byte                // what Read reads into
	n    int                   // what came of it
	err  error

	mu      sync.Mutex // for records and what follows
	changed sync.Cond  // waits or closed
	waits   bool       // the kernel had nothing when it was last asked
	closed  bool
}

// headerLen is that of a TLS record (RFC 8446 §5.1).
const headerLen = 5

type waiting int

const (
	untilItComes waiting = iota // an ordinary read
	whatIsThere                 // takes what the kernel has
	nothing                     // not even that
)

// New puts a Wire over a TCP connection.
func New(c net.Conn) (*Wire, error) {
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return nil, err
	}
	w := &Wire{Conn: c, raw: raw}
	w.changed.L = &w.mu
	w.try = w.attempt
	return w, nil
}

// Of returns the Wire below a TLS connection that was made over one.
func Of(c *tls.Conn) *Wire { return c.NetConn().(*Wire) }

// Read implements net.Conn. When it must not wait it returns errNothing where it
// would have to wait.
func (w *Wire) Read(b []byte) (int, error) {
	if w.wait == nothing {
		return 0, errNothing
	}
	w.into, w.n, w.err = b, 0, nil
	err := w.raw.Read(w.try)
	w.into = nil
	if err == nil {
		err = w.err
	}
	if err == io.EOF {
		w.cut.Store(true)
	}
	return w.n, err
}

// Write implements net.Conn.
func (w *Wire) Write(b []byte) (int, error) {
	n, err := w.Conn.Write(b)
	if !alert(b) {
		w.sent.Add(int64(n))
	}
	return n, err
}

// alert reports whether b is an alert, such as the close_notify of a connection
// that is closed. TLS 1.3 hides the type of a record, but no request is as
// short: two bytes, the type, and the tag (RFC 8446 §5.2, §6).
func alert(b []byte) bool {
	const typeAlert, typeData = 21, 23
	return len(b) > 0 && (b[0] == typeAlert || b[0] == typeData && len(b) == headerLen+2+1+16)
}

// Sent is how many bytes have been written, but for alerts.
func (w *Wire) Sent() int64 { return w.sent.Load() }

// Cut reports whether the peer has closed TCP where TLS wanted more.
func (w *Wire) Cut() bool { return w.cut.Load() }

// attempt asks the kernel once and reports whether Read is done. It holds the
// lock meanwhile, so that Settle sees it either before or after.
func (w *Wire) attempt(fd uintptr) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := unix.Read(int(fd), w.into)
	for err == unix.EINTR {
		n, err = unix.Read(int(fd), w.into)
	}
	w.waits = err == unix.EAGAIN
	w.changed.Broadcast()
	switch {
	case w.waits && w.wait == untilItComes:
		return false
	case w.waits:
		w.err = errNothing
	case err != nil:
		w.err = &net.OpError{Op: "read", Net: "tcp", Source: w.LocalAddr(), Addr: w.RemoteAddr(), Err: os.NewSyscallError("read", err)}
	case n == 0 && len(w.into) > 0:
		w.err = io.EOF
	default:
		w.n = n
		w.records.follow(w.into[:n])
	}
	return true
}

// Close implements net.Conn.
func (w *Wire) Close() error {
	err := w.Conn.Close()
	w.mu.Lock()
	first := !w.closed
	w.closed = true
	w.mu.Unlock()
	w.changed.Broadcast()
	if first && w.OnClose != nil {
		w.OnClose()
	}
	return err
}

// Settle waits until the goroutine that reads the connection has taken all that
// has arrived and waits for more, or has closed it. It reports whether that
// ended with a whole record. It is for net/http's transport, which reads on
// while a connection is idle and closes it when something comes, but lends it
// out a moment before it does so.
func (w *Wire) Settle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.closed && (!w.waits || idle.Readable(w.Conn)) {
		w.changed.Wait()
	}
	return w.records.whole()
}

// Silent reports whether the origin has sent nothing that has not been read:
// neither plaintext nor a record, whole or in part, is held by TLS nor by the
// kernel. Records that carry no data, such as session tickets (RFC 8446 §4.6.1),
// are taken on the way. Nobody else may read the connection meanwhile.
func Silent(c *tls.Conn) bool { return silent(c, whatIsThere) }

// Ask calls write, which sends a request, and waits for something to read. It reports false when the kernel has
// something already, and does neither: see Silent. To wait at once saves the read that finds nothing, one in three.
// Nobody else may read the connection meanwhile, and TLS must have used up what it has read (see Read).
func Ask(c *tls.Conn, write func() error) (asked bool, err error) {
	waitErr := Of(c).raw.Read(func(fd uintptr) bool {
		if asked {
			return true
		}
		var b [1]byte
		if _, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK); err != unix.EAGAIN {
			return true
		}
		asked = true
		err = write()
		return err != nil
	})
	if asked && err == nil {
		err = waitErr
	}
	return asked, err
}

// Read reports whether what TLS has read of the connection is used up, which is
// Silent without asking the kernel.
func Read(c *tls.Conn) bool { return silent(c, nothing) }

// AtHand reads from a reader above c what can be had without waiting; there may
// be nothing. Nobody else may read the connection meanwhile.
func AtHand(c *tls.Conn, r io.Reader, b []byte) (int, error) {
	n, err := read(c, whatIsThere, r, b)
	if err == errNothing {
		err = nil
	}
	return n, err
}

func silent(c *tls.Conn, ask waiting) bool {
	var b [1]byte
	n, err := read(c, ask, c, b[:])
	return n == 0 && err == errNothing && Of(c).records.whole()
}

// read reads from c, or a reader above it, and has the wire wait no longer than that.
func read(c *tls.Conn, wait waiting, r io.Reader, b []byte) (int, error) {
	w := Of(c)
	w.wait = wait
	n, err := r.Read(b)
	w.wait = untilItComes
	return n, err
}

// errNothing is temporary, so that crypto/tls reads on after it.
var errNothing error = nothingYet{}

type nothingYet struct{}

func (nothingYet) Error() string   { return "nothing to read yet" }
func (nothingYet) Timeout() bool   { return true }
func (nothingYet) Temporary() bool { return true }

// records follows the boundaries of TLS records (RFC 8446 §5.1) in a stream.
type records struct {
	header int // bytes of a header seen
	length int // as far as the header has told it
	left   int // bytes of a payload to come
}

func (r *records) follow(b []byte) {
	for len(b) > 0 {
		if r.left > 0 {
			n := min(r.left, len(b))
			r.left -= n
			b = b[n:]
			continue
		}
		if r.header >= headerLen-2 {
			r.length = r.length<<8 | int(b[0])
		}
		b = b[1:]
		if r.header++; r.header == headerLen {
			*r = records{left: r.length}
		}
	}
}

// whole reports whether the stream so far ends with a record.
func (r *records) whole() bool { return r.header == 0 && r.left == 0 }

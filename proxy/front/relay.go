package front

import (
	"errors"
	"io"
	"net"
	"sync"

	"github.com/agentproxy/agentproxy/proxy/idle"
)

// relay copies both ways until both have ended. The end of one direction is
// passed on as a half-close, so that a client that has sent its last byte still
// gets its answer, however long that takes; peers that vanish are found by TCP
// keep-alive.
func relay(a, b net.Conn) {
	other := make(chan struct{})
	copyOne := func(dst, src net.Conn) {
		if err := pump(dst, src); err != nil || closeWrite(dst) != nil {
			// The peer has gone, or cannot be told: the other direction is lost.
			dst.Close()
			src.Close()
		}
	}
	go func() {
		copyOne(a, b)
		close(other)
	}()
	copyOne(b, a)
	<-other
	a.Close()
	b.Close()
}

// spliceChunk is how much a stream in full flow is given to the kernel to move
// at a time.
const spliceChunk = 8 << 20

var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// pump copies src to dst until its end. A buffer is held only while bytes move,
// and splice(2), for which io.Copy holds a pipe of two descriptors even while it
// waits, is used only for a stream that fills the buffer: ten thousand idle
// tunnels then cost twenty thousand descriptors and no more.
func pump(dst, src net.Conn) error {
	_, fromTCP := src.(*net.TCPConn)
	_, toTCP := dst.(*net.TCPConn)
	for {
		if err := idle.Wait(src); err != nil {
			return err
		}
		full, err := copyOnce(dst, src)
		if full && fromTCP && toTCP && err == nil {
			_, err = io.CopyN(dst, src, spliceChunk)
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// copyOnce moves what one read yields, and tells whether it filled the buffer.
func copyOnce(dst, src net.Conn) (full bool, err error) {
	buf := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buf)
	n, err := src.Read(buf[:])
	if n > 0 {
		if _, err := dst.Write(buf[:n]); err != nil {
			return false, err
		}
	}
	return n == len(buf), err
}

type closeWriter interface{ CloseWrite() error }

func closeWrite(c net.Conn) error {
	if w, ok := c.(closeWriter); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

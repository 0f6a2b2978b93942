package proxy

import (
	"errors"
	"io"
	"net"
)

// relay copies both ways until both have ended. The end of one direction is
// passed on as a half-close, so that a client that has sent its last byte still
// gets its answer, however long that takes; peers that vanish are found by TCP
// keep-alive. Between TCP sockets io.Copy uses splice(2).
func relay(a, b net.Conn) {
	done := make(chan struct{}, 2)
	copyOne := func(dst, src net.Conn) {
		_, err := io.Copy(dst, src)
		if err != nil || closeWrite(dst) != nil {
			// The peer has gone, or cannot be told: the other direction is lost.
			dst.Close()
			src.Close()
		}
		done <- struct{}{}
	}
	go copyOne(a, b)
	go copyOne(b, a)
	<-done
	<-done
	a.Close()
	b.Close()
}

type closeWriter interface{ CloseWrite() error }

func closeWrite(c net.Conn) error {
	if w, ok := c.(closeWriter); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

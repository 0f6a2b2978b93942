package term

import (
	"errors"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// splicer passes a busy pipe on without copying it: splice(2) moves its pages to
// where they go, tee(2) lends them to a pipe that the viewer's side reads.
type splicer struct {
	copy   int // where tee(2) writes; never blocking
	writer *os.File
	read   chan struct{} // closed when the copy has been read to its end
}

// newSplicer returns nil when there is no such thing for the path.
func newSplicer(p *path) *splicer {
	setPipeSize(p.fd, bulkSize)
	if p.tee == nil {
		return &splicer{copy: -1}
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil
	}
	b := &splicer{copy: int(writer.Fd()), writer: writer, read: make(chan struct{})}
	unix.SetNonblock(b.copy, true)
	setPipeSize(b.copy, bulkSize)
	in := int(reader.Fd()) // blocks, in a thread of its own
	go func() {
		defer close(b.read)
		defer reader.Close()
		p.tee.readAll(p.out, in)
	}()
	return b
}

// readAll gives the tee what a descriptor has, to its end.
func (t *Tee) readAll(stream, fd int) {
	const size = 4 * bufferSize
	buf := t.buffer(size)
	for {
		n, err := unix.Read(fd, buf[:size])
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil || n == 0:
			return
		case n < size/2: // a writer of short lines must not fill the memory with long buffers
			t.write(stream, buf[:n])
		default:
			t.give(stream, buf[:n])
			buf = t.buffer(size)
		}
	}
}

// move passes on some of what is ready: how many bytes, and EAGAIN when there
// are none.
func (b *splicer) move(p *path) (int, error) {
	n, dropped := 0, false
	if b.copy >= 0 {
		lent, err := unix.Tee(p.fd, b.copy, bulkSize, unix.SPLICE_F_NONBLOCK)
		switch {
		case err == nil:
			n = int(lent)
		case errors.Is(err, syscall.EAGAIN): // nothing to read, or no room for the copy
			dropped = true
		default:
			return 0, err
		}
	}
	if n == 0 {
		if n, _ = unix.IoctlGetInt(p.fd, unix.TIOCINQ); n == 0 {
			return 0, nothing(p.fd)
		}
	}
	for left := n; left > 0; {
		moved, err := unix.Splice(p.fd, nil, p.out, nil, left, 0)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN): // the other end is in non-blocking mode
			unix.Poll([]unix.PollFd{{Fd: int32(p.out), Events: unix.POLLOUT}}, -1)
		case err != nil:
			return 0, err
		}
		left -= int(max(moved, 0))
	}
	if dropped {
		p.tee.drop(n)
	}
	return n, nil
}

// nothing tells why an empty pipe is empty: EAGAIN when it may yet be written
// to, io.EOF when not.
func nothing(fd int) error {
	polled := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if _, err := unix.Poll(polled, 0); err != nil || polled[0].Revents != unix.POLLHUP {
		return syscall.EAGAIN
	}
	return io.EOF
}

// close returns when the viewer's side has got all that was lent.
func (b *splicer) close() {
	if b.copy >= 0 {
		b.writer.Close()
		<-b.read
	}
}

func setPipeSize(fd, size int) { unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, size) }

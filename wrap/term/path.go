package term

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	bufferSize = 64 << 10
	// bulkSize is the capacity, in bytes, of a pipe that has proved to be busy.
	bulkSize = 1 << 20
	// busyReads in a row that filled the buffer prove it.
	busyReads = 16
)

// path is the way of one output stream, or of two that are one.
type path struct {
	near *os.File // our end: what the command writes is read here
	fd   int      // near's descriptor, never blocking; near.Fd would make it block
	far  *os.File // the command's end, when it is not to be kept
	out  int      // where it goes
	tee  *Tee
	// release: nobody but the command needs out, so that its reader is to see
	// the end when the command closes it.
	release bool
	// keep puts that off while there may be another command, gone is true once it has
	// been done.
	keep, gone bool

	mu      sync.Mutex // held while bytes are under way
	buf     []byte
	full    int      // reads in a row that filled buf
	splicer *splicer // once the path is busy, where there is such a thing
	ended   bool
}

func newPath(near *os.File, out int) *path {
	p := &path{near: near, fd: int(near.Fd()), out: out, buf: make([]byte, bufferSize)}
	unix.SetNonblock(p.fd, true)
	return p
}

func (p *path) closeFar() {
	if p.far != nil {
		p.far.Close()
	}
}

// run copies until the end of the stream, or until wake (-1: none) is closed.
func (p *path) run(wake int) {
	polled := []unix.PollFd{
		{Fd: int32(p.fd), Events: unix.POLLIN},
		{Fd: int32(wake), Events: unix.POLLIN},
		{Fd: int32(p.out)}, // errors only: its reader has left
	}
	for {
		_, err := unix.Poll(polled, -1)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil || polled[1].Revents != 0:
			return
		case polled[2].Revents&(unix.POLLERR|unix.POLLHUP) != 0:
			// Whoever still writes is to learn what it would have learned.
			p.end()
			return
		}
		if p.drain() {
			return
		}
	}
}

// drain passes on what is ready, at most what a pipe can hold, and tells
// whether the stream has ended.
func (p *path) drain() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for passed := 0; passed < bulkSize && !p.ended; {
		n, err := p.pass()
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			return false
		case err != nil: // io.EOF, or nobody reads any more
			p.finish()
		}
		passed += n
	}
	return p.ended
}

// pass passes one portion on and tells its size.
func (p *path) pass() (int, error) {
	if p.splicer != nil {
		return p.splicer.move(p)
	}
	n, err := unix.Read(p.fd, p.buf)
	switch {
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	data := p.buf[:n]
	if n < len(p.buf) {
		p.full = 0
	} else if p.full++; p.full == busyReads {
		// A quiet pipe keeps its size and is read at once: its writer cannot run
		// further ahead of its reader than it would alone.
		defer func() { p.splicer = newSplicer(p) }()
	}
	if err := write(p.out, data); err != nil {
		return 0, err
	}
	p.tee.write(p.out, data)
	return n, nil
}

func (p *path) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finish()
}

// finish ends the stream: later writers to it get SIGPIPE.
func (p *path) finish() {
	if p.ended {
		return
	}
	p.ended = true
	p.near.Close()
	p.settle()
	switch {
	case p.keep:
		time.AfterFunc(keepLimit, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.keep {
				p.letGo()
			}
		})
	case p.release:
		p.letGo()
	}
}

// keepLimit is how long a command that has closed its output may take to end, before
// the reader sees the end of it.
const keepLimit = 50 * time.Millisecond

// stay keeps the output that has not been let go of: the command has ended.
func (p *path) stay() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.release = p.release && !p.keep
	p.keep = false
}

func (p *path) isGone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gone
}

// letGo closes our end of the output; the descriptor stays taken.
func (p *path) letGo() {
	p.gone = true
	if null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0); err == nil {
		unix.Dup2(int(null.Fd()), p.out)
		null.Close()
	}
}

// settle lets the viewer have what it was lent.
func (p *path) settle() {
	if p.splicer != nil {
		p.splicer.close()
		p.splicer = nil
	}
}

// write writes all of data. The descriptor may be in non-blocking mode by
// somebody else's doing.
func write(fd int, data []byte) error {
	for len(data) > 0 {
		n, err := unix.Write(fd, data)
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EAGAIN):
			unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1)
		case err != nil:
			return err
		}
		data = data[max(n, 0):]
	}
	return nil
}

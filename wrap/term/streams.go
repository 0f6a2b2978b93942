// Package term stands between a command and the place where its output goes,
// so that the output can be read without anybody noticing.
//
// The command stays in our session and process group, with our controlling
// terminal and our standard input: job control, Ctrl-C, passwords and
// typed-ahead keys are the kernel's business, as without us. Only an output
// stream may be replaced, by a thing of the same kind:
//
//	a pipe or socket  a pipe; one for both when both are the same (2>&1)
//	/dev/null         a pipe, for errors
//	anything else     nothing: a file is sought in and compared with other
//	                  files, and a terminal is more than its output
//
// A pseudo terminal that only takes output does not do in a terminal's place:
// less and more read their keys, and shells control their jobs, through
// standard error (testdata/conformance/interactive has them all). Where the
// output on a terminal is to be read, a Terminal takes the place of the whole.
package term

import (
	"os"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Streams are the output streams of one command.
type Streams struct {
	// In, Out and Err are what the command gets as standard input, output and
	// error.
	In, Out, Err *os.File
	// Terminal is the pseudo terminal that all of them are; nil for none.
	Terminal *Terminal

	paths []*path
	tee   *Tee
	wake  [2]*os.File
	loops sync.WaitGroup
}

// Open decides about standard output and error, one by one. The tee, when not
// nil, gets a copy of what passes. What cannot be watched is inherited.
func Open(tee *Tee, mode Mode) *Streams {
	s := &Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, tee: tee}
	out, err := watchable(1), watchable(2)
	if !out && !err && mode == Inherit || s.makeWake() != nil {
		return s
	}
	if mode == Relay {
		if t, err := openTerminal(); err == nil {
			s.relay(t)
			return s
		}
	}
	switch {
	case out && err && same(1, 2):
		s.Out = s.through(os.Stdout, true)
		s.Err = s.Out
	default:
		if out {
			s.Out = s.through(os.Stdout, false)
		}
		if err {
			s.Err = s.through(os.Stderr, false)
		}
	}
	return s
}

// Keep holds on to our standard output for a moment when the command closes its own:
// if it ends meanwhile, there may be another command for it.
func (s *Streams) Keep() {
	for _, p := range s.paths {
		p.keep = p.release
	}
}

// Gone reports whether our standard output was let go of while the command ran.
func (s *Streams) Gone() bool {
	return slices.ContainsFunc(s.paths, func(p *path) bool { return p.isGone() })
}

func (s *Streams) makeWake() (err error) {
	s.wake[0], s.wake[1], err = os.Pipe()
	return err
}

// through makes a pipe before a stream, or before both when they are one, and
// returns the command's end of it.
func (s *Streams) through(stream *os.File, both bool) *os.File {
	near, far, err := os.Pipe()
	if err != nil {
		return stream
	}
	out := 1
	if stream == os.Stderr {
		out = 2
	}
	p := newPath(near, out)
	p.far, p.tee = far, s.tee
	p.release = out == 1 && !both
	s.paths = append(s.paths, p)
	return far
}

// relay puts the pseudo terminal before all of the streams.
func (s *Streams) relay(t *Terminal) {
	p := newPath(t.near, 1)
	p.tee = s.tee
	t.master = p.fd
	s.Terminal, s.paths = t, []*path{p}
	s.In, s.Out, s.Err = t.far, t.far, t.far
}

// Start is called when the command has its ends: ours of them are closed, and
// the copying begins.
func (s *Streams) Start() {
	for _, p := range s.paths {
		p.closeFar()
		s.loops.Go(func() { p.run(int(s.wake[0].Fd())) })
	}
}

// Abandon undoes Open when the command could not be started.
func (s *Streams) Abandon() {
	if s.Terminal != nil {
		s.Terminal.end()
	}
	for _, p := range s.paths {
		p.closeFar()
		p.near.Close()
	}
}

// Flush passes on what the command has written until now.
func (s *Streams) Flush() {
	for _, p := range s.paths {
		p.drain()
	}
}

// Suspend is called when the command has stopped, and Resume when it is to go
// on.
func (s *Streams) Suspend() {
	s.Flush()
	if s.Terminal != nil {
		s.Terminal.suspend()
	}
}

// Resume takes the terminal again, if it is ours now.
func (s *Streams) Resume() {
	if s.Terminal != nil {
		s.Terminal.resume()
	}
}

// Regained reports whether a stop by the signal is out of date.
func (s *Streams) Regained(sig syscall.Signal) bool {
	return s.Terminal != nil && s.Terminal.regained(sig)
}

// Finish is called when the command has ended. What it wrote is passed on;
// what others still hold open goes to a process of its own that keeps passing
// it on, so that they can write for as long as they like. Whether there are
// such others is what it returns.
func (s *Streams) Finish() (held bool) {
	if len(s.paths) == 0 {
		return false
	}
	for _, p := range s.paths {
		p.stay()
	}
	s.Flush()
	s.wake[1].Close()
	s.loops.Wait()
	s.wake[0].Close()
	if s.Terminal != nil {
		s.Terminal.end()
		s.Flush()
	}
	left := slices.DeleteFunc(slices.Clone(s.paths), func(p *path) bool { return p.ended })
	if len(left) > 0 {
		handOver(left)
	}
	for _, p := range s.paths {
		p.settle()
		p.near.Close()
	}
	return len(left) > 0
}

// Watched reports whether standard output (1) or error (2) passed through us, and
// was not inherited.
func (s *Streams) Watched(stream int) bool {
	if stream == 1 {
		return s.Out != os.Stdout
	}
	return s.Err != os.Stderr
}

// watchable reports whether a pipe can stand before the descriptor.
func watchable(fd int) bool {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return false
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFIFO, unix.S_IFSOCK:
		return true
	case unix.S_IFCHR: // thrown away, and still where failures are told
		return fd == 2 && isNull(st)
	}
	return false
}

func isNull(st unix.Stat_t) bool {
	var null unix.Stat_t
	return unix.Stat(os.DevNull, &null) == nil && null.Rdev == st.Rdev
}

// same reports whether two descriptors are one pipe or socket.
func same(a, b int) bool {
	var x, y unix.Stat_t
	return unix.Fstat(a, &x) == nil && unix.Fstat(b, &y) == nil && x.Dev == y.Dev && x.Ino == y.Ino
}

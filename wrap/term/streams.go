// Package term stands between a command and the place where its output goes,
// so that the output can be read without anybody noticing.
//
// The command stays in our session and process group, with our controlling
// terminal and our standard input: job control, Ctrl-C, passwords and
// typed-ahead keys are the kernel's business, as without us. Only its output
// streams may be replaced, each by the same kind of thing:
//
//	a terminal        a pseudo terminal that passes bytes through untouched;
//	                  one for both when both are the same terminal
//	a pipe or socket  a pipe; one for both when both are the same (2>&1)
//	anything else     nothing: files are sought in and compared with other
//	                  files, and keep being themselves
package term

import (
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// Streams are the output streams of one command.
type Streams struct {
	// Out and Err are what the command gets as standard output and error.
	Out, Err *os.File

	paths []*path
	tee   *Tee
	wake  [2]*os.File
	loops sync.WaitGroup
}

// Open decides about standard output and error, one by one. The tee, when not
// nil, gets a copy of what passes. What cannot be watched is inherited.
func Open(tee *Tee) *Streams {
	s := &Streams{Out: os.Stdout, Err: os.Stderr, tee: tee}
	out, err := kindOf(1), kindOf(2)
	switch {
	case out != inherited && out == err && same(1, 2):
		s.Out = s.through(out, 1, 2)
		s.Err = s.Out
	default:
		if out == piped { // a terminal for output alone belongs to a program that draws on it
			s.Out = s.through(out, 1)
		}
		s.Err = s.through(err, 2)
	}
	return s
}

// through makes the way that the given descriptors' output takes and returns
// the command's end of it.
func (s *Streams) through(k kind, fds ...int) *os.File {
	own := os.Stdout
	if fds[0] == 2 {
		own = os.Stderr
	}
	var p *path
	var err error
	switch k {
	case piped:
		p, err = newPipe(fds[0])
	case terminal:
		p, err = newTerminal(fds[0])
	}
	if p == nil || err != nil {
		return own
	}
	p.tee, p.release = s.tee, len(fds) == 1 && fds[0] == 1
	s.paths = append(s.paths, p)
	return p.far
}

// Start is called when the command has its ends: ours of them are closed, and
// the copying begins.
func (s *Streams) Start() error {
	if len(s.paths) == 0 {
		return nil
	}
	var err error
	if s.wake[0], s.wake[1], err = os.Pipe(); err != nil {
		return err
	}
	for _, p := range s.paths {
		p.far.Close()
		s.loops.Go(func() { p.run(int(s.wake[0].Fd())) })
	}
	return nil
}

// Abandon undoes Open when the command could not be started.
func (s *Streams) Abandon() {
	for _, p := range s.paths {
		p.far.Close()
		p.near.Close()
	}
}

// Flush passes on what the command has written until now.
func (s *Streams) Flush() {
	for _, p := range s.paths {
		p.drain()
	}
}

// Resize carries the terminal's present size over. The kernel told the
// foreground group before us, so whoever asked meanwhile is told again.
func (s *Streams) Resize() {
	for _, p := range s.paths {
		p.resize()
	}
}

// Finish is called when the command has ended. What it wrote is passed on;
// what others still hold open goes to a process of its own that keeps passing
// it on, so that they can write for as long as they like.
func (s *Streams) Finish() {
	if len(s.paths) == 0 {
		return
	}
	s.Flush()
	s.wake[1].Close()
	s.loops.Wait()
	s.wake[0].Close()
	left := slices.DeleteFunc(slices.Clone(s.paths), func(p *path) bool { return p.ended })
	if len(left) > 0 {
		handOver(left)
	}
	for _, p := range s.paths {
		p.settle()
		p.near.Close()
	}
}

// Complete tells that the whole output passed through us: nothing of it was
// inherited.
func (s *Streams) Complete() bool { return s.Out != os.Stdout && s.Err != os.Stderr }

// kind is what a descriptor is, as far as it matters here.
type kind int

const (
	inherited kind = iota
	piped
	terminal
)

func kindOf(fd int) kind {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return inherited
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFIFO, unix.S_IFSOCK:
		return piped
	case unix.S_IFCHR:
		if isTerminal(fd) {
			return terminal
		}
		if fd == 2 && isNull(st) {
			return piped // thrown away, and still where failures are told
		}
	}
	return inherited
}

func isNull(st unix.Stat_t) bool {
	var null unix.Stat_t
	return unix.Stat(os.DevNull, &null) == nil && null.Rdev == st.Rdev
}

// same tells that two descriptors are one pipe, socket or terminal.
func same(a, b int) bool {
	var x, y unix.Stat_t
	return unix.Fstat(a, &x) == nil && unix.Fstat(b, &y) == nil && x.Dev == y.Dev && x.Ino == y.Ino && x.Rdev == y.Rdev
}

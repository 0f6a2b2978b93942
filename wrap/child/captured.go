package child

import (
	"syscall"
)

// begin starts a command by f, in a network of its own when that is wanted.
func (r *run) begin(path string, c Command, f func(path string, c Command) (running, error)) (running, error) {
	if r.capture == nil {
		return f(path, c)
	}
	started, err := r.beginCaptured(path, c, f)
	if r.capture.FallBack(err) {
		return r.beginCaptured(path, c, f)
	}
	return started, err
}

func (r *run) beginCaptured(path string, c Command, f func(path string, c Command) (running, error)) (running, error) {
	name := c.Argv[0]
	path, argv, err := r.capture.Begin(path, c.Argv)
	if err != nil {
		return nil, err
	}
	c.Argv = argv
	started, err := f(path, c)
	if err != nil {
		r.capture.Abandon()
		return nil, r.capture.Refusal(err)
	}
	if err = r.capture.Finish(); err == nil {
		return started, nil
	}
	started.close(false)
	if d, ok := started.(direct); ok {
		d.process.Kill()
		d.wait()
	}
	if errno, ok := err.(syscall.Errno); ok { // execve(2)'s, as without us
		err = startError(name, errno)
	}
	return nil, err
}

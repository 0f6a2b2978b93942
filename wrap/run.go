package wrap

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/agentproxy/agentproxy/wrap/term"
	"golang.org/x/sys/unix"
)

// Exit statuses of our own, as env(1) and POSIX shells have them.
const (
	StatusFailed        = 125
	StatusNotExecutable = 126
	StatusNotFound      = 127
)

// Result is how a command ended.
type Result struct {
	// Code is the exit status, when Signal is 0.
	Code int
	// Signal is what killed it.
	Signal syscall.Signal
}

// OK is true for exit status 0.
func (r Result) OK() bool { return r.Code == 0 && r.Signal == 0 }

// StartError is a command that could not be started; Status is 126 or 127.
type StartError struct {
	Name   string
	Status int
	Err    error
}

func (e *StartError) Error() string { return fmt.Sprintf("%s: %v", e.Name, e.Err) }

// Unwrap returns the cause.
func (e *StartError) Unwrap() error { return e.Err }

// forwarded are the signals that are passed on to the command. SIGCHLD and
// SIGURG are the runtime's own.
var forwarded = []os.Signal{
	syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM,
	syscall.SIGTSTP,
}

// minded are the signals of the terminal that we act on ourselves. A stop is
// not ours to obey: we stop when the command has stopped, and has been heard
// to its last byte.
var minded = []os.Signal{syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGCONT}

// Run runs the plan and waits for the command. The output, when not nil,
// remembers what it prints.
func Run(p Plan, output *Output) (Result, error) {
	var tee *term.Tee
	if output != nil {
		tee = term.NewTee(output)
	}
	r := &run{streams: term.Open(tee), signals: make(chan os.Signal, 16), resumed: make(chan struct{}, 1)}
	// From before the start, so that no signal finds us deaf and kills us alone.
	// What we were started to ignore (nohup) stays ignored, for the command too.
	for _, s := range slices.Concat(forwarded, minded) {
		r.listen(s)
	}
	defer signal.Ignore(syscall.SIGTTOU) // what we say at the end may be said in the background
	cmd, err := start(p, r.streams)
	if err != nil {
		r.streams.Abandon()
		return Result{}, err
	}
	r.command = cmd.Process
	r.streams.Start()
	done := make(chan struct{})
	go func() {
		for {
			select {
			case s := <-r.signals:
				r.act(s)
			case <-done:
				return
			}
		}
	}()
	result, err := r.wait()
	close(done)
	signal.Stop(r.signals) // a signal is ours alone from now on: a reader that never reads must not hold us
	r.streams.Finish()
	if output != nil {
		tee.Close()
		output.lost = output.lost || !r.streams.Complete()
	}
	return result, err
}

// run is a command that is running.
type run struct {
	command *os.Process
	streams *term.Streams
	signals chan os.Signal
	resumed chan struct{}
	// stoppedUntil is the time, in nanoseconds, until which a SIGTSTP that we
	// get to see is the one that has stopped us: by then the terminal may have
	// another foreground group, which would make it look like somebody's kill.
	stoppedUntil atomic.Int64
}

func (r *run) listen(s os.Signal) {
	if !signal.Ignored(s) {
		signal.Notify(r.signals, s)
	}
}

func (r *run) act(s os.Signal) {
	switch s {
	case syscall.SIGCONT:
		select {
		case r.resumed <- struct{}{}:
		default:
		}
	case syscall.SIGTTIN, syscall.SIGTTOU: // the command has got it, too
	default:
		// In this order: we may be stopped in the middle of it.
		if fromTerminal(s) || s == syscall.SIGTSTP && time.Now().UnixNano() < r.stoppedUntil.Load() {
			return
		}
		r.command.Signal(s)
	}
}

// wait returns when the command has ended, and stops and resumes with it.
func (r *run) wait() (Result, error) {
	for {
		var ws syscall.WaitStatus
		_, err := syscall.Wait4(r.command.Pid, &ws, syscall.WUNTRACED, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return Result{}, fmt.Errorf("waiting for the command: %w", err)
		case ws.Stopped():
			r.stop(ws.StopSignal())
		case ws.Signaled():
			return Result{Signal: ws.Signal()}, nil
		case ws.Exited():
			return Result{Code: ws.ExitStatus()}, nil
		}
	}
}

// stop stops us as the command has been stopped, so that the shell that waits
// for us sees it, and returns when we are resumed.
func (r *run) stop(s syscall.Signal) {
	r.streams.Flush()
	select {
	case <-r.resumed: // of an earlier time
	default:
	}
	r.stoppedUntil.Store(math.MaxInt64)
	withDefault(s, func() {
		unix.Kill(os.Getpid(), s)
		select {
		case <-r.resumed:
		case <-time.After(stopDelivery): // nobody could resume us: an orphaned group is not stopped
		}
	})
	r.stoppedUntil.Store(time.Now().Add(stopDelivery).UnixNano())
	r.listen(s)
	if !continued(r.command.Pid) { // whoever resumed us alone meant the command
		r.command.Signal(syscall.SIGCONT)
	}
}

// stopDelivery is how long a stop may take to reach us.
const stopDelivery = 200 * time.Millisecond

// Replace becomes the command: nothing of us is left between it and whoever
// started us. It returns only when that fails.
func Replace(p Plan) error {
	path, err := find(p.Argv[0])
	if err != nil {
		return err
	}
	err = unix.Exec(path, p.Argv, p.Environ)
	if errors.Is(err, syscall.ENOEXEC) {
		err = unix.Exec("/bin/sh", shellArgv(path, p.Argv), p.Environ)
	}
	return startError(p.Argv[0], err)
}

// start finds and starts the command, with the errors of env(1).
func start(p Plan, streams *term.Streams) (*exec.Cmd, error) {
	path, err := find(p.Argv[0])
	if err != nil {
		return nil, err
	}
	cmd := command(path, p.Argv, p.Environ, streams)
	err = cmd.Start()
	if errors.Is(err, syscall.ENOEXEC) {
		cmd = command("/bin/sh", shellArgv(path, p.Argv), p.Environ, streams)
		err = cmd.Start()
	}
	if err != nil {
		return nil, startError(p.Argv[0], err)
	}
	return cmd, nil
}

func find(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return "", startError(name, err)
	}
	return path, nil
}

// shellArgv gives a script without "#!" to the shell, as execvp(3) does.
func shellArgv(path string, argv []string) []string {
	return append([]string{"/bin/sh", path}, argv[1:]...)
}

func command(path string, argv, environ []string, streams *term.Streams) *exec.Cmd {
	return &exec.Cmd{Path: path, Args: argv, Env: environ, Stdin: os.Stdin, Stdout: streams.Out, Stderr: streams.Err}
}

func startError(name string, err error) error {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return &StartError{name, StatusNotFound, errors.New("command not found")}
	}
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	var execErr *exec.Error
	if errors.As(err, &execErr) {
		err = execErr.Err
	}
	return &StartError{name, StatusNotExecutable, err}
}

// fromTerminal tells that the terminal has sent the signal to the command as
// well: we are in its foreground group, and so is the command.
func fromTerminal(s os.Signal) bool {
	if s != syscall.SIGINT && s != syscall.SIGQUIT && s != syscall.SIGTSTP {
		return false
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDONLY|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer tty.Close()
	foreground, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && foreground == unix.Getpgrp()
}

// Exit ends our process as the command ended: with its exit status, or by the
// same signal, so that the shell sees what it would have seen.
func Exit(r Result) {
	if r.Signal != 0 {
		// The command has left its core; ours would be of no use.
		unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
		restoreDefault(r.Signal)
		unix.Kill(os.Getpid(), r.Signal)
		// Delivery may take a moment; a signal that does not kill us (ours is
		// ignored under nohup) leaves what a shell would say.
		time.Sleep(200 * time.Millisecond)
		os.Exit(128 + int(r.Signal))
	}
	os.Exit(r.Code)
}

package wrap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

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
// SIGURG are the runtime's own; the stops and SIGWINCH reach the command by
// its terminal.
var forwarded = []os.Signal{
	syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM,
}

// Run runs the plan with our own standard streams and waits for it.
func Run(p Plan) (Result, error) {
	// From before the start, so that no signal finds us deaf and kills us alone.
	// What we were started to ignore (nohup) stays ignored, for the command too.
	signals := make(chan os.Signal, 16)
	for _, s := range forwarded {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	defer signal.Stop(signals)
	cmd, err := start(p)
	if err != nil {
		return Result{}, err
	}
	done := make(chan struct{})
	go func() {
		for {
			select {
			case s := <-signals:
				if !fromTerminal(s) {
					cmd.Process.Signal(s)
				}
			case <-done:
				return
			}
		}
	}()
	err = cmd.Wait()
	close(done)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return Result{}, err
	}
	ws := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ws.Signaled() {
		return Result{Signal: ws.Signal()}, nil
	}
	return Result{Code: ws.ExitStatus()}, nil
}

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
func start(p Plan) (*exec.Cmd, error) {
	path, err := find(p.Argv[0])
	if err != nil {
		return nil, err
	}
	cmd := command(path, p.Argv, p.Environ)
	err = cmd.Start()
	if errors.Is(err, syscall.ENOEXEC) {
		cmd = command("/bin/sh", shellArgv(path, p.Argv), p.Environ)
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

func command(path string, argv, environ []string) *exec.Cmd {
	return &exec.Cmd{Path: path, Args: argv, Env: environ, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
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
	if s != syscall.SIGINT && s != syscall.SIGQUIT {
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

package child

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"syscall"

	"github.com/agentproxy/agentproxy/wrap/capture"
	"github.com/agentproxy/agentproxy/wrap/term"
	"golang.org/x/sys/unix"
)

// Exit statuses of our own, as env(1) and POSIX shells have them.
const (
	StatusFailed        = 125
	StatusNotExecutable = 126
	StatusNotFound      = 127
)

// StartError is a command that could not be started; Status is 126 or 127.
type StartError struct {
	Name   string
	Status int
	Err    error
}

func (e *StartError) Error() string { return fmt.Sprintf("%s: %v", e.Name, e.Err) }

// Unwrap returns the cause.
func (e *StartError) Unwrap() error { return e.Err }

// Replace becomes the command: nothing of us is left between it and whoever
// started us. It returns only when that fails.
func Replace(c Command) error {
	path, err := find(c.Argv[0])
	if err != nil {
		return err
	}
	err = unix.Exec(path, c.Argv, c.Env)
	if errors.Is(err, syscall.ENOEXEC) {
		err = unix.Exec("/bin/sh", shellArgv(path, c.Argv), c.Env)
	}
	return startError(c.Argv[0], err)
}

// startDirect starts the command, found already, as our own child.
func startDirect(path string, c Command, streams *term.Streams) (direct, error) {
	cmd, err := startFile(path, c.Argv, func(cmd *exec.Cmd) {
		cmd.Env = c.Env
		cmd.Stdin, cmd.Stdout, cmd.Stderr = streams.In, streams.Out, streams.Err
	})
	if err != nil {
		return direct{}, startError(c.Argv[0], err)
	}
	return direct{cmd.Process}, nil
}

// startFile starts a program or, as execvp(3) does, a script without "#!".
func startFile(path string, argv []string, configure func(*exec.Cmd)) (*exec.Cmd, error) {
	cmd := &exec.Cmd{Path: path, Args: argv}
	configure(cmd)
	capture.Clone(cmd)
	err := cmd.Start()
	if errors.Is(err, syscall.ENOEXEC) {
		cmd = &exec.Cmd{Path: "/bin/sh", Args: shellArgv(path, argv)}
		configure(cmd)
		err = cmd.Start()
	}
	return cmd, err
}

func find(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return "", startError(name, err)
	}
	return path, nil
}

func shellArgv(path string, argv []string) []string {
	return append([]string{"/bin/sh", path}, argv[1:]...)
}

// startError is the error in the words of env(1).
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

// direct is a command that is our own child.
type direct struct{ process *os.Process }

// wait returns when it has stopped or ended.
func (d direct) wait() (syscall.WaitStatus, error) {
	var ws syscall.WaitStatus
	for {
		_, err := syscall.Wait4(d.process.Pid, &ws, syscall.WUNTRACED, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 0, fmt.Errorf("waiting for the command: %w", err)
		default:
			return ws, nil
		}
	}
}

func (d direct) signal(s syscall.Signal) { d.process.Signal(s) }

// resume lets it go on after a stop, unless whoever resumed us has done so.
func (d direct) resume() {
	if !continued(d.process.Pid) {
		d.process.Signal(syscall.SIGCONT)
	}
}

func (direct) close(bool) {}

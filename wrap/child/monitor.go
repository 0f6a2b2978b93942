package child

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"

	"github.com/agentproxy/agentproxy/wrap/capture"
	"github.com/agentproxy/agentproxy/wrap/term"
	"golang.org/x/sys/unix"
)

// MonitorCommand is the hidden command of our binary that Monitor implements.
const MonitorCommand = "__monitor"

// monitor is the process between us and a command on a pseudo terminal. It is
// the leader of the terminal's session. The command could not be: a session
// leader, and anybody whose parent is in another session, is in an orphaned
// process group, which the kernel does not stop (POSIX, 11.1.4).
type monitor struct {
	control control
	command *exec.Cmd
	// guard puts our terminal in order when those who do it have died, while it
	// is on.
	guard   *term.Guard
	guarded bool
	ended   atomic.Bool   // the command has
	gone    chan struct{} // closed when whoever started us is gone
}

// Monitor runs the command of its arguments: two descriptors, of the
// connection to us and of our terminal, the command's path, its own arguments.
// Everything else the command inherits.
func Monitor(args []string) error {
	if len(args) < 4 {
		return fmt.Errorf("%s %q: too few arguments", MonitorCommand, args)
	}
	var fds [2]int
	for i := range fds {
		fd, err := strconv.Atoi(args[i])
		if err != nil {
			return err
		}
		fds[i] = fd
		unix.CloseOnExec(fd)
	}
	guard, err := term.NewGuard(fds[1])
	if err != nil {
		return err
	}
	m := &monitor{control: control{os.NewFile(uintptr(fds[0]), "control")}, guard: guard, guarded: true, gone: make(chan struct{})}
	if m.start(args[2], args[3:]) != nil {
		return nil // without us the same will fail, or not
	}
	// No child will inherit this any more. What kills a command comes from its
	// terminal or by way of us; a session without its leader would be hung up.
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU)
	m.control.send(started, m.command.Process.Pid)
	go m.obey()
	ws, err := m.watch()
	if err != nil {
		return err
	}
	m.linger(ws)
	return nil
}

// start starts the command in a process group of its own, the foreground one.
func (m *monitor) start(path string, argv []string) (err error) {
	m.command, err = startFile(path, argv, func(cmd *exec.Cmd) {
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Foreground: true, Ctty: 0}
	})
	capture.Release(argv)
	return err
}

// obey does what it is told until whoever tells is gone. When that happens
// while the command runs, its session ends as if the terminal had been closed.
func (m *monitor) obey() {
	for {
		told, err := m.control.receive()
		if err != nil {
			break
		}
		switch told.Kind {
		case signalled:
			m.command.Process.Signal(syscall.Signal(told.Value))
		case foreground, background:
			m.guarded = told.Kind == foreground
			if m.guarded {
				setForeground(m.command.Process.Pid)
			} else {
				setForeground(unix.Getpgrp())
			}
		case groupSignalled:
			m.signalGroup(syscall.Signal(told.Value))
		case resumed:
			m.signalGroup(syscall.SIGCONT)
		}
	}
	if m.guarded {
		m.guard.Restore()
	}
	if !m.ended.Load() {
		m.hangUp()
		os.Exit(StatusFailed)
	}
	close(m.gone)
}

// hangUp tells the command what the kernel, when we exit, tells only the
// foreground group.
func (m *monitor) hangUp() {
	if !m.guarded {
		m.signalGroup(syscall.SIGHUP)
		m.signalGroup(syscall.SIGCONT)
	}
}

func (m *monitor) signalGroup(s syscall.Signal) {
	if !m.ended.Load() {
		unix.Kill(-m.command.Process.Pid, s)
	}
}

// watch tells when the command stops, and returns when it has ended.
func (m *monitor) watch() (syscall.WaitStatus, error) {
	command := direct{m.command.Process}
	for {
		ws, err := command.wait()
		if err != nil || !ws.Stopped() {
			return ws, err
		}
		m.control.send(changed, int(ws))
	}
}

// linger tells how the command ended, and stays until the terminal is hung up,
// which is when nobody reads any more what is written to it. Those whom the
// command has left behind notice nothing: they are the terminal's last users,
// and are not in the group that is hung up with this session.
func (m *monitor) linger(ws syscall.WaitStatus) {
	m.ended.Store(true)
	hungUp := make(chan os.Signal, 1)
	signal.Notify(hungUp, syscall.SIGHUP)
	already := setForeground(unix.Getpgrp()) != nil
	leaveTerminal()
	m.control.send(changed, int(ws))
	<-m.gone
	m.guard.Close()
	os.Chdir("/")
	term.CloseInherited()
	if !already {
		<-hungUp
	}
}

// leaveTerminal closes our standard streams.
func leaveTerminal() {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return
	}
	for fd := range 3 {
		unix.Dup2(int(null.Fd()), fd)
	}
	null.Close()
}

// setForeground makes a group the one that the terminal of this session
// signals and lets read.
func setForeground(group int) error { return unix.IoctlSetPointerInt(0, unix.TIOCSPGRP, group) }

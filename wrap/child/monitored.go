package child

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"github.com/agentproxy/agentproxy/wrap/term"
	"golang.org/x/sys/unix"
)

// monitored is a command on a pseudo terminal, by way of the monitor that
// started it. It is the terminal's term.Job.
type monitored struct {
	control  control
	monitor  *exec.Cmd
	terminal *term.Terminal
	group    int
	peers    *groupPeers
}

// errMonitorGone: somebody has killed it, and with it the command's session.
var errMonitorGone = errors.New("the process that watched the command is gone")

// startMonitored starts the command on the terminal of the streams. An error
// means that it was not started, for whatever reason; but for errMonitorGone.
func startMonitored(path string, c Command, streams *term.Streams, o *groupPeers) (*monitored, error) {
	ours, theirs, err := newControl()
	if err != nil {
		return nil, err
	}
	m := &monitored{control: ours, terminal: streams.Terminal, peers: o}
	if m.monitor, err = startMonitor(theirs, path, c, streams); err != nil {
		ours.Close()
		return nil, err
	}
	first, err := ours.receive()
	if err != nil {
		ours.Close()
		m.monitor.Wait()
		if m.monitor.ProcessState.Sys().(syscall.WaitStatus).Signaled() {
			return nil, errMonitorGone // the command may have done it
		}
		return nil, err
	}
	m.group = int(first.Value)
	return m, nil
}

// startMonitor starts the process that runs Monitor.
func startMonitor(theirs control, path string, c Command, streams *term.Streams) (*exec.Cmd, error) {
	defer theirs.Close() // ours of it, so that the end of the other is seen
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	own, err := unix.Dup(0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(own)
	monitor := &exec.Cmd{
		Path: self, Args: append([]string{"agentproxy", MonitorCommand, strconv.Itoa(int(theirs.Fd())), strconv.Itoa(own), path}, c.Argv...),
		Env:   streams.Terminal.Environ(c.Env),
		Stdin: streams.In, Stdout: streams.Out, Stderr: streams.Err,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true, Setctty: true},
	}
	// Both keep their numbers: others may be the command's, which is to inherit
	// what it would have inherited from us.
	unix.FcntlInt(theirs.Fd(), unix.F_SETFD, 0)
	return monitor, monitor.Start()
}

func (m *monitored) wait() (syscall.WaitStatus, error) {
	change, err := m.control.receive()
	if err != nil {
		return 0, errMonitorGone
	}
	return syscall.WaitStatus(change.Value), nil
}

// signal is for the command alone, unless it came from a key.
func (m *monitored) signal(s syscall.Signal) {
	kind := signalled
	if (s == syscall.SIGINT || s == syscall.SIGQUIT || s == syscall.SIGTSTP) && m.terminal.Cooked() {
		kind = groupSignalled
	}
	m.control.send(kind, int(s))
}

func (m *monitored) resume() { m.control.send(resumed, 0) }

// close ends the monitor, unless what the command left behind holds the
// terminal: then it goes when the last of that goes.
func (m *monitored) close(held bool) {
	m.control.Close()
	if !held {
		m.monitor.Process.Kill() // it would end by itself, later
		m.monitor.Wait()
	}
}

// Foreground, Group and KeySignal make it a term.Job.

func (m *monitored) Foreground(is bool) {
	if is {
		m.control.send(foreground, 0)
	} else {
		m.control.send(background, 0)
	}
}

func (m *monitored) Group() int { return m.group }

func (m *monitored) KeySignal(s syscall.Signal) { m.peers.signal(s) }

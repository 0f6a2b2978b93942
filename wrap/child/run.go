// Package child runs a command exactly as it would run alone, on a pseudo terminal
// or not: its bytes, signals, job control and end pass unchanged. It watches what
// the command prints and knows nothing of why.
package child

import (
	"errors"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/agentproxy/agentproxy/proxy/guard"
	"github.com/agentproxy/agentproxy/wrap/capture"
	"github.com/agentproxy/agentproxy/wrap/term"
	"golang.org/x/sys/unix"
)

// Command is what to run.
type Command struct {
	// Argv is the command line; its first word is looked for in our PATH.
	Argv []string
	Env  []string
}

// Options are how a command is run.
type Options struct {
	// Output, when not nil, remembers what the command prints.
	Output *Output
	// Terminal is what becomes of a terminal that the command would have.
	Terminal term.Mode
	// Again is true when there may be another run in this process.
	Again bool
	// Capture, when not nil, gives the command a network of its own.
	Capture *capture.Run
}

// Result is how a command ended.
type Result struct {
	// Code is the exit status, when Signal is 0.
	Code int
	// Signal is what killed it.
	Signal syscall.Signal
	// Closed is true when another run was possible (Options.Again), but the command
	// closed its output while it ran, so that the reader has seen the end: another
	// could not be heard.
	Closed bool
}

// OK is true for exit status 0.
func (r Result) OK() bool { return r.Code == 0 && r.Signal == 0 }

// forwarded are the signals that are passed on to the command. SIGCHLD and
// SIGURG are the runtime's own.
var forwarded = []os.Signal{
	syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM,
	syscall.SIGTSTP,
}

// handled are the signals of the terminal that we act on ourselves. A stop is
// not ours to obey: we stop when the command has stopped, and has been heard
// to its last byte.
var handled = []os.Signal{syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGCONT, syscall.SIGWINCH}

// Run runs the command and waits for it.
func Run(c Command, o Options) (Result, error) {
	path, err := find(c.Argv[0])
	if err != nil {
		return Result{}, err
	}
	r := &run{capture: o.Capture, signals: make(chan os.Signal, 16), resumed: make(chan struct{}, 1)}
	// From before the start, so that no signal finds us deaf and kills us alone.
	// What we were started to ignore (nohup) stays ignored, for the command too.
	for _, s := range slices.Concat(forwarded, handled) {
		r.listen(s)
	}
	defer signal.Ignore(syscall.SIGTTOU) // what we say at the end may be said in the background
	var tee *term.Tee
	var files []*redirected
	if o.Output != nil {
		tee = term.NewTee(o.Output)
		files = redirectedFiles()
	}
	if err := r.start(path, c, tee, o.Terminal); err != nil {
		r.streams.Abandon()
		return Result{}, err
	}
	if o.Again {
		r.streams.Keep()
	}
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
	r.end()
	if o.Capture != nil {
		o.Capture.Leave()
	}
	result.Closed = o.Again && r.streams.Gone()
	if o.Output != nil {
		o.Output.fault = tee.Close()
		if fault := guard.Do("reading what was written", func() { o.Output.unseen(r.streams, files, result) }); fault != nil {
			o.Output.fault = fault
		}
	}
	return result, err
}

// run is a command that is running.
type run struct {
	command running
	capture *capture.Run
	streams *term.Streams
	signals chan os.Signal
	resumed chan struct{}
	peers   groupPeers
	keyStop keyStop
	// stopping is held from a stop to its resumption, which would undo a second
	// stop that came before it.
	stopping sync.Mutex
}

// running is a command that has been started.
type running interface {
	// wait returns when it has stopped or ended.
	wait() (syscall.WaitStatus, error)
	signal(syscall.Signal)
	// resume lets it go on after a stop.
	resume()
	// close is called when it has ended; held tells that others hold what it
	// wrote to.
	close(held bool)
}

// start starts the command: on a pseudo terminal, when one was asked for and
// can be had, else as our child.
func (r *run) start(path string, c Command, tee *term.Tee, terminal term.Mode) (err error) {
	r.streams = term.Open(tee, terminal)
	if r.streams.Terminal == nil {
		r.command, err = r.begin(path, c, func(path string, c Command) (running, error) { return startDirect(path, c, r.streams) })
		return err
	}
	m, err := r.begin(path, c, func(path string, c Command) (running, error) { return startMonitored(path, c, r.streams, &r.peers) })
	if errors.Is(err, errMonitorGone) {
		return err
	}
	if err != nil {
		r.streams.Abandon()
		return r.start(path, c, tee, term.Inherit)
	}
	r.command = m
	ignoreTerminal()
	r.streams.Terminal.Start(m.(*monitored))
	return nil
}

// ignoreTerminal lets us look at and write to a terminal of which we are in the
// background. Whether to stop for that is decided by the command's own.
func ignoreTerminal() { signal.Ignore(syscall.SIGTTIN, syscall.SIGTTOU) }

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
	case syscall.SIGWINCH:
		if r.streams.Terminal != nil {
			r.streams.Terminal.Resize()
		}
	case syscall.SIGTTIN, syscall.SIGTTOU: // the command has got it, too
	default:
		if r.heard(s) {
			return
		}
		if s == syscall.SIGTSTP {
			r.stopping.Lock()
			defer r.stopping.Unlock()
		}
		r.command.signal(s.(syscall.Signal))
	}
}

// wait returns when the command has ended, and stops and resumes with it.
func (r *run) wait() (Result, error) {
	for {
		ws, err := r.command.wait()
		switch {
		case err != nil:
			return Result{}, err
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
	if r.streams.Regained(s) {
		r.command.resume()
		return
	}
	r.stopping.Lock()
	defer r.stopping.Unlock()
	r.streams.Suspend()
	select {
	case <-r.resumed: // of an earlier time
	default:
	}
	whom := os.Getpid()
	if r.streams.Terminal != nil && s != syscall.SIGSTOP {
		// A terminal stops whole process groups; ours has not heard of it. To
		// SIGSTOP, no terminal sends that.
		whom = 0
	}
	r.keyStop.stopped(s)
	withDefault(s, func() {
		unix.Kill(whom, s)
		select {
		case <-r.resumed:
		case <-time.After(stopDelivery): // nobody could resume us: an orphaned group is not stopped
		}
	})
	r.keyStop.resumed()
	r.listen(s)
	if r.streams.Terminal != nil {
		ignoreTerminal()
	}
	r.streams.Resume()
	r.command.resume()
}

// end is called when the command has ended.
func (r *run) end() {
	if r.streams.Terminal != nil {
		// One may be on its way to the others in our group.
		signal.Ignore(syscall.SIGINT, syscall.SIGQUIT)
		defer signal.Reset(syscall.SIGINT, syscall.SIGQUIT)
	}
	signal.Stop(r.signals) // a signal is ours alone from now on: a reader that never reads must not hold us
	r.command.close(r.streams.Finish())
	r.peers.flush()
}

// heard reports whether the command has got the signal as well: our terminal has
// sent it to our group, and the command is in it.
func (r *run) heard(s os.Signal) bool {
	if r.streams.Terminal != nil {
		return r.peers.areUs(s)
	}
	if s != syscall.SIGINT && s != syscall.SIGQUIT && s != syscall.SIGTSTP {
		return false
	}
	// In this order: we may be stopped in the middle of it.
	fromKey := inForeground()
	return s == syscall.SIGTSTP && r.keyStop.isLate() || fromKey
}

func inForeground() bool {
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
		// Delivery may take a moment; a signal that does not kill us, the first process
		// of a container (pid_namespaces(7)), leaves what a shell would say.
		time.Sleep(200 * time.Millisecond)
		os.Exit(128 + int(r.Signal))
	}
	os.Exit(r.Code)
}

package term

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/proxytest/process"
	"golang.org/x/sys/unix"
)

// Processes that the tests start.
const (
	wrapRole = "wrap"
	turnRole = "take-turns"
	openRole = "open-terminal"
	heirRole = "heir"
)

func TestMain(m *testing.M) {
	process.Main(m, map[string]func([]string) error{PassOnCommand: PassOn, wrapRole: wrap, turnRole: takeTurns, openRole: openOnce, heirRole: beHeir})
}

// limit is how long a test waits for what must come: it is no measure.
const limit = time.Minute

// eventually returns when something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came to this: %s", what)
		}
	}
}

// report is what wrap saw.
type report struct {
	Watched    [3]bool
	Seen       [3]string // the copies
	Missing    int       // bytes that are in no copy
	Gone, Held bool
	State      string
	Keys       []string // signals that keys have sent
	Foreground []bool   // what the command's group was told
}

// wrap runs a command on Streams: its arguments are a file for the report, "keep" or
// "", a mode, and the command line. It does what signals tell it.
func wrap(args []string) error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, stopSignal, resumeSignal, takenSignal, givenSignal, syscall.SIGWINCH)
	signal.Ignore(syscall.SIGTTIN, syscall.SIGTTOU)
	mode := Inherit
	if args[2] == "relay" {
		mode = Relay
	}
	var r report
	hold := make(chan struct{})
	close(hold)
	viewer := &recorder{hold: hold}
	tee := NewTee(viewer)
	s := Open(tee, mode)
	j := &job{report: &r}
	if j.cmd = exec.Command(args[3], args[4:]...); s.Terminal != nil {
		j.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		j.cmd.Env = s.Terminal.Environ(os.Environ())
	}
	j.cmd.Stdin, j.cmd.Stdout, j.cmd.Stderr = s.In, s.Out, s.Err
	if err := j.cmd.Start(); err != nil {
		s.Abandon()
		return err
	}
	if args[1] == "keep" {
		s.Keep()
	}
	s.Start()
	if s.Terminal != nil {
		s.Terminal.Start(j)
	}
	go func() {
		for sig := range signals {
			obey(sig, s, j)
		}
	}()
	state := j.wait(s)
	r.Held = s.Finish()
	tee.Close()
	r.State, r.Gone, r.Watched = state, s.Gone(), [3]bool{false, s.Watched(1), s.Watched(2)}
	for i := range viewer.seen {
		r.Seen[i] = viewer.seen[i].String()
	}
	for _, n := range viewer.gaps {
		r.Missing += n
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return os.WriteFile(args[0], data, 0o600)
}

// What wrap is told.
const (
	stopSignal   = syscall.SIGUSR1
	resumeSignal = syscall.SIGUSR2
	takenSignal  = syscall.SIGALRM // the terminal is another's, as after Ctrl-Z
	givenSignal  = syscall.SIGTERM // and ours again, as after fg
)

func obey(sig os.Signal, s *Streams, j *job) {
	switch sig {
	case stopSignal:
		unix.Kill(-j.Group(), syscall.SIGSTOP)
	case resumeSignal:
		s.Resume()
		unix.Kill(-j.Group(), syscall.SIGCONT)
	case takenSignal: // what a shell does
		other := exec.Command("sleep", "100")
		other.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Foreground: true, Ctty: ours}
		other.Start()
	case givenSignal:
		other, _ := unix.IoctlGetInt(ours, unix.TIOCGPGRP)
		unix.IoctlSetPointerInt(ours, unix.TIOCSPGRP, unix.Getpgrp())
		unix.Kill(other, syscall.SIGKILL)
	case syscall.SIGWINCH:
		s.Terminal.Resize()
	}
}

// job is a command that leads its session.
type job struct {
	cmd    *exec.Cmd
	mu     sync.Mutex
	report *report
}

// wait suspends the streams when the command stops, and returns how it ended.
func (j *job) wait(s *Streams) string {
	for {
		var ws syscall.WaitStatus
		switch _, err := syscall.Wait4(j.cmd.Process.Pid, &ws, syscall.WUNTRACED, nil); {
		case err == syscall.EINTR:
		case err != nil:
			return err.Error()
		case ws.Stopped():
			s.Suspend()
		case ws.Signaled():
			return "signal: " + ws.Signal().String()
		default:
			return fmt.Sprintf("exit status %d", ws.ExitStatus())
		}
	}
}

func (j *job) Group() int { return j.cmd.Process.Pid }

func (j *job) Foreground(is bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.report.Foreground = append(j.report.Foreground, is)
}

func (j *job) KeySignal(s syscall.Signal) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.report.Keys = append(j.report.Keys, s.String())
}

// wrapped is a command under wrap, and where to find the report when it has ended.
func wrapped(t *testing.T, mode, script string, args ...string) (*exec.Cmd, func() report) {
	t.Helper()
	keep, mode, _ := strings.Cut(mode, " ")
	if mode == "" {
		keep, mode = "", keep
	}
	path := filepath.Join(t.TempDir(), "report")
	cmd := process.Command(t, wrapRole, append([]string{path, keep, mode, "sh", "-c", script, "sh"}, args...)...)
	return cmd, func() (r report) {
		t.Helper()
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
}

package process

import (
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
)

// limit is how long a test waits for what must come: it is no measure.
const limit = time.Minute

// Screen is a terminal of its own that a command runs on, and all that has been
// shown there.
type Screen struct {
	// Terminal is the end at which the keyboard and the screen are.
	Terminal *os.File
	t        testing.TB
	cmd      *exec.Cmd
	over     chan struct{} // closed when nobody has the terminal any more

	mu    sync.Mutex
	grown sync.Cond
	shown strings.Builder
	ended bool
	late  bool
	found int // where what was awaited last ends
}

// Rows and Columns are the size of a new Screen.
const (
	Rows    = 31
	Columns = 97
)

// OnTerminal starts a command that leads the terminal's session.
func OnTerminal(t testing.TB, cmd *exec.Cmd) *Screen {
	t.Helper()
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: Rows, Cols: Columns})
	if err != nil {
		t.Fatal(err)
	}
	s := &Screen{Terminal: terminal, t: t, cmd: cmd, over: make(chan struct{})}
	s.grown.L = &s.mu
	timer := time.AfterFunc(limit, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.late = true
		s.grown.Broadcast()
	})
	go s.read()
	t.Cleanup(func() {
		timer.Stop()
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
		terminal.Close()
		<-s.over
	})
	return s
}

func (s *Screen) read() {
	defer close(s.over)
	buf := make([]byte, 4096)
	for {
		n, err := s.Terminal.Read(buf)
		s.mu.Lock()
		s.shown.Write(buf[:n])
		s.ended = err != nil // EIO
		s.grown.Broadcast()
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Await returns when a text is shown behind the one that was awaited before.
func (s *Screen) Await(text string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		shown := s.shown.String()
		if at := strings.Index(shown[s.found:], text); at >= 0 {
			s.found += at + len(text)
			return
		}
		if s.ended || s.late {
			s.t.Fatalf("%q never appeared: %q", text, shown)
		}
		s.grown.Wait()
	}
}

// Shown returns all that has been shown until now.
func (s *Screen) Shown() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown.String()
}

// Type presses keys.
func (s *Screen) Type(keys string) {
	s.t.Helper()
	if _, err := s.Terminal.WriteString(keys); err != nil {
		s.t.Fatal(err)
	}
}

// End returns when the command has ended and nobody has the terminal any more: all
// that was shown.
func (s *Screen) End() string {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.ended {
		if s.late {
			s.t.Fatalf("it does not end: %q", s.shown.String())
		}
		s.grown.Wait()
	}
	s.cmd.Wait()
	return s.shown.String()
}

package term

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/proxy/proxytest/leftout"
	"github.com/agentproxy/agentproxy/proxy/proxytest/process"
	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// until is shell text that waits for a file; traps run meanwhile.
func until(file string) string { return "until [ -e " + file + " ]; do sleep 0.02; done\n" }

// touch makes such a file.
func touch(t *testing.T, file string) {
	t.Helper()
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// The terminal that stands in has the window's size, at first and when it changes,
// and is the one that GnuPG is told to ask on.
func TestTheTerminalStandsIn(t *testing.T) {
	release := filepath.Join(t.TempDir(), "go")
	cmd, result := wrapped(t, "relay", `
		trap 'echo now $(stty size)' WINCH
		test "$GPG_TTY" = "$(tty)" && echo same
		echo first $(stty size)
		`+until(release))
	cmd.Env = append(os.Environ(), "GPG_TTY=/dev/fd/0")
	s := process.OnTerminal(t, cmd)
	s.Await("same\r\n")
	s.Await(fmt.Sprintf("first %d %d\r\n", process.Rows, process.Columns))
	if err := pty.Setsize(s.Terminal, &pty.Winsize{Rows: 12, Cols: 34}); err != nil {
		t.Fatal(err)
	}
	s.Await("now 12 34\r\n")
	touch(t, release)
	s.End()
	if r := result(); r.State != "exit status 0" || !r.Watched[1] || !r.Watched[2] || !strings.Contains(r.Seen[1], "now 12 34") {
		t.Errorf("%+v", r)
	}
}

// Keys that signal the command's group are told of; a quoted one is none, and where
// the command wants none, none is.
func TestKeysThatAreSignals(t *testing.T) {
	release := filepath.Join(t.TempDir(), "go")
	cmd, result := wrapped(t, "relay", `
		trap 'echo caught' INT QUIT; echo ready
		`+until(release)+`
		read line; stty -isig; echo more; read line`)
	s := process.OnTerminal(t, cmd)
	s.Await("ready\r\n")
	s.Type("\x03")
	s.Await("caught\r\n")
	s.Type("\x1c")
	s.Await("caught\r\n")
	touch(t, release)
	s.Type("\x16\x03\r")
	s.Await("more\r\n")
	s.Type("\x03\r")
	screen := s.End()
	if r := result(); !slices.Equal(r.Keys, []string{"interrupt", "quit"}) || strings.Count(screen, "caught") != 2 {
		t.Errorf("%+v; %q", r, screen)
	}
}

// shown are what matters of a terminal's settings.
func shown(s *process.Screen) string {
	now, err := settingsOf(int(s.Terminal.Fd()))
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("echo %v, lines %v, output processed %v", now.Lflag&unix.ECHO != 0, now.canonical(), now.processed())
}

// While the command is stopped, the terminal is as the command has set its own; what
// is typed then is the command's when it goes on.
func TestSuspendAndResume(t *testing.T) {
	cmd, result := wrapped(t, "relay", "stty -echo; echo begun; read x; echo got $x; read y; echo got $y")
	s := process.OnTerminal(t, cmd)
	s.Await("begun\r\n")
	const raw, set = "echo false, lines false, output processed false", "echo false, lines true, output processed true"
	eventually(t, raw, func() bool { return shown(s) == raw })
	cmd.Process.Signal(stopSignal)
	eventually(t, set, func() bool { return shown(s) == set })
	s.Type("one\r\x04") // an end of file behind the line
	cmd.Process.Signal(resumeSignal)
	s.Await("got one\r\n")
	s.Await("got\r\n")
	s.End()
	if r := result(); !slices.Equal(r.Foreground, []bool{false, true, false}) {
		t.Errorf("%+v", r)
	}
}

// In the background keys are another's, and the command's when it comes back.
func TestBackgroundAndForeground(t *testing.T) {
	cmd, result := wrapped(t, "relay", "echo begun; read x; echo got $x")
	s := process.OnTerminal(t, cmd)
	s.Await("begun\r\n")
	cmd.Process.Signal(stopSignal)
	const cooked = "echo true, lines true, output processed true"
	eventually(t, cooked, func() bool { return shown(s) == cooked })
	cmd.Process.Signal(takenSignal)
	eventually(t, "the terminal is another's", func() bool {
		group, err := unix.IoctlGetInt(int(s.Terminal.Fd()), unix.TIOCGPGRP)
		return err == nil && group != cmd.Process.Pid
	})
	cmd.Process.Signal(resumeSignal)
	s.Type("one\r")
	s.Await("one\r\n")
	cmd.Process.Signal(givenSignal)
	s.Await("got one\r\n")
	s.End()
	if r := result(); !slices.Equal(r.Foreground, []bool{false, true, false}) {
		t.Errorf("%+v", r)
	}
}

// mayTypeAhead reports whether keys can be put back here.
func mayTypeAhead(t *testing.T) bool {
	t.Helper()
	s := process.OnTerminal(t, process.Command(t, openRole, "unread"))
	if s.End() == "true\r\n" {
		return true
	}
	leftout.Note(t, "keys that are typed ahead, which the kernel does not let be put back")
	return false
}

// Keys that the command leaves unread are the next one's.
func TestUnreadKeysAreTheNextOnes(t *testing.T) {
	if !mayTypeAhead(t) {
		return
	}
	release := filepath.Join(t.TempDir(), "go")
	cmd, _ := wrapped(t, "relay", "echo ready; "+until(release))
	s := process.OnTerminal(t, exec.Command("sh", append([]string{"-c", `"$@"; echo ended; read x; echo next $x; read x; echo and $x`, "sh"}, cmd.Args...)...))
	s.Await("ready\r\n")
	s.Type("one\rtw")
	s.Await("one\r\ntw")
	touch(t, release)
	s.Await("next one\r\n")
	s.Type("o\r")
	s.Await("and two\r\n")
	s.End()
}

// More keys than a terminal holds wait until there is room.
func TestManyKeysWait(t *testing.T) {
	release := filepath.Join(t.TempDir(), "go")
	cmd, _ := wrapped(t, "relay", "stty -echo; echo ready; "+until(release)+`n=0; while read x && test "$x" != end; do n=$((n + 1)); done; echo $n lines`)
	s := process.OnTerminal(t, cmd)
	s.Await("ready\r\n")
	const lines = 1000
	go func() {
		s.Terminal.WriteString(strings.Repeat("0123456789\r", lines) + "end\r")
	}()
	touch(t, release)
	s.Await(fmt.Sprintf("%d lines\r\n", lines))
	s.End()
}

// openOnce takes its terminal in circumstances, and says what came of it.
func openOnce(args []string) error {
	before, err := settingsOf(ours)
	if err != nil {
		return err
	}
	switch args[0] {
	case "unread":
		fmt.Println(mayUnread(ours))
		return nil
	case "guard":
		return guarded(before)
	case "raw":
		before.raw().apply(ours)
	case "redirected":
		null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		unix.Dup2(int(null.Fd()), 2)
	}
	t, err := openTerminal()
	if err == nil {
		t.end()
	}
	before.apply(ours)
	fmt.Println(err)
	return nil
}

// guarded is a terminal whose keeper was killed while it was raw, and another that
// a shell has put in order since.
func guarded(before settings) error {
	fd, err := unix.Dup(ours)
	if err != nil {
		return err
	}
	guard, err := NewGuard(fd)
	if err != nil {
		return err
	}
	before.raw().apply(ours)
	guard.Restore()
	restored, err := settingsOf(ours)
	if err != nil || restored != before {
		return fmt.Errorf("restored to %+v, %v", restored, err)
	}
	before.Lflag &^= unix.ECHO
	before.apply(ours)
	guard.Restore()
	if now, err := settingsOf(ours); err != nil || now != before {
		return fmt.Errorf("a shell's settings became %+v, %v", now, err)
	}
	guard.Close()
	if _, err := settingsOf(fd); !errors.Is(err, unix.EBADF) {
		return fmt.Errorf("it is still held: %v", err)
	}
	fmt.Println("in order")
	return nil
}

// A terminal that is not all there is, or in the middle of something, stays the
// command's own.
func TestTheTerminalIsTaken(t *testing.T) {
	for how, want := range map[string]string{"": "<nil>", "raw": errNotOurs.Error(), "redirected": errNotOurs.Error(), "guard": "in order"} {
		s := process.OnTerminal(t, process.Command(t, openRole, how))
		if got := s.End(); got != want+"\r\n" {
			t.Errorf("%s: %q, not %q", how, got, want)
		}
	}
}

// Enter is Enter whenever it is pressed: while we take the terminal, while we have
// it, and while we give it back.
func TestKeysTypedWhileTheTerminalChangesHands(t *testing.T) {
	s := process.OnTerminal(t, process.Command(t, turnRole))
	s.Await("\n")
	if s.Shown() == "not permitted\r\n" {
		leftout.Note(t, "keys that are typed ahead, which the kernel does not let be put back")
		return
	}
	for i := range 300 {
		s.Type(fmt.Sprintf("line %d\r", i))
		s.Await(fmt.Sprintf(`got "line %d\n"`, i))
	}
	s.Type("end\r")
	s.End()
}

// takeTurns takes its terminal and gives it back until a line says so, and prints
// the lines that it finds on the terminal that stands in.
func takeTurns([]string) error {
	if !mayUnread(ours) {
		fmt.Print("not permitted\n")
		return nil
	}
	fmt.Print("ready\n")
	buf := make([]byte, 4096)
	for {
		t, err := openTerminal()
		if err != nil {
			return err
		}
		var line string
		polled := []unix.PollFd{{Fd: int32(t.slave), Events: unix.POLLIN}}
		if n, err := unix.Poll(polled, 0); err == nil && n > 0 {
			n, _ := unix.Read(t.slave, buf)
			line = string(buf[:max(n, 0)])
		}
		t.end()
		t.near.Close()
		if line != "" {
			fmt.Printf("got %q\n", line)
		}
		if line == "end\n" {
			return nil
		}
	}
}

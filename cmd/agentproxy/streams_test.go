package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// onPipe starts the command with standard output on a pipe of ours.
func onPipe(t *testing.T, cmd *exec.Cmd) *os.File {
	t.Helper()
	out, far, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	out.SetReadDeadline(time.Now().Add(time.Minute))
	cmd.Stdout = far
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	far.Close()
	return out
}

// exec returns when the command does. What the command has left behind lives
// on and can go on writing to where its output always went.
func TestStragglers(t *testing.T) {
	env := sandbox(t)
	release := filepath.Join(t.TempDir(), "go")
	script := `(until [ -e ` + release + ` ]; do sleep 0.02; done; echo late; echo later) & echo up`
	t.Run("on a pipe", func(t *testing.T) {
		cmd := agentproxy(t, env, "exec", "--", "sh", "-c", script)
		out := onPipe(t, cmd)
		lines := bufio.NewScanner(out)
		if !lines.Scan() || lines.Text() != "up" {
			t.Fatalf("got %q, %v", lines.Text(), lines.Err())
		}
		if err := cmd.Wait(); err != nil { // while the straggler waits for us
			t.Fatal(err)
		}
		if err := os.WriteFile(release, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"late", "later"} {
			if !lines.Scan() || lines.Text() != want {
				t.Fatalf("got %q, not %q: %v", lines.Text(), want, lines.Err())
			}
		}
		if lines.Scan() {
			t.Errorf("then %q", lines.Text())
		}
		os.Remove(release)
	})
	t.Run("on a terminal", func(t *testing.T) {
		cmd := exec.Command("sh", "-c", `agentproxy exec -- sh -c "$1"; echo returned; read wait`, "sh", script)
		cmd.Env = env
		dialog{
			{"up", func(*os.File) {}},
			{"returned", func(*os.File) { os.WriteFile(release, nil, 0o600) }},
			{"later", typing("\n")},
		}.play(t, cmd)
	})
}

// When the reader of a pipe leaves, whoever writes or waits for that learns it.
func TestReaderLeaves(t *testing.T) {
	env := sandbox(t)
	for _, script := range []string{"yes", "sleep 0.2; echo too late; echo survived >&2", "exec tail -f /dev/null"} {
		t.Run(script, func(t *testing.T) {
			bare, wrapped := exec.Command("sh", "-c", script), agentproxy(t, env, "exec", "--", "sh", "-c", script)
			for _, cmd := range []*exec.Cmd{bare, wrapped} {
				onPipe(t, cmd).Close()
				cmd.Wait()
			}
			if bare.ProcessState.String() != wrapped.ProcessState.String() {
				t.Errorf("ended with %v, not with %v", wrapped.ProcessState, bare.ProcessState)
			}
		})
	}
}

// A command that closes its output ends the pipe, though it lives on.
func TestOutputClosedEarly(t *testing.T) {
	env := sandbox(t)
	cmd := agentproxy(t, env, "exec", "--", "sh", "-c", "echo all; exec >&-; read forever")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(onPipe(t, cmd))
	if err != nil || string(out) != "all\n" {
		t.Errorf("read %q, %v", out, err)
	}
	stdin.Close()
	cmd.Wait()
}

// A file is the command's own: it can tell that it would read what it writes.
func TestFileStaysTheFile(t *testing.T) {
	env := sandbox(t)
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("content\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := agentproxy(t, env, "exec", "--", "cat", path)
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = f, &stderr
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != 1 || !strings.Contains(stderr.String(), "input file is output file") {
		t.Errorf("%v: %s", err, &stderr)
	}
}

// Output and errors on one pipe keep their order.
func TestOnePipeKeepsTheOrder(t *testing.T) {
	env := sandbox(t)
	cmd := agentproxy(t, env, "exec", "--", "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do echo $i; echo $i >&2; done")
	out, err := cmd.CombinedOutput()
	if want := "1 1 2 2 3 3 4 4 5 5 6 6 7 7 8 8 9 9"; err != nil || strings.Join(strings.Fields(string(out)), " ") != want {
		t.Errorf("got %q, %v", out, err)
	}
}

// dialog runs a command on a terminal and plays a part in it: after each text
// that appears on the screen, something is done.
type dialog []struct {
	after string
	do    func(terminal *os.File)
}

func (d dialog) play(t *testing.T, cmd *exec.Cmd) (screen string) {
	t.Helper()
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 31, Cols: 97})
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	buf := make([]byte, 4096)
	for {
		n, err := terminal.Read(buf)
		screen += string(buf[:n])
		for len(d) > 0 && strings.Contains(screen, d[0].after) {
			d[0].do(terminal)
			d = d[1:]
		}
		if err != nil { // EIO marks the end of a pty
			break
		}
	}
	if len(d) > 0 {
		t.Errorf("%q never appeared: %q", d[0].after, screen)
	}
	cmd.Wait()
	return screen
}

func typing(keys string) func(*os.File) {
	return func(terminal *os.File) { io.WriteString(terminal, keys) }
}

// The size of the window is the same on all of the command's streams, at first
// and when it changes.
func TestWindowSize(t *testing.T) {
	onTerminals(t, func(t *testing.T, execute func(script string) *exec.Cmd) {
		cmd := execute(`exec 3<&1; trap 'echo now $(stty size <&3) and $(stty size)' WINCH; echo first $(stty size <&2); until read line && test -n "$line"; do :; done`)
		screen := dialog{
			{"first 31 97", func(terminal *os.File) { pty.Setsize(terminal, &pty.Winsize{Rows: 12, Cols: 34}) }},
			{"now 12 34 and 12 34", typing("end\n")},
		}.play(t, cmd)
		if !strings.Contains(screen, "now 12 34") {
			t.Errorf("screen: %q", screen)
		}
	})
}

// Settings of the terminal belong to the command, on whichever stream it makes
// them, and nothing else changes there.
func TestTerminalSettings(t *testing.T) {
	env := sandbox(t)
	settings := func(terminal *os.File) unix.Termios {
		s, err := unix.IoctlGetTermios(int(terminal.Fd()), getTermios)
		if err != nil {
			t.Fatal(err)
		}
		return *s
	}
	for _, stream := range []string{"0", "1", "2"} {
		t.Run("stream "+stream, func(t *testing.T) {
			var before, during, after unix.Termios
			dialog{
				{"ready", func(terminal *os.File) { before = settings(terminal); io.WriteString(terminal, "\n") }},
				{"raw", func(terminal *os.File) { during = settings(terminal); io.WriteString(terminal, "\n") }},
				{"sane", func(terminal *os.File) { after = settings(terminal); io.WriteString(terminal, "\n") }},
			}.play(t, agentproxy(t, env, "exec", "--", "sh", "-c",
				"exec 3<&"+stream+"; echo ready; read x; old=$(stty -g <&3); stty -echo -icanon <&3; echo raw; read x; stty $old <&3; echo sane; read x"))
			if during.Lflag != before.Lflag&^(unix.ECHO|unix.ICANON) || during.Oflag != before.Oflag {
				t.Errorf("-echo -icanon made %+v of %+v", during, before)
			}
			if after != before {
				t.Errorf("restored to %+v, not %+v", after, before)
			}
		})
	}
}

// A command that stops stops us, after what it had to say; and whoever resumes
// us resumes it.
func TestStopAndResume(t *testing.T) {
	env := sandbox(t)
	cmd := agentproxy(t, env, "exec", "--", "sh", "-c", "echo before; kill -STOP $$; echo after; exit 7")
	out := onPipe(t, cmd)
	var ws syscall.WaitStatus
	if _, err := syscall.Wait4(cmd.Process.Pid, &ws, syscall.WUNTRACED, nil); err != nil || !ws.Stopped() || ws.StopSignal() != syscall.SIGSTOP {
		t.Fatalf("not stopped: %v, %v", ws, err)
	}
	buf := make([]byte, 100)
	if n, err := out.Read(buf); err != nil || string(buf[:n]) != "before\n" {
		t.Errorf("read %q, %v", buf[:n], err)
	}
	cmd.Process.Signal(syscall.SIGCONT)
	rest, _ := io.ReadAll(out)
	cmd.Wait()
	if string(rest) != "after\n" || cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("then %q, %v", rest, cmd.ProcessState)
	}
}

// A flood passes whole and in order, to a reader that reads at its own pace.
func TestFlood(t *testing.T) {
	env := sandbox(t)
	cmd := agentproxy(t, env, "exec", "--", "seq", "1", "3000000")
	lines := bufio.NewScanner(onPipe(t, cmd))
	n := 0
	for lines.Scan() {
		if n++; lines.Text() != strconv.Itoa(n) {
			t.Fatalf("line %d is %q", n, lines.Text())
		}
		if n%1000000 == 0 {
			time.Sleep(50 * time.Millisecond) // the pipe fills up
		}
	}
	cmd.Wait()
	if n != 3000000 || !cmd.ProcessState.Success() {
		t.Errorf("%d lines, %v", n, cmd.ProcessState)
	}
}

// When the command has ended and nobody reads what it printed, a signal still
// ends us.
func TestUnreadOutputHoldsNobody(t *testing.T) {
	env := sandbox(t)
	ended := filepath.Join(t.TempDir(), "ended")
	// More than one pipe holds, less than two do.
	cmd := agentproxy(t, env, "exec", "--", "sh", "-c", "head -c 100000 /dev/zero; touch "+ended)
	onPipe(t, cmd)
	for range 6000 {
		if _, err := os.Stat(ended); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	// The command may have a moment to live; it is gone when its parent has seen it go.
	waited := make(chan error, 1)
	go func() { waited <- cmd.Wait() }()
	for {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-waited:
			if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); ws.Signal() != syscall.SIGTERM {
				t.Errorf("ended with %v", cmd.ProcessState)
			}
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

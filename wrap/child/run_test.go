package child

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/agentproxy/agentproxy/proxy/proxytest/process"
)

// noProgram is a file that passes for a program until it is executed: its
// interpreter is missing.
func noProgram(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(path, []byte("#!"+filepath.Join(t.TempDir(), "nothing")+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// everywhere runs a test with a pipe, with the terminal inherited, and with one that
// stands in; play returns what was printed.
func everywhere(t *testing.T, f func(t *testing.T, how string, play func(*test) string)) {
	for name, how := range map[string]string{"pipe": "", "terminal inherited": "", "terminal that stands in": relay} {
		t.Run(name, func(t *testing.T) {
			f(t, how, func(c *test) string {
				if name == "pipe" {
					defer c.Wait()
					return c.onPipe().rest()
				}
				return strings.ReplaceAll(process.OnTerminal(t, c.Cmd).End(), "\r\n", "\n")
			})
		})
	}
}

// How the command ends is how we end.
func TestEnds(t *testing.T) {
	everywhere(t, func(t *testing.T, how string, play func(*test) string) {
		for text, want := range map[string]string{
			"true":          "exit status 0",
			"exit 7":        "exit status 7",
			"kill -TERM $$": "signal: terminated",
			"kill -INT $$":  "signal: interrupt",
			"kill -QUIT $$": "signal: quit",
			"kill -ABRT $$": "signal: aborted",
			"kill -KILL $$": "signal: killed",
			"kill -HUP $$":  "signal: hangup",
			"kill -USR1 $$": "signal: user defined signal 1",
		} {
			c := script(t, how, "echo begun; "+text)
			if out := play(c); out != "begun\n" {
				t.Errorf("%s: printed %q", text, out)
			}
			if got, _, _ := strings.Cut(c.ProcessState.String(), " (core"); got != want {
				t.Errorf("%s: %s, not %s", text, got, want)
			}
			if r := c.report(); r.Result.Closed {
				t.Errorf("%s: it closed its output while it ran: %+v", text, r)
			}
		}
	})
}

// What cannot be started is told in the words and by the status of env(1); what is
// executed by execvp(3) is executed by us.
func TestStarts(t *testing.T) {
	dir := t.TempDir()
	plain, text := filepath.Join(dir, "plain"), filepath.Join(dir, "text")
	for path, mode := range map[string]os.FileMode{plain: 0o600, text: 0o700} {
		if err := os.WriteFile(path, []byte("echo $1\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	for role, start := range map[string]func(t *testing.T, how string, argv ...string) *test{
		runRole: command,
		replaceRole: func(t *testing.T, how string, argv ...string) *test {
			return &test{process.Command(t, replaceRole, argv...), t, ""}
		},
	} {
		t.Run(role, func(t *testing.T) {
			everywhere(t, func(t *testing.T, how string, play func(*test) string) {
				for _, tt := range []struct {
					name   string
					status int
					says   string
				}{
					{filepath.Join(dir, "nothing"), StatusNotFound, "command not found"},
					{"no-such-command", StatusNotFound, "no-such-command: command not found"},
					{plain, StatusNotExecutable, "permission denied"},
					{noProgram(t), StatusNotFound, ""},
					{text, 0, "argument\n"},
				} {
					c := start(t, how, tt.name, "argument")
					var errs strings.Builder
					if how == "" && role == runRole {
						c.Stderr = &errs
					}
					out := play(c)
					if got := c.ProcessState.ExitCode(); got != tt.status || !strings.Contains(out+errs.String(), tt.says) && c.Stdout == nil {
						t.Errorf("%s: exit status %d, %q, %q", tt.name, got, out, errs.String())
					}
				}
			})
		})
	}
}

// loop is a script that does something at a signal.
func loop(traps string) string { return traps + "; echo ready; while :; do sleep 0.02; done" }

// A signal for us is the command's.
func TestSignals(t *testing.T) {
	for name, s := range map[string]syscall.Signal{
		"HUP": syscall.SIGHUP, "INT": syscall.SIGINT, "QUIT": syscall.SIGQUIT, "TERM": syscall.SIGTERM, "USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2, "ALRM": syscall.SIGALRM,
	} {
		text := loop("trap 'echo caught; exit 9' " + name)
		t.Run(name+" on a pipe", func(t *testing.T) {
			c := script(t, "", text)
			c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // whoever runs the test may be in the foreground
			out := c.onPipe()
			out.await("ready\n")
			c.Process.Signal(s)
			if rest := out.rest(); rest != "caught\n" {
				t.Errorf("printed %q", rest)
			}
			if c.Wait(); c.ProcessState.ExitCode() != 9 {
				t.Errorf("ended with %v", c.ProcessState)
			}
		})
		t.Run(name+" on a terminal", func(t *testing.T) {
			c := script(t, relay, text)
			screen := process.OnTerminal(t, c.Cmd)
			screen.Await("ready")
			c.Process.Signal(s)
			screen.Await("caught")
			if screen.End(); c.ProcessState.ExitCode() != 9 {
				t.Errorf("ended with %v", c.ProcessState)
			}
		})
	}
}

// What we were started to ignore the command ignores, too (nohup(1)).
func TestIgnoredSignals(t *testing.T) {
	everywhere(t, func(t *testing.T, how string, play func(*test) string) {
		c := script(t, how, "kill -HUP $PPID; kill -HUP $$; echo survived").underShell(`trap '' HUP; exec "$@"`)
		if out := play(c); out != "survived\n" || !c.ProcessState.Success() {
			t.Errorf("printed %q, %v", out, c.ProcessState)
		}
	})
}

// A command that stops stops us, after what it had to say, and whoever resumes us
// resumes it; as often as it likes.
func TestStopAndResume(t *testing.T) {
	c := script(t, "", "echo before; kill -STOP $$; echo after; kill -STOP $$; exit 7")
	out := c.onPipe()
	for _, says := range []string{"before\n", "after\n"} {
		if s := c.stopped(); s != syscall.SIGSTOP {
			t.Errorf("stopped by %v", s)
		}
		out.await(says)
		c.Process.Signal(syscall.SIGCONT)
	}
	if rest := out.rest(); rest != "" {
		t.Errorf("then %q", rest)
	}
	if c.Wait(); c.ProcessState.ExitCode() != 7 {
		t.Errorf("ended with %v", c.ProcessState)
	}
}

// A stop that somebody asks us for is the command's, each time, at once behind a
// resumption too.
func TestStopsFromOutside(t *testing.T) {
	c := script(t, "", loop("trap 'echo going' CONT"))
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a group that nobody stops is orphaned
	out := c.onPipe()
	out.await("ready\n")
	for range 3 {
		c.Process.Signal(syscall.SIGTSTP)
		if s := c.stopped(); s != syscall.SIGTSTP {
			t.Errorf("stopped by %v", s)
		}
		c.Process.Signal(syscall.SIGCONT)
		out.await("going\n")
	}
	c.Process.Signal(syscall.SIGTERM)
	out.rest()
	if c.Wait(); c.ProcessState.String() != "signal: terminated" {
		t.Errorf("ended with %v", c.ProcessState)
	}
}

// A file is the command's own; what it has written there is looked at when it has
// failed.
func TestFilesAreReadAfterwards(t *testing.T) {
	for text, want := range map[string]report{
		"echo out; echo err >&2; exit 1": {Kept: [2]string{"out\n", "err\n"}},
		"echo out; echo err >&2":         {Kept: [2]string{}, Unsure: true},
	} {
		dir := t.TempDir()
		c := script(t, "", text)
		for name, stream := range map[string]func(*os.File){"out": func(f *os.File) { c.Stdout = f }, "err": func(f *os.File) { c.Stderr = f }} {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte("earlier\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			stream(f)
		}
		c.Run()
		if r := c.report(); r.Kept != want.Kept || r.Unsure != want.Unsure {
			t.Errorf("%s: %+v", text, r)
		}
	}
	path := filepath.Join(t.TempDir(), "both")
	c := script(t, "", "echo out; echo err >&2; exit 1")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c.Stdout, c.Stderr = f, f
	c.Run()
	if r := c.report(); r.Kept != [2]string{"out\nerr\n", ""} || r.Unsure {
		t.Errorf("one file for both: %+v", r)
	}
}

// What is printed is remembered, stream by stream.
func TestOutputIsRemembered(t *testing.T) {
	c := script(t, "", "echo out; echo err >&2")
	c.onPipe().rest() // errors go to /dev/null
	c.Wait()
	if r := c.report(); r.Kept != [2]string{"out\n", "err\n"} || r.Unsure {
		t.Errorf("%+v", r)
	}
	c = script(t, relay, "echo out; echo err >&2")
	process.OnTerminal(t, c.Cmd).End()
	if r := c.report(); r.Kept != [2]string{"out\r\nerr\r\n", ""} || r.Unsure {
		t.Errorf("%+v", r)
	}
}

// The reader sees the end when the command closes its output, which only matters to
// another run.
func TestClosedOutput(t *testing.T) {
	for how, closed := range map[string]bool{"": false, again: true} {
		c := script(t, how, "echo all; exec >&-; read forever")
		stdin, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if out := c.onPipe().rest(); out != "all\n" {
			t.Errorf("printed %q", out)
		}
		stdin.Close()
		c.Wait()
		if r := c.report(); r.Result.Closed != closed {
			t.Errorf("%s: %+v", how, r)
		}
	}
}

// What the command leaves behind can go on writing, and we do not wait for it.
func TestStragglersOnAPipe(t *testing.T) {
	release := filepath.Join(t.TempDir(), "go")
	c := script(t, "", "("+until(release)+"echo late) & echo up")
	out := c.onPipe()
	out.await("up\n")
	if err := c.Wait(); err != nil { // while the straggler waits for us
		t.Fatal(err)
	}
	touch(t, release)
	if rest := out.rest(); rest != "late\n" {
		t.Errorf("printed %q", rest)
	}
}

// When the command has ended and nobody reads what it printed, a signal still ends
// us.
func TestUnreadOutputHoldsNobody(t *testing.T) {
	// More than one pipe holds, less than two do.
	c := script(t, "", "head -c 100000 /dev/zero")
	c.onPipe()
	waited := make(chan struct{})
	go func() { c.Wait(); close(waited) }()
	eventually(t, "a signal ends us", func() bool {
		c.Process.Signal(syscall.SIGTERM)
		select {
		case <-waited:
			return true
		default:
			return false
		}
	})
	if c.ProcessState.String() != "signal: terminated" {
		t.Errorf("ended with %v", c.ProcessState)
	}
}

// Our descriptors beyond the standard ones are the command's.
func TestDescriptorsAreInherited(t *testing.T) {
	everywhere(t, func(t *testing.T, how string, play func(*test) string) {
		c := script(t, how, "cat <&3")
		f, err := os.Open("helper_test.go")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		c.ExtraFiles = []*os.File{f}
		if out := play(c); !strings.HasPrefix(out, "package child\n") {
			t.Errorf("printed %q", out)
		}
	})
}

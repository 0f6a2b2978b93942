package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// sandbox is an environment with a home of its own, whose tunnels end with the
// test.
func sandbox(t testing.TB) []string {
	t.Helper()
	// A process with the race detector lingers for a second when it ends, by default.
	vars := map[string]string{"HOME": t.TempDir(), "PATH": os.Getenv("PATH"), "TERM": "xterm", "GORACE": "atexit_sleep_ms=0"}
	t.Cleanup(func() { stopAll(func(name string) string { return vars[name] }) })
	// A process that handles a signal gives its children the default; one that
	// was started under nohup would hand the ignoring on.
	handled := make(chan os.Signal, 1)
	signal.Notify(handled, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT)
	t.Cleanup(func() { signal.Stop(handled) })
	var env []string
	for name, value := range vars {
		env = append(env, name+"="+value)
	}
	return env
}

func agentproxy(t testing.TB, env []string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "agentproxy", args...)
	cmd.Env = env
	return cmd
}

// A command that a signal kills kills us the same way, so that a shell says
// what it would have said; and we leave no core.
func TestDeathBySignal(t *testing.T) {
	env := sandbox(t)
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGSEGV, syscall.SIGABRT, syscall.SIGPIPE, syscall.SIGUSR1} {
		t.Run(s.String(), func(t *testing.T) {
			cmd := agentproxy(t, env, "exec", "--", "sh", "-c", fmt.Sprintf("ulimit -c 0; kill -%d $$", s))
			out, err := cmd.CombinedOutput()
			ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
			if !ok || !ws.Signaled() || ws.Signal() != s || ws.CoreDump() {
				t.Errorf("ended with %v (%v)", cmd.ProcessState, err)
			}
			if len(out) > 0 {
				t.Errorf("printed %q", out)
			}
		})
	}
}

func TestSignalsAreForwarded(t *testing.T) {
	env := sandbox(t)
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT, syscall.SIGUSR1} {
		t.Run(s.String(), func(t *testing.T) {
			cmd := agentproxy(t, env, "exec", "--", "sh", "-c", fmt.Sprintf("trap 'echo got; exit 9' %d; echo ready; while :; do sleep 0.05; done", s))
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no terminal that would have sent it too
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewReader(out)
			if line, err := lines.ReadString('\n'); line != "ready\n" {
				t.Fatalf("got %q, %v", line, err)
			}
			cmd.Process.Signal(s)
			time.AfterFunc(20*time.Second, func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
			rest, _ := io.ReadAll(lines)
			cmd.Wait()
			if string(rest) != "got\n" || cmd.ProcessState.ExitCode() != 9 {
				t.Errorf("printed %q, exit status %d", rest, cmd.ProcessState.ExitCode())
			}
		})
	}
}

// On a terminal the command sees a terminal, and Ctrl-C reaches it once.
func TestTerminal(t *testing.T) {
	onTerminals(t, func(t *testing.T, execute func(script string) *exec.Cmd) {
		cmd := execute(`test -t 0 && test -t 1 && test -t 2 && echo terminal; trap 'echo interrupted' INT; stty size; echo ready; until read line && test -n "$line"; do :; done; echo "read $line"`)
		got := dialog{{"ready", typing("\x03")}, {"interrupted", typing("typed\n")}}.play(t, cmd)
		for _, want := range []string{"terminal", "31 97", "read typed"} {
			if !strings.Contains(got, want) {
				t.Errorf("%q is not on the screen: %q", want, got)
			}
		}
		if n := strings.Count(got, "interrupted"); n != 1 {
			t.Errorf("interrupted %d times: %q", n, got)
		}
	})
}

// onTerminals runs a test for a terminal that the command inherits, and for a
// pseudo terminal in its place; execute makes a command that executes a script.
func onTerminals(t *testing.T, test func(t *testing.T, execute func(script string) *exec.Cmd)) {
	env := sandbox(t)
	for name, args := range map[string][]string{"inherited": {"exec"}, "relayed": {"exec", "--pty"}} {
		t.Run(name, func(t *testing.T) {
			test(t, func(script string) *exec.Cmd {
				return agentproxy(t, env, append(args, "--", "sh", "-c", script)...)
			})
		})
	}
}

// BenchmarkExec measures `exec -- true` with the tunnel up against bare true,
// on pipes and on a terminal; the differences are what we cost.
func BenchmarkExec(b *testing.B) {
	env := sandbox(b)
	if out, err := agentproxy(b, env, "up").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	onPipes := func(cmd *exec.Cmd) error {
		_, err := cmd.CombinedOutput()
		return err
	}
	onTerminal := func(cmd *exec.Cmd) error {
		terminal, err := pty.Start(cmd)
		if err != nil {
			return err
		}
		defer terminal.Close()
		return cmd.Wait()
	}
	for _, bm := range []struct {
		name string
		argv []string
		run  func(*exec.Cmd) error
	}{
		{"pipes/bare", []string{"true"}, onPipes},
		{"pipes/exec", []string{"agentproxy", "exec", "--", "true"}, onPipes},
		{"terminal/bare", []string{"true"}, onTerminal},
		{"terminal/exec", []string{"agentproxy", "exec", "--", "true"}, onTerminal},
		{"terminal/exec --pty", []string{"agentproxy", "exec", "--pty", "--", "true"}, onTerminal},
	} {
		b.Run(bm.name, func(b *testing.B) {
			for b.Loop() {
				cmd := exec.Command(bm.argv[0], bm.argv[1:]...)
				cmd.Env = env
				if err := bm.run(cmd); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// scripted is a command that runs a script on a terminal of its own. The script
// finds its arguments as $1, $2 …
func scripted(t *testing.T, env []string, script string, args ...string) *exec.Cmd {
	return within(t, env, "sh", append([]string{"-c", script, "sh"}, args...)...)
}

// within is a command that has a minute.
func within(t *testing.T, env []string, name string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = env
	return cmd
}

// lines are those of a screen.
func lines(screen string) []string {
	return strings.Split(strings.TrimSuffix(strings.ReplaceAll(screen, "\r\n", "\n"), "\n"), "\n")
}

// nothingLeft fails when processes with the environment's home directory live
// on, apart from tunnels.
func nothingLeft(t *testing.T, env []string) {
	t.Helper()
	var home []byte
	for _, e := range env {
		if strings.HasPrefix(e, "HOME=") {
			home = append([]byte(e), 0)
		}
	}
	var left []string
	for range 100 {
		left = nil
		environs, _ := filepath.Glob("/proc/[0-9]*/environ")
		for _, path := range environs {
			data, _ := os.ReadFile(path) // empty for a zombie
			args, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
			if bytes.Contains(data, home) && !bytes.Contains(args, []byte("__daemon")) {
				left = append(left, string(bytes.ReplaceAll(args, []byte{0}, []byte{' '})))
			}
		}
		if left == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("left behind: %q", left)
}

// A pseudo terminal stands in for the terminal only where it is all there is.
func TestPtyStandsIn(t *testing.T) {
	env := sandbox(t)
	got := lines(dialog{}.play(t, scripted(t, env, `
		tty
		agentproxy exec --pty -- tty
		agentproxy exec --pty -- tty 2>/dev/null
		agentproxy exec --pty -- sh -c 'test -t 1 || tty' | cat
		agentproxy exec -- tty
	`)))
	if len(got) != 5 || got[1] == got[0] || !strings.HasPrefix(got[1], "/dev/") {
		t.Fatalf("printed %q", got)
	}
	for _, tty := range got[2:] {
		if tty != got[0] {
			t.Errorf("got %s, not %s", tty, got[0])
		}
	}
	nothingLeft(t, env)
}

// How the command ends is how we end.
func TestPtyEnds(t *testing.T) {
	env := sandbox(t)
	for script, want := range map[string]string{
		"true":            "exit status 0",
		"exit 7":          "exit status 7",
		"no-such-command": "exit status 127",
		"kill -TERM $$":   "signal: terminated",
		"kill -INT $$":    "signal: interrupt",
		"kill -KILL $$":   "signal: killed",
		"kill -HUP $$":    "signal: hangup",
		"kill -USR1 $$":   "signal: user defined signal 1",
	} {
		t.Run(script, func(t *testing.T) {
			cmd := agentproxy(t, env, "exec", "--pty", "--", "sh", "-c", script)
			dialog{}.play(t, cmd)
			if got := cmd.ProcessState.String(); got != want {
				t.Errorf("%s, not %s", got, want)
			}
		})
	}
	notExecutable := filepath.Join(t.TempDir(), "f")
	os.WriteFile(notExecutable, nil, 0o600)
	for name, want := range map[string]int{"no-such-command": 127, notExecutable: 126} {
		cmd := agentproxy(t, env, "exec", "--pty", "--", name)
		screen := dialog{}.play(t, cmd)
		if got := cmd.ProcessState.ExitCode(); got != want || strings.Count(screen, "agentproxy: ") != 1 {
			t.Errorf("%s: exit status %d, %q", name, got, screen)
		}
	}
	nothingLeft(t, env)
}

// A tool with a profile gets a terminal of ours, anything else the one there is.
func TestPtyByProfile(t *testing.T) {
	env, bin := sandbox(t), t.TempDir()
	for _, name := range []string{"npm", "unknown"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\ntty\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for line, relayed := range map[string]bool{"npm": true, "env A=1 npm": true, "--no-pty -- npm": false, "unknown": false, "--pty -- unknown": true, "sh -c 'unknown; :'": false} {
		screen := dialog{}.play(t, scripted(t, env, `PATH=$1:$PATH; tty; agentproxy exec `+line, bin))
		names := strings.Fields(screen)
		if len(names) != 2 || (names[0] != names[1]) != relayed {
			t.Errorf("%s: %q", line, screen)
		}
	}
	nothingLeft(t, env)
}

// What is printed on the terminal is read: the verdict is surer when it names
// the host that could not be reached.
func TestPtyIsRead(t *testing.T) {
	env := append(sandbox(t), "AGENTPROXY_VERDICT=json")
	for says, named := range map[string]bool{"no-such-name.invalid is not there": true, "something else is wrong": false} {
		script := "fetch https://no-such-name.invalid/ 2>/dev/null; echo " + says + "; exit 1"
		screen := dialog{}.play(t, agentproxy(t, env, "exec", "--pty", "--", "sh", "-c", script))
		if strings.Contains(screen, `"confidence":0.85`) != named {
			t.Errorf("after %q: %q", says, screen)
		}
	}
}

// A signal for us is the command's. From the keyboard, it is also for those
// with whom we share a process group.
func TestPtySignals(t *testing.T) {
	env := sandbox(t)
	const script = `trap 'echo caught; exit 9' TERM INT; echo ready $PPID; while :; do sleep 0.05; done`
	t.Run("kill", func(t *testing.T) {
		cmd := agentproxy(t, env, "exec", "--pty", "--", "sh", "-c", script)
		screen := dialog{{"ready", func(*os.File) { cmd.Process.Signal(syscall.SIGTERM) }}}.play(t, cmd)
		if strings.Count(screen, "caught") != 1 || cmd.ProcessState.ExitCode() != 9 {
			t.Errorf("printed %q, %v", screen, cmd.ProcessState)
		}
	})
	t.Run("key", func(t *testing.T) {
		cmd := scripted(t, env, `trap 'echo so did I' INT; agentproxy exec --pty -- sh -c "$1"; echo status $?`, script)
		screen := dialog{{"ready", typing("\x03")}}.play(t, cmd)
		if strings.Count(screen, "caught") != 1 || strings.Count(screen, "so did I") != 1 || !strings.Contains(screen, "status 9") {
			t.Errorf("printed %q", screen)
		}
	})
	nothingLeft(t, env)
}

// Ctrl-Z stops the command and us, and the shell has its terminal as it was
// until fg.
func TestPtyStopAndResume(t *testing.T) {
	env := sandbox(t)
	cmd := within(t, append(env, "PS1=READY> "), "bash", "--norc", "--noprofile", "--noediting")
	got := dialog{
		{"READY> ", typing("old=$(stty -g); agentproxy exec --pty -- sh -c 'echo begun; read x; echo got $x; exit 5'\n")},
		{"begun\r\n", typing("\x1a")},
		{"Stopped", typing("test $(stty -g) = $old && echo as it was\n")},
		{"as it was\r\n", typing("bg; until jobs | grep -q Stopped; do sleep 0.1; done; echo wants input\n")},
		{"wants input\r\n", typing("fg; echo status $?; exit\n")},
		{"status $?", typing("a line\n")},
	}.play(t, cmd)
	if !strings.Contains(got, "status 5") {
		t.Errorf("screen: %q", got)
	}
	nothingLeft(t, env)
}

// When we are killed in the background, the command does not stay behind.
func TestPtyKilledInBackground(t *testing.T) {
	env := sandbox(t)
	dialog{
		{"READY> ", typing("agentproxy exec --pty -- sh -c 'echo begun; exec sleep 100'\n")},
		{"begun\r\n", typing("\x1a")},
		{"Stopped", typing("bg; sleep 0.3; kill -KILL %1; wait %1; exit\n")},
	}.play(t, within(t, append(env, "PS1=READY> "), "bash", "--norc", "--noprofile", "--noediting"))
	nothingLeft(t, env)
}

// What the command leaves running is not hung up, can go on writing, and is all
// that is left.
func TestPtyStragglers(t *testing.T) {
	env := sandbox(t)
	dir := t.TempDir()
	cmd := scripted(t, env, `cd "$1"; agentproxy exec --pty -- sh -c "$2"; echo returned; read wait`, dir,
		`(until [ -e go ]; do sleep 0.02; done; echo late; echo later) & (until [ -e go ]; do sleep 0.02; done; echo quiet >done) <&- >&- 2>&- & echo up`)
	screen := dialog{
		{"up", func(*os.File) {}},
		{"returned", func(*os.File) { os.WriteFile(filepath.Join(dir, "go"), nil, 0o600) }},
		{"late\r\nlater\r\n", typing("\n")},
	}.play(t, cmd)
	nothingLeft(t, env)
	if done, err := os.ReadFile(filepath.Join(dir, "done")); string(done) != "quiet\n" {
		t.Errorf("%q, %v; screen: %q", done, err, screen)
	}
}

// A process of ours that stays for a straggler holds nothing that the straggler
// has let go.
func TestStragglersHoldNothingElse(t *testing.T) {
	env, dir := sandbox(t), t.TempDir()
	for name, start := range map[string]func(*exec.Cmd) (*os.File, error){
		"on a pipe":     func(cmd *exec.Cmd) (*os.File, error) { return onPipe(t, cmd), nil },
		"on a terminal": pty.Start,
	} {
		t.Run(name, func(t *testing.T) {
			release := filepath.Join(dir, name)
			cmd := agentproxy(t, env, "exec", "--pty", "--", "sh", "-c", "exec 3>&-; (until [ -e '"+release+"' ]; do sleep 0.02; done) &")
			held, far, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer held.Close()
			cmd.ExtraFiles = []*os.File{far} // its descriptor 3
			out, err := start(cmd)
			if err != nil {
				t.Fatal(err)
			}
			far.Close()
			held.SetReadDeadline(time.Now().Add(10 * time.Second))
			if _, err := held.Read(make([]byte, 1)); err != io.EOF {
				t.Error(err)
			}
			os.WriteFile(release, nil, 0o600)
			io.Copy(io.Discard, out)
			out.Close()
			cmd.Wait()
		})
	}
	nothingLeft(t, env)
}

// However it ends, the terminal is as the command has left it, or as it was.
func TestPtySettings(t *testing.T) {
	env := sandbox(t)
	for _, tt := range []struct{ name, script, then string }{
		{"nothing", "true", ""},
		{"set", "stty -echo -icanon", "stty -echo -icanon"},
		{"set and reset", "old=$(stty -g); stty raw -echo; stty $old", ""},
		{"resized", "stty rows 20 cols 40", "stty rows 20 cols 40"},
		{"command killed", "kill -KILL $$", ""},
		{"exec terminated", "kill -TERM $(cat $1/pid); read x", ""},
		{"exec killed", "kill -KILL $(cat $1/pid); read x", ""},
		{"monitor killed", "kill -KILL $PPID; read x", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			cmd := scripted(t, env, `
				sh -c 'echo $$ >"$1/pid"; exec agentproxy exec --pty -- sh -c "$2" sh "$1"' sh "$1" "$2"
				got=$(stty -g; stty size)
				eval "$3"
				want=$(stty -g; stty size)
				for try in 1 2 3 4 5 6 7 8 9; do
					test "$got" = "$want" && break
					sleep 0.1
					got=$(stty -g; stty size)
				done
				test "$got" = "$want" || echo "$got, not $want"
			`, dir, tt.script, tt.then)
			if screen := (dialog{}).play(t, cmd); strings.Contains(screen, "not") {
				t.Errorf("settings: %q", screen)
			}
		})
	}
	nothingLeft(t, env)
}

// Keys that nobody reads are the next one's, and are shown once.
func TestPtyTypedAhead(t *testing.T) {
	env := sandbox(t)
	wait := `echo $0; until [ -e ` + filepath.Join(t.TempDir(), "go") + ` ]; do sleep 0.02; done`
	release := func(*os.File) { os.WriteFile(strings.Fields(wait)[5], nil, 0o600) }
	t.Run("before", func(t *testing.T) {
		screen := dialog{{"ready", typing("one\ntwo\n")}, {"two", release}}.play(t,
			scripted(t, env, `sh -c "$1" ready; agentproxy exec --pty -- sh -c 'read x; echo read $x'; read x; echo then $x`, wait))
		if want := "ready\none\ntwo\nread one\nthen two"; strings.Join(lines(screen), "\n") != want {
			t.Errorf("screen: %q", screen)
		}
	})
	t.Run("during", func(t *testing.T) {
		os.Remove(strings.Fields(wait)[5])
		if legacy, err := os.ReadFile("/proc/sys/dev/tty/legacy_tiocsti"); err == nil && string(legacy) == "0\n" && os.Getuid() != 0 {
			t.Skip("the kernel does not let keys be put back")
		}
		screen := dialog{{"ready", typing("one\ntwo\n")}, {"two", release}}.play(t,
			scripted(t, env, `agentproxy exec --pty -- sh -c "$1" ready; read x; echo read $x; read x; echo then $x`, wait))
		if want := "ready\none\ntwo\nread one\nthen two"; strings.Join(lines(screen), "\n") != want {
			t.Errorf("screen: %q", screen)
		}
	})
}

// GnuPG asks for passphrases on the command's terminal.
func TestPtyOfGnuPG(t *testing.T) {
	env := sandbox(t)
	screen := dialog{}.play(t, scripted(t, env, `
		GPG_TTY=$(tty) agentproxy exec --pty -- sh -c 'test "$GPG_TTY" = "$(tty)" && echo same'
		GPG_TTY=/dev/tty agentproxy exec --pty -- sh -c 'echo $GPG_TTY'
	`))
	if want := "same\r\n/dev/tty\r\n"; screen != want {
		t.Errorf("screen: %q", screen)
	}
}

// A flood reaches the terminal whole and in order.
func TestPtyFlood(t *testing.T) {
	env := sandbox(t)
	screen := dialog{}.play(t, agentproxy(t, env, "exec", "--pty", "--", "seq", "20000"))
	for i, line := range lines(screen) {
		if line != fmt.Sprint(i+1) {
			t.Fatalf("line %d is %q", i+1, line)
		}
	}
	if n := strings.Count(screen, "\r\n"); n != 20000 {
		t.Errorf("%d lines", n)
	}
}

package child

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/proxytest/process"
	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// onTerminals runs a test on a terminal that is inherited and on one that stands in.
func onTerminals(t *testing.T, f func(t *testing.T, how string)) {
	t.Run("inherited", func(t *testing.T) { f(t, "") })
	t.Run("standing in", func(t *testing.T) { f(t, relay) })
}

// The size of the window is the command's, at first and when it changes.
func TestWindowSize(t *testing.T) {
	onTerminals(t, func(t *testing.T, how string) {
		release := filepath.Join(t.TempDir(), "go")
		s := process.OnTerminal(t, script(t, how, "trap 'echo now $(stty size)' WINCH; echo first $(stty size)\n"+until(release)).Cmd)
		s.Await(fmt.Sprintf("first %d %d\r\n", process.Rows, process.Columns))
		if err := pty.Setsize(s.Terminal, &pty.Winsize{Rows: 12, Cols: 34}); err != nil {
			t.Fatal(err)
		}
		s.Await("now 12 34\r\n")
		touch(t, release)
		s.End()
	})
}

// A key that interrupts is for the command, and for those that share our process
// group, once each.
func TestKeysThatInterrupt(t *testing.T) {
	onTerminals(t, func(t *testing.T, how string) {
		c := script(t, how, loop("trap 'echo caught; exit 9' INT")).underShell(`trap 'echo so did I' INT; "$@"; echo status $?`)
		s := process.OnTerminal(t, c.Cmd)
		s.Await("ready\r\n")
		s.Type("\x03")
		s.Await("status 9\r\n")
		if screen := s.End(); strings.Count(screen, "caught") != 1 || strings.Count(screen, "so did I") != 1 {
			t.Errorf("%q", screen)
		}
	})
}

// A key stops the command and us, and the shell has its terminal as it was; in the
// background the command stops when it wants a key, and in the foreground it gets
// what is typed.
func TestJobControl(t *testing.T) {
	onTerminals(t, func(t *testing.T, how string) {
		list := filepath.Join(t.TempDir(), "jobs")
		c := script(t, how, "echo begun; read x; echo got $x; exit 5").underShell(`
			set -m
			before=$(stty -g)
			"$@"; echo stopped $?
			test "$(stty -g)" = "$before" && echo as it was
			bg
			until jobs >'` + list + `'; grep -qi stopped '` + list + `'; do sleep 0.02; done
			echo wants a key
			fg; echo status $?`)
		s := process.OnTerminal(t, c.Cmd)
		s.Await("begun\r\n")
		s.Type("\x1a")
		s.Await(fmt.Sprintf("stopped %d\r\n", 128+int(syscall.SIGTSTP)))
		s.Await("as it was\r\n")
		s.Await("wants a key\r\n")
		s.Type("a line\r") // while the terminal changes hands
		s.Await("got a line\r\n")
		s.Await("status 5\r\n")
		s.End()
	})
}

// A command that is stopped by a signal, as with kill -STOP, stops us alone: no
// terminal sends that.
func TestStopOnATerminal(t *testing.T) {
	c := script(t, relay, "echo begun; kill -STOP $$; echo going; exit 5").underShell(`
		set -m
		"$@"; echo stopped $?
		fg; echo status $?`)
	s := process.OnTerminal(t, c.Cmd)
	s.Await(fmt.Sprintf("stopped %d\r\n", 128+int(syscall.SIGSTOP)))
	s.Await("going\r\n")
	s.Await("status 5\r\n")
	s.End()
}

// What the command leaves running on its terminal is not hung up, can go on writing,
// and holds nobody.
func TestStragglersOnATerminal(t *testing.T) {
	onTerminals(t, func(t *testing.T, how string) {
		release := filepath.Join(t.TempDir(), "go")
		c := script(t, how, "("+until(release)+"echo late) & echo up").underShell(`"$@"; echo returned; read wait`)
		s := process.OnTerminal(t, c.Cmd)
		s.Await("returned\r\n")
		touch(t, release)
		s.Await("late\r\n")
		s.Type("\r")
		s.End()
	})
}

// saysInOrder is shell text that says so once the terminal processes output.
const saysInOrder = "while stty -a | grep -q -- -opost; do sleep 0.02; done; echo in order"

// When the process that watches the command is killed, that is told, and the
// terminal is in order.
func TestTheMonitorIsKilled(t *testing.T) {
	c := script(t, relay, "echo begun; read x; kill -KILL $PPID; read x").underShell(`"$@"; ` + saysInOrder)
	s := process.OnTerminal(t, c.Cmd)
	s.Await("begun\r\n")
	s.Type("\r") // which it gets when we know of it
	s.Await("in order\r\n")
	s.End()
	if r := c.report(); r.Err != errMonitorGone.Error() {
		t.Errorf("%+v", r)
	}
}

// The command may do it at once: it is not started a second time.
func TestTheMonitorIsKilledAtOnce(t *testing.T) {
	for range 30 {
		s := process.OnTerminal(t, script(t, relay, "kill -KILL $PPID").underShell(`"$@" 2>&1; echo status $?`).Cmd)
		if screen := s.End(); screen != "run: "+errMonitorGone.Error()+"\r\nstatus 1\r\n" {
			t.Fatalf("%q", screen)
		}
	}
}

// When we are killed, the command does not stay behind, in the foreground or not, and
// the terminal is put in order.
func TestWeAreKilled(t *testing.T) {
	for name, after := range map[string]string{
		"in the foreground": "",
		"in the background": "bg; kill -KILL %1; wait %1; ",
	} {
		t.Run(name, func(t *testing.T) {
			// The end of what the command alone holds is the end of the command.
			held, far, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer held.Close()
			c := script(t, relay, "echo begun $PPID; exec sleep 100").underShell(`set -m; "$@"; ` + after + saysInOrder)
			c.ExtraFiles = []*os.File{far}
			s := process.OnTerminal(t, c.Cmd)
			far.Close()
			s.Await("begun ")
			if after == "" {
				s.Await("\r\n")
				group, err := unix.IoctlGetInt(int(s.Terminal.Fd()), unix.TIOCGPGRP)
				if err != nil {
					t.Fatal(err)
				}
				unix.Kill(group, syscall.SIGKILL)
			} else {
				s.Type("\x1a")
			}
			s.Await("in order\r\n")
			s.End()
			held.SetReadDeadline(time.Now().Add(limit))
			if _, err := held.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("the command lives on: %v", err)
			}
		})
	}
}

// The settings that the command leaves are the terminal's.
func TestSettingsThatAreLeft(t *testing.T) {
	onTerminals(t, func(t *testing.T, how string) {
		c := script(t, how, "stty -echo -icanon").underShell(`
			before=$(stty -g); "$@"; got=$(stty -g)
			stty $before; stty -echo -icanon
			test "$got" = "$(stty -g)" && echo as it was left`)
		s := process.OnTerminal(t, c.Cmd)
		s.Await("as it was left\r\n")
		s.End()
	})
}

// The monitor is told by its arguments what to do.
func TestMonitorRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, args := range [][]string{nil, {"3", "4", "sh"}, {"three", "4", "/bin/sh", "sh"}} {
		if err := Monitor(args); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

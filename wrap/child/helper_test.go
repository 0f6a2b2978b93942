package child

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/capture/sockets"
	"github.com/agentproxy/agentproxy/proxy/proxytest/process"
	"github.com/agentproxy/agentproxy/wrap/capture"
	"github.com/agentproxy/agentproxy/wrap/term"
)

// Processes that the tests start.
const (
	runRole     = "run"
	replaceRole = "replace"
)

func TestMain(m *testing.M) {
	process.Main(m, map[string]func([]string) error{
		MonitorCommand: Monitor, term.PassOnCommand: term.PassOn, capture.StageCommand: capture.Stage,
		runRole: runAndExit, replaceRole: func(argv []string) error { return exitAs(Replace(Command{Argv: argv, Env: os.Environ()})) },
	})
}

// limit is how long a test waits for what must come: it is no measure.
const limit = 10 * time.Second

// report is what was known of a run when it was over.
type report struct {
	Result   Result
	Err      string
	Refused  bool // no network of its own could be made
	Captured string
	Kept     [2]string
	Unsure   bool // whether all was seen
}

// How a command is run.
const (
	relay    = "relay"    // on a terminal that stands in
	again    = "again"    // as what may be run once more
	captured = "captured" // in a network of its own
)

// runAndExit runs a command and ends as it does. Its arguments are a file for the
// report, how, and the command line.
func runAndExit(args []string) error {
	o := Options{Output: &Output{}, Again: strings.Contains(args[1], again)}
	if strings.Contains(args[1], relay) {
		o.Terminal = term.Relay
	}
	var r report
	if strings.Contains(args[1], captured) {
		var err error
		if o.Capture, err = newCapture(&r.Captured); err != nil {
			return err
		}
	}
	var err error
	r.Result, err = Run(Command{Argv: args[2:], Env: os.Environ()}, o)
	if err != nil {
		r.Err = err.Error()
		r.Refused = errors.As(err, new(*capture.Refused))
	}
	for i := range r.Kept {
		r.Kept[i] = string(o.Output.kept[i])
	}
	r.Unsure = o.Output.lost
	data, fault := json.Marshal(r)
	if fault := errors.Join(fault, os.WriteFile(args[0], data, 0o600)); fault != nil {
		return fault
	}
	if err != nil {
		return exitAs(err)
	}
	Exit(r.Result)
	return nil
}

// newCapture is of a network that nobody serves; what is handed over is noted.
func newCapture(handed *string) (*capture.Run, error) {
	return capture.New(capture.Options{Ports: []uint16{443}}, func(set *sockets.Set) error {
		for _, s := range set.Sockets {
			*handed += string(s.Kind) + " "
		}
		set.Close()
		return nil
	})
}

// exitAs ends with the status of an error.
func exitAs(err error) error {
	if failed := new(StartError); errors.As(err, &failed) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(failed.Status)
	}
	return err
}

// test is a command that is run.
type test struct {
	*exec.Cmd
	t    *testing.T
	path string
}

// command is one whose end is ours.
func command(t *testing.T, how string, argv ...string) *test {
	t.Helper()
	path := filepath.Join(t.TempDir(), "report")
	return &test{process.Command(t, runRole, append([]string{path, how}, argv...)...), t, path}
}

// script is a shell's.
func script(t *testing.T, how, text string) *test {
	t.Helper()
	return command(t, how, "sh", "-c", text)
}

// underShell is the command as $@ of a shell script.
func (c *test) underShell(text string) *test {
	cmd := exec.Command("sh", append([]string{"-c", text, "sh"}, c.Args...)...)
	return &test{cmd, c.t, c.path}
}

// report is of a command that has ended.
func (c *test) report() (r report) {
	c.t.Helper()
	data, err := os.ReadFile(c.path)
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

// output is a pipe that a command writes to.
type output struct {
	*os.File
	t    *testing.T
	read strings.Builder
}

// onPipe starts the command with standard output on a pipe of ours.
func (c *test) onPipe() *output {
	c.t.Helper()
	near, far, err := os.Pipe()
	if err != nil {
		c.t.Fatal(err)
	}
	c.Stdout = far
	if err := c.Start(); err != nil {
		c.t.Fatal(err)
	}
	far.Close()
	near.SetReadDeadline(time.Now().Add(limit))
	c.t.Cleanup(func() {
		near.Close()
		if c.ProcessState == nil {
			c.Process.Signal(syscall.SIGCONT)
			c.Process.Kill()
			c.Wait()
		}
	})
	return &output{File: near, t: c.t}
}

// await returns when a text has come behind what was awaited before.
func (o *output) await(text string) {
	o.t.Helper()
	buf := make([]byte, 1)
	for {
		if got := o.read.String(); strings.HasSuffix(got, text) {
			o.read.Reset()
			return
		}
		n, err := o.Read(buf)
		if err != nil {
			o.t.Fatalf("%q never came, but %q: %v", text, o.read.String(), err)
		}
		o.read.Write(buf[:n])
	}
}

// rest is what comes to the end.
func (o *output) rest() string {
	o.t.Helper()
	data, err := io.ReadAll(o)
	if err != nil {
		o.t.Fatal(err)
	}
	return string(data)
}

// stopped returns the signal that stops the command, or fails when it ends.
func (c *test) stopped() syscall.Signal {
	c.t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(c.Process.Pid, &ws, syscall.WUNTRACED|syscall.WNOHANG, nil)
		switch {
		case err != nil && err != syscall.EINTR:
			c.t.Fatal(err)
		case pid > 0 && !ws.Stopped():
			c.t.Fatalf("it has ended: %v", ws)
		case pid > 0:
			return ws.StopSignal()
		}
	}
	c.t.Fatal("it never stopped")
	return 0
}

// until is shell text that waits for a file; traps run meanwhile.
func until(file string) string { return "until [ -e '" + file + "' ]; do sleep 0.02; done\n" }

// touch makes such a file.
func touch(t *testing.T, file string) {
	t.Helper()
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// eventually returns when something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came to this: %s", what)
		}
	}
}

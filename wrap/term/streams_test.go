package term

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/proxy/proxytest/process"
	"golang.org/x/sys/unix"
)

// pipe returns the reading end of a pipe that a command writes to; whoever starts
// the command closes the other.
func pipe(t *testing.T) (near, far *os.File) {
	t.Helper()
	near, far, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

// What a pipe, a file and /dev/null get is what the command wrote; of a file we have
// no copy, of the others a copy of each stream.
func TestStreams(t *testing.T) {
	const script = "echo out; echo err >&2; exit 3"
	files := t.TempDir()
	for name, tt := range map[string]struct {
		start     func(cmd *exec.Cmd) (out *os.File)
		out, file string
		watched   [3]bool
		seen      [3]string
	}{
		"a pipe and /dev/null": {func(cmd *exec.Cmd) *os.File {
			near, far := pipe(t)
			cmd.Stdout = far
			return near
		}, "out\n", "", [3]bool{false, true, true}, [3]string{"", "out\n", "err\n"}},
		"one pipe": {func(cmd *exec.Cmd) *os.File {
			near, far := pipe(t)
			cmd.Stdout, cmd.Stderr = far, far
			return near
		}, "out\nerr\n", "", [3]bool{false, true, true}, [3]string{"", "out\nerr\n", ""}},
		"a pipe for errors": {func(cmd *exec.Cmd) *os.File {
			near, far := pipe(t)
			cmd.Stderr = far
			return near
		}, "err\n", "", [3]bool{false, false, true}, [3]string{"", "", "err\n"}},
		"a pipe and a file": {func(cmd *exec.Cmd) *os.File {
			near, far := pipe(t)
			f, err := os.Create(filepath.Join(files, "a pipe and a file"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { f.Close() })
			cmd.Stdout, cmd.Stderr = far, f
			return near
		}, "out\n", "err\n", [3]bool{false, true, false}, [3]string{"", "out\n", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			cmd, result := wrapped(t, "inherit", script)
			near := tt.start(cmd)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			closeFar(cmd)
			out, err := io.ReadAll(near)
			if err != nil || string(out) != tt.out {
				t.Errorf("read %q, %v", out, err)
			}
			if err := cmd.Wait(); err != nil {
				t.Fatal(err)
			}
			written, _ := os.ReadFile(filepath.Join(files, name)) // of the others there is none
			r := result()
			if r.State != "exit status 3" || r.Watched != tt.watched || r.Seen != tt.seen || string(written) != tt.file {
				t.Errorf("%+v; the file has %q", r, written)
			}
		})
	}
}

// closeFar closes what the command has got by now.
func closeFar(cmd *exec.Cmd) {
	for _, w := range []io.Writer{cmd.Stdout, cmd.Stderr} {
		if f, ok := w.(*os.File); ok && f != nil {
			f.Close()
		}
	}
}

// on starts a command with standard output on a pipe of ours.
func on(t *testing.T, cmd *exec.Cmd) *os.File {
	t.Helper()
	near, far := pipe(t)
	cmd.Stdout = far
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	far.Close()
	return near
}

// A busy stream passes whole and in order, also to a reader in non-blocking mode, and
// every byte of it is in the copy or known to be missing there.
func TestABusyStream(t *testing.T) {
	block := bytes.Repeat([]byte("0123456789abcde\n"), 4096)
	const blocks = 200
	source := filepath.Join(t.TempDir(), "source")
	want := bytes.Repeat(block, blocks)
	if err := os.WriteFile(source, want, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, result := wrapped(t, "inherit", `cat "$1"`, source)
	near, far := pipe(t)
	if err := unix.SetNonblock(int(far.Fd()), true); err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = far
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	far.Close()
	got, err := io.ReadAll(near)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if r := result(); len(r.Seen[1])+r.Missing != len(want) || len(r.Seen[1]) == 0 {
		t.Errorf("%d bytes in the copy, %d missing, of %d", len(r.Seen[1]), r.Missing, len(want))
	}
}

// Whoever reads a pipe may leave: the command learns it as without us.
func TestTheReaderLeaves(t *testing.T) {
	cmd, result := wrapped(t, "inherit", "exec yes")
	on(t, cmd).Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := result().State; got != "signal: broken pipe" {
		t.Errorf("the command ended with %q", got)
	}
}

// closesOutput runs a command that closes its output and lives on until the pipe has
// ended, and returns what was known of it.
func closesOutput(t *testing.T, how string) report {
	t.Helper()
	cmd, result := wrapped(t, how, "echo all; exec >&-; read forever")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := io.ReadAll(on(t, cmd)); err != nil || string(out) != "all\n" {
		t.Errorf("read %q, %v", out, err)
	}
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return result()
}

// A command that closes its output ends the pipe, though it lives on.
func TestOutputIsClosedEarly(t *testing.T) {
	if r := closesOutput(t, "inherit"); !r.Gone {
		t.Errorf("%+v", r)
	}
}

// What is to be kept is let go of when the command lives on, and else not.
func TestOutputIsKept(t *testing.T) {
	if r := closesOutput(t, "keep inherit"); !r.Gone {
		t.Errorf("it lived on: %+v", r)
	}

	near, far := pipe(t)
	in, end := pipe(t)
	p := newPath(in, int(far.Fd()))
	p.release, p.keep = true, true
	end.Close()
	p.stay() // the command has ended
	p.drain()
	if p.isGone() {
		t.Error("the output of a command that has ended is gone")
	}
	far.WriteString("another")
	far.Close()
	if out, err := io.ReadAll(near); err != nil || string(out) != "another" {
		t.Errorf("another command could say %q, %v", out, err)
	}
}

// What the command leaves behind goes on writing to where its output went, when both
// it and we have gone.
func TestStragglersAreHeard(t *testing.T) {
	release := filepath.Join(t.TempDir(), "go")
	script := `(until [ -e "$1" ]; do sleep 0.02; done; echo late; echo later) & echo up`
	cmd, result := wrapped(t, "inherit", script, release)
	near := on(t, cmd)
	if err := cmd.Wait(); err != nil { // while the straggler waits for us
		t.Fatal(err)
	}
	if r := result(); !r.Held || r.Seen[1] != "up\n" {
		t.Errorf("%+v", r)
	}
	if err := os.WriteFile(release, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := io.ReadAll(near); err != nil || string(out) != "up\nlate\nlater\n" {
		t.Errorf("read %q, %v", out, err)
	}
}

// What passes output on for stragglers is told by its arguments from where to where.
func TestPassOnRefusesWhatItDoesNotKnow(t *testing.T) {
	out, err := process.Command(t, PassOnCommand, "3-1").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "3-1: not DESCRIPTOR:DESCRIPTOR") {
		t.Errorf("%v: %s", err, out)
	}
}

// beHeir lets go of what it has inherited, and says when.
func beHeir([]string) error {
	own, err := os.Open(os.DevNull) // close-on-exec: its own
	if err != nil {
		return err
	}
	CloseInherited()
	if _, err := own.Stat(); err != nil {
		return err
	}
	os.Stdout.WriteString("done\n")
	_, err = io.ReadAll(os.Stdin)
	return err
}

// A process that outlives the command holds nothing that others wait for.
func TestCloseInherited(t *testing.T) {
	held, far := pipe(t)
	cmd := process.Command(t, heirRole)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.ExtraFiles = []*os.File{far}
	near := on(t, cmd)
	far.Close()
	if _, err := io.ReadAll(held); err != nil { // ends while it lives
		t.Error(err)
	}
	stdin.Close()
	if out, err := io.ReadAll(near); err != nil || string(out) != "done\n" {
		t.Errorf("read %q, %v", out, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// A command that cannot be started leaves nothing open.
func TestAbandon(t *testing.T) {
	cmd, _ := wrapped(t, "inherit", "")
	cmd.Args[5] = filepath.Join(t.TempDir(), "nothing")
	near := on(t, cmd)
	if out, err := io.ReadAll(near); err != nil || len(out) > 0 {
		t.Errorf("read %q, %v", out, err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("a command that is not there was started")
	}
}

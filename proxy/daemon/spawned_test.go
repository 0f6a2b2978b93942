package daemon

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/rundir"
)

// The daemon's log is put aside when it is full, while the daemon runs, and no
// line is lost or cut between the two files.
func TestTheLogIsPutAsideWhenFull(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := rundir.MakeDir(dir); err != nil {
		t.Fatal(err)
	}
	path := rundir.LogPath(dir, "key")
	file, err := rundir.OpenLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	l := &ownLog{path: path, file: file}
	line := strings.Repeat("x", 1000)
	const lines = 2*rundir.MaxLog/1000 + 100
	for i := range lines {
		if _, err := fmt.Fprintf(l, "%06d %s\n", i, line); err != nil {
			t.Fatal(err)
		}
	}
	var next int
	for i, name := range []string{path + ".1", path} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) > rundir.MaxLog+2000 {
			t.Errorf("%s has %d bytes", name, len(data))
		}
		for text := range strings.Lines(string(data)) {
			var n int
			if _, err := fmt.Sscanf(text, "%d "+line, &n); err != nil {
				t.Fatalf("%q: %v", text[:20], err)
			}
			if i == 0 && next == 0 {
				next = n
			}
			if n != next {
				t.Fatalf("line %d follows line %d", n, next-1)
			}
			next++
		}
	}
	if next != lines {
		t.Errorf("the last line is %d of %d", next-1, lines)
	}
}

// spawned is the test binary as the process that attach spawns, with its word.
func spawned(t *testing.T, stdin string) (cmd *exec.Cmd, word *os.File) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	word, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { word.Close() })
	word.SetReadDeadline(time.Now().Add(limit))
	cmd = exec.Command(self, contract.SpawnedCommand)
	cmd.Stdin, cmd.ExtraFiles = strings.NewReader(stdin), []*os.File{w}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd, word
}

// The spawned process says that it is ready when its port is open, a terminal's
// hang-up is nothing to it, and it ends well when it is told to.
func TestSpawnedSaysReady(t *testing.T) {
	t.Parallel()
	o := options(t)
	stdin, err := json.Marshal(o.Start)
	if err != nil {
		t.Fatal(err)
	}
	cmd, word := spawned(t, string(stdin))
	if said, err := io.ReadAll(word); err != nil || string(said) != contract.Ready {
		t.Fatalf("it says %q, error %v", said, err)
	}
	r, err := rundir.Read(o.Dir, o.Key)
	if err != nil || r.PID != cmd.Process.Pid {
		t.Fatalf("%+v, error %v", r, err)
	}
	d := &running{Record: r, dir: o.Dir}
	if doc := d.document(t); doc.PID != cmd.Process.Pid {
		t.Errorf("pid %d", doc.PID)
	}
	cmd.Process.Signal(syscall.SIGHUP)
	if doc := d.document(t); !doc.Enabled {
		t.Error("a hang-up ended it")
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil || len(rundir.ReadAll(o.Dir)) != 0 {
		t.Errorf("it ended with %v", err)
	}
}

// One that cannot serve says why on the pipe, for the command that waits for it.
func TestSpawnedSaysWhyNot(t *testing.T) {
	t.Parallel()
	o := options(t)
	o.Config.Egress.Upstream = "ftp://proxy.example"
	stdin, err := json.Marshal(o.Start)
	if err != nil {
		t.Fatal(err)
	}
	cmd, word := spawned(t, string(stdin))
	if said, err := io.ReadAll(word); err != nil || !strings.HasPrefix(string(said), "egress.upstream: ") {
		t.Errorf("it says %q, error %v", said, err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("it ended well")
	}
	cmd, word = spawned(t, "no options")
	if said, _ := io.ReadAll(word); len(said) != 0 || cmd.Wait() == nil {
		t.Errorf("without options it says %q", said)
	}
}

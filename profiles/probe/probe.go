// Package probe looks at the machine for a detection: where programs are, what
// files hold, and which versions programs have. A program is asked for its
// version once; the answer is remembered by its path, size and time.
package probe

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/agentproxy/agentproxy/profiles"
	"github.com/agentproxy/agentproxy/profiles/detect"
)

// Machine answers a detection's questions. It serves one command line; it is not
// for concurrent use.
type Machine struct {
	environ []string
	memory  string
	known   map[string]answer
	changed bool
	paths   map[string]string
}

// answer is what a program said, and the file that said it.
type answer struct {
	Version string `json:"version"`
	Size    int64  `json:"size"`
	Time    int64  `json:"time"` // nanoseconds
}

// Open returns the machine as a command with this environment sees it. memory
// is the file of remembered versions, in a directory that nobody else can write
// to; "" remembers nothing.
func Open(environ []string, memory string) *Machine {
	return &Machine{environ: environ, memory: memory, paths: map[string]string{}}
}

// System is what a detection asks, until ctx ends. home may be empty.
func (m *Machine) System(ctx context.Context, home, dir string) detect.System {
	return detect.System{
		Environ: m.environ, Home: home, Dir: dir,
		LookPath: m.lookPath, Exists: exists, Follow: follow, ReadFile: readBeginning,
		Version: func(program string, p profiles.Probe) string { return m.version(ctx, program, p) },
	}
}

// lookPath leaves a link to a program of another name as it is: such a program
// (rustup, busybox, volta) does what the name says that it is called by.
func (m *Machine) lookPath(name string) string {
	path, ok := m.paths[name]
	if !ok {
		path, _ = exec.LookPath(name)
		if real, err := filepath.EvalSymlinks(path); path != "" && err == nil {
			if strings.HasPrefix(filepath.Base(real), filepath.Base(path)) {
				path = real
			}
			path, _ = filepath.Abs(path)
		}
		m.paths[name] = path
	}
	return path
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func follow(path string) string {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return path
	}
	return real
}

// beginning is how much of a file is read.
const beginning = 64 << 10

func readBeginning(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe of that name is no reason to wait
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, os.ErrInvalid
	}
	return io.ReadAll(io.LimitReader(f, beginning))
}

// remembered reads a memory; one that is not there or unreadable is empty.
func remembered(memory string) map[string]answer {
	known := map[string]answer{}
	if data, err := os.ReadFile(memory); err == nil && (json.Unmarshal(data, &known) != nil || known == nil) { // "null"
		return map[string]answer{}
	}
	return known
}

// Versions returns the versions in a memory, by the programs' paths.
func Versions(memory string) map[string]string {
	versions := map[string]string{}
	for program, a := range remembered(memory) {
		versions[program] = a.Version
	}
	return versions
}

func (m *Machine) version(ctx context.Context, program string, p profiles.Probe) string {
	info, err := os.Stat(program)
	if err != nil {
		return ""
	}
	if m.known == nil {
		m.known = remembered(m.memory)
	}
	a := answer{Size: info.Size(), Time: info.ModTime().UnixNano()}
	if old, ok := m.known[program]; ok && old.Size == a.Size && old.Time == a.Time {
		return old.Version
	}
	a.Version = ask(ctx, program, p, m.environ)
	m.known[program] = a
	m.changed = true
	return a.Version
}

// versionTimeout is how long a program may take to tell its version.
const versionTimeout = 10 * time.Second

// ask runs a program for its version, away from the project and the terminal.
func ask(ctx context.Context, program string, p profiles.Probe, environ []string) string {
	args := p.Args
	if len(args) == 0 {
		args = []string{"--version"}
	}
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env, cmd.Dir = environ, "/"
	cmd.WaitDelay = time.Second
	out, _ := cmd.CombinedOutput() // some tell it and fail
	return p.Find(string(out))
}

// Save remembers what was learned. A failure costs only time: the programs are
// asked again.
func (m *Machine) Save() {
	if !m.changed || m.memory == "" {
		return
	}
	data, err := json.Marshal(m.known)
	if err != nil {
		return
	}
	tmp, err := os.CreateTemp(filepath.Dir(m.memory), ".versions.*")
	if err != nil {
		return
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if cerr := tmp.Close(); err == nil && cerr == nil {
		os.Rename(tmp.Name(), m.memory)
	}
}

// Package learned remembers which remedy helped which tool in which project, so
// that the next run has it from the start.
package learned

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/agentproxy/agentproxy/profiles/rules"
	"github.com/agentproxy/agentproxy/proxy/atomicfile"
	"github.com/agentproxy/agentproxy/proxy/rundir"
)

// Fix is a remedy that helped: the entries of the tool's profile that are meant
// for failures of the class.
type Fix struct {
	Tool string `json:"tool"`
	// Version is the tool's when it helped, "" when it does not tell.
	Version string      `json:"version,omitempty"`
	Project string      `json:"project"`
	Class   rules.Class `json:"class"`
	// Capture is true when the remedy was a network of its own.
	Capture bool      `json:"capture,omitempty"`
	Since   time.Time `json:"since"`
}

func (f Fix) same(other Fix) bool {
	return f.Tool == other.Tool && f.Version == other.Version && f.Project == other.Project && f.Class == other.Class && f.Capture == other.Capture
}

// File is the memory's name in the state directory.
const File = "learned.json"

var _ = rundir.Register(File)

// limit is how many fixes are remembered; the oldest go first.
const limit = 500

// Memory is what has been learned. The file is read when it is first asked.
type Memory struct {
	path   string
	fixes  []Fix
	loaded bool
}

// Open returns the memory in the state directory.
func Open(dir string) *Memory { return &Memory{path: filepath.Join(dir, File)} }

// All returns what has been learned, oldest first. An unreadable file has
// taught nothing.
func (m *Memory) All() []Fix {
	if !m.loaded {
		m.loaded = true
		if data, err := rundir.ReadFile(m.path); err == nil && json.Unmarshal(data, &m.fixes) != nil {
			m.fixes = nil
		}
	}
	return slices.Clone(m.fixes)
}

// Has reports whether the fix is known; its time does not matter.
func (m *Memory) Has(f Fix) bool { return slices.ContainsFunc(m.All(), f.same) }

// Add remembers a fix.
func (m *Memory) Add(f Fix) error {
	if m.Has(f) {
		return nil
	}
	m.fixes = append(m.fixes, f)
	m.fixes = m.fixes[max(0, len(m.fixes)-limit):]
	return m.save()
}

// Drop forgets the fixes that which is true for, and returns how many.
func (m *Memory) Drop(which func(Fix) bool) (int, error) {
	before := len(m.All())
	m.fixes = slices.DeleteFunc(m.fixes, which)
	if len(m.fixes) == before {
		return 0, nil
	}
	return before - len(m.fixes), m.save()
}

func (m *Memory) save() error {
	data, err := json.MarshalIndent(m.fixes, "", "  ")
	if err != nil {
		return err
	}
	if err := atomicfile.Write(m.path, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("remember what helped: %w", err)
	}
	return nil
}

// markers are files that a project has at its top.
var markers = []string{".git", "package.json", "pyproject.toml", "setup.py", "requirements.txt", "composer.json", "Gemfile", "go.mod", "Cargo.toml", "pom.xml", "build.gradle"}

// Project is the nearest directory upwards that looks like the top of one, else
// dir itself.
func Project(dir string) string {
	for d := dir; ; d = filepath.Dir(d) {
		for _, name := range markers {
			if _, err := os.Stat(filepath.Join(d, name)); !errors.Is(err, fs.ErrNotExist) {
				return d
			}
		}
		if d == filepath.Dir(d) {
			return dir
		}
	}
}

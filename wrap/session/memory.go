package session

import (
	"path/filepath"

	"github.com/agentproxy/agentproxy/proxy/guard"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/wrap/learned"
	"github.com/agentproxy/agentproxy/wrap/plan"
	"github.com/agentproxy/agentproxy/wrap/verdict"
)

// VersionsFile remembers the versions of programs, in the state directory.
const VersionsFile = "versions.json"

var _ = rundir.Register(VersionsFile, plan.FilesDir, hooksDir)

// hooksDir has the runtimes' hooks, in the state directory.
const hooksDir = "preload"

// StateDir is where we remember things, before there is a tunnel: a state
// directory that is ours; "" when there is none yet.
func StateDir(getenv func(string) string) string {
	dirs, _, err := rundir.Usable(getenv)
	if err != nil || len(dirs) == 0 {
		return ""
	}
	return dirs[0]
}

func versionsIn(dir string) string {
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, VersionsFile)
}

// MemoryIn is the memory in a state directory, which may come into being only
// with the first tunnel, for a build of this version.
func MemoryIn(dir func() string, version string) Memory { return &memory{dir: dir, version: version} }

type memory struct {
	dir     func() string
	version string
	fixes   *learned.Memory // nil until it is asked
}

func (m *memory) Has(f learned.Fix) bool {
	if m.fixes == nil {
		m.fixes = learned.Open(m.dir())
	}
	return m.fixes.Has(f)
}

func (m *memory) Learn(f learned.Fix) error { return learned.Open(m.dir()).Add(f) }

func (m *memory) Unlearn(which func(learned.Fix) bool) error {
	_, err := learned.Open(m.dir()).Drop(which)
	return err
}

func (m *memory) Remember(e verdict.Entry) error { return verdict.Remember(m.dir(), e) }

func (m *memory) RememberFault(f *guard.Fault) error {
	return verdict.RememberFault(m.dir(), m.version, f)
}

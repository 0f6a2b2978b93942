package verdict

import (
	"encoding/json"
	"path/filepath"
	"time"

	"github.com/agentproxy/agentproxy/proxy/atomicfile"
	"github.com/agentproxy/agentproxy/proxy/guard"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/wrap/classify"
)

// Entry is a verdict of an earlier run.
type Entry struct {
	Time time.Time `json:"time"`
	// Command is the program's name, without its arguments: they may hold
	// secrets.
	Command string  `json:"command"`
	Verdict Verdict `json:"verdict"`
}

// historyFile is in the state directory; keptEntries is how many it holds.
const (
	historyFile = "verdicts.json"
	keptEntries = 100
)

// History returns the last verdicts, oldest first. An unreadable file has none.
func History(dir string) []Entry { return read[Entry](dir, historyFile) }

// FaultEntry is a panic of agentproxy's that a run went on in spite of.
type FaultEntry struct {
	Time    time.Time `json:"time"`
	Version string    `json:"version"`
	Fault   string    `json:"fault"`
	Stack   string    `json:"stack"`
}

// faultsFile is in the state directory; keptFaults is how many it holds.
const (
	faultsFile = "faults.json"
	keptFaults = 20
)

var _ = rundir.Register(historyFile, faultsFile)

// Faults returns the last faults, oldest first. An unreadable file has none.
func Faults(dir string) []FaultEntry { return read[FaultEntry](dir, faultsFile) }

// RememberFault adds a fault to them.
func RememberFault(dir, version string, f *guard.Fault) error {
	e := FaultEntry{Time: time.Now().UTC(), Version: version, Fault: classify.Redact(f.Error()), Stack: string(f.Stack)}
	return add(dir, faultsFile, keptFaults, e)
}

// Remember adds a verdict to them.
func Remember(dir string, e Entry) error { return add(dir, historyFile, keptEntries, e) }

func read[E any](dir, file string) (list []E) {
	if data, err := rundir.ReadFile(filepath.Join(dir, file)); err != nil || json.Unmarshal(data, &list) != nil {
		return nil
	}
	return list
}

func add[E any](dir, file string, keep int, e E) error {
	list := append(read[E](dir, file), e)
	data, err := json.Marshal(list[max(0, len(list)-keep):])
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, file), append(data, '\n'), 0o600)
}

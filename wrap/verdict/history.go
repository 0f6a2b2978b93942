package verdict

import (
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"github.com/agentproxy/agentproxy/proxy/rundir"
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
func History(dir string) []Entry {
	var list []Entry
	if data, err := os.ReadFile(filepath.Join(dir, historyFile)); err != nil || json.Unmarshal(data, &list) != nil {
		return nil
	}
	return list
}

// Remember adds a verdict to them.
func Remember(dir string, e Entry) error {
	list := append(History(dir), e)
	data, err := json.Marshal(list[max(0, len(list)-keptEntries):])
	if err != nil {
		return err
	}
	return rundir.WriteFile(filepath.Join(dir, historyFile), append(data, '\n'), 0o600)
}

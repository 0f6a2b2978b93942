package trust

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/agentproxy/agentproxy/proxy/atomicfile"
	"github.com/agentproxy/agentproxy/proxy/rundir"
)

// The journal is the directory "trust" of the state directory: what was done to
// which file, and the files as they were before, so that it can be undone
// exactly. Nothing but its lock is in it when there is nothing to undo.
const (
	journalDir  = "trust"
	journalFile = "journal.json"
	backupDir   = "before"
)

var _ = rundir.Register(journalDir)

// Entry is one store that was set up.
type Entry struct {
	Store string `json:"store"`
	Place string `json:"place"`
	// Name is ours in the store, CA the SHA-256 of the certificate and File where
	// it came from.
	Name  string    `json:"name"`
	CA    string    `json:"ca"`
	File  string    `json:"file"`
	Since time.Time `json:"since"`
	Files []*change `json:"files"`
	// Dirs were made for it, the innermost first.
	Dirs []string `json:"dirs,omitempty"`
}

// change is one file of an entry.
type change struct {
	Path string `json:"path"`
	// Before is nil for a file that was not there.
	Before *fileState `json:"before"`
	After  *fileState `json:"after"`
	// Done is false while the act goes on; what is left then is nobody's known
	// state.
	Done bool `json:"done"`
}

// pristine is true while the file is as we left it.
func (c *change) pristine() bool {
	now, _, err := observe(c.Path)
	return err == nil && c.Done && c.After.is(now)
}

type journal struct {
	dir     string
	Entries []*Entry `json:"entries"`
}

// openJournal reads the one in a state directory; none is an empty one.
func openJournal(state string) (*journal, error) {
	j := &journal{dir: filepath.Join(state, journalDir)}
	raw, err := rundir.ReadFile(filepath.Join(j.dir, journalFile))
	if errors.Is(err, fs.ErrNotExist) {
		return j, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, j); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(j.dir, journalFile), err)
	}
	return j, nil
}

// save writes the journal, or removes it with its backups when it is empty.
func (j *journal) save() error {
	if len(j.Entries) == 0 {
		return errors.Join(os.RemoveAll(filepath.Join(j.dir, journalFile)), os.RemoveAll(filepath.Join(j.dir, backupDir)))
	}
	raw, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		return err
	}
	if err := rundir.MakeDir(j.dir); err != nil {
		return err
	}
	return atomicfile.WriteDurably(filepath.Join(j.dir, journalFile), raw, 0o600)
}

// begin notes the files as they are, before they are touched.
func (j *journal) begin(e *Entry, files []string) error {
	if err := rundir.MakeDir(filepath.Join(j.dir, backupDir)); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, path := range files {
		path = realPath(path)
		if seen[path] {
			continue
		}
		seen[path] = true
		before, raw, err := observe(path)
		if err != nil {
			return err
		}
		if before != nil {
			if err := atomicfile.WriteDurably(j.backup(before), raw, 0o600); err != nil {
				return err
			}
		}
		e.Files = append(e.Files, &change{Path: path, Before: before})
	}
	j.Entries = append(j.Entries, e)
	return j.save()
}

// finish notes the files as the act left them.
func (j *journal) finish(e *Entry) error {
	for _, c := range e.Files {
		after, _, err := observe(c.Path)
		if err != nil {
			return err
		}
		c.After, c.Done = after, true
	}
	return j.save()
}

// drop forgets an entry, and the backups that no other needs.
func (j *journal) drop(e *Entry) error {
	j.Entries = slices.DeleteFunc(j.Entries, func(o *Entry) bool { return o == e })
	if err := j.save(); err != nil {
		return err
	}
	needed := map[string]bool{}
	for _, o := range j.Entries {
		for _, c := range o.Files {
			if c.Before != nil {
				needed[j.backup(c.Before)] = true
			}
		}
	}
	for _, c := range e.Files {
		if c.Before != nil && !needed[j.backup(c.Before)] {
			os.Remove(j.backup(c.Before))
		}
	}
	return nil
}

func (j *journal) backup(s *fileState) string { return filepath.Join(j.dir, backupDir, s.Hash) }

// restore puts a file back as it was.
func (j *journal) restore(c *change) error {
	if c.Before == nil {
		if err := os.Remove(c.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	raw, err := rundir.ReadFile(j.backup(c.Before))
	if err != nil {
		return err
	}
	if digest(raw) != c.Before.Hash {
		return fmt.Errorf("the backup %s is damaged; %s is left as it is", j.backup(c.Before), c.Path)
	}
	if now, _, err := observe(c.Path); err == nil && c.Before.is(now) && *c.Before == *now {
		return nil
	}
	return replaceFile(c.Path, raw, c.Before)
}

// tidy removes the directories that were made for an entry and are empty.
func (e *Entry) tidy() {
	for _, dir := range e.Dirs {
		os.Remove(dir) // fails where somebody else put something
	}
}

package shell

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/agentproxy/agentproxy/proxy/atomicfile"
)

// backupEnding marks the copy of a file from before our last change.
const backupEnding = ".agentproxy-backup"

// Edit changes a file of the user's by way of a copy and a rename, symbolic links
// followed, the mode kept, and a backup beside it. The change gets nil for a file that
// is not there. It tells whether the file has changed.
func Edit(path string, change func([]byte) ([]byte, error)) (changed bool, err error) {
	f, err := openEdit(path)
	if err != nil {
		return false, err
	}
	text, err := change(f.old)
	if err != nil || f.old != nil && bytes.Equal(text, f.old) {
		return false, err
	}
	if err := os.MkdirAll(filepath.Dir(f.path), 0o755); err != nil {
		return false, err
	}
	if len(f.old) > 0 {
		if err := atomicfile.Write(f.path+backupEnding, f.old, f.mode); err != nil {
			return false, fmt.Errorf("backup: %w", err)
		}
	}
	return true, atomicfile.Write(f.path, text, f.mode)
}

// Undo takes a change back, and removes the backup. A file of which the change leaves
// nil is removed. One that is not there is unchanged.
func Undo(path string, change func([]byte) ([]byte, error)) (changed bool, err error) {
	f, err := openEdit(path)
	if err != nil {
		return false, err
	}
	if f.old != nil {
		text, err := change(f.old)
		switch {
		case err != nil:
			return false, err
		case text == nil:
			changed, err = true, os.Remove(f.path)
		case !bytes.Equal(text, f.old):
			changed, err = true, atomicfile.Write(f.path, text, f.mode)
		}
		if err != nil {
			return false, err
		}
	}
	if err := os.Remove(f.path + backupEnding); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return changed, err
	}
	return changed, nil
}

// HasBackup reports whether an earlier change has left one.
func HasBackup(path string) bool {
	f, err := openEdit(path)
	if err != nil {
		return false
	}
	_, err = os.Stat(f.path + backupEnding)
	return err == nil
}

// edited is a file that is to be changed.
type edited struct {
	path string
	old  []byte // nil for one that is not there
	mode fs.FileMode
}

func openEdit(path string) (f edited, err error) {
	f = edited{path: path, mode: 0o644}
	real, err := filepath.EvalSymlinks(path)
	switch _, lerr := os.Lstat(path); {
	case err == nil:
		f.path = real
	case lerr == nil:
		return f, fmt.Errorf("%s is a link to nowhere: %w", path, err)
	}
	text, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return f, err
	}
	f.old = append([]byte{}, text...)
	info, err := os.Stat(f.path)
	if err == nil {
		f.mode = info.Mode().Perm()
	}
	return f, err
}

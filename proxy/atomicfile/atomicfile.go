// Package atomicfile writes files whole: beside the place, and renamed into it.
// A reader sees the old content or the new one, and a full disk loses nothing.
package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Write makes path a file with the data and the mode.
func Write(path string, data []byte, mode fs.FileMode) error {
	return Replace(path, data, func(f *os.File) error { return f.Chmod(mode) })
}

// WriteDurably is Write for what must be whole after a power failure: the data
// are on the disk before they take the name (fsync(2)).
func WriteDurably(path string, data []byte, mode fs.FileMode) error {
	return Replace(path, data, func(f *os.File) error { return errors.Join(f.Chmod(mode), f.Sync()) })
}

// Replace is Write for a file that needs more than a mode: finish is called when
// everything is written and the file is not in its place yet.
func Replace(path string, data []byte, finish func(*os.File) error) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err == nil {
		err = finish(tmp)
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

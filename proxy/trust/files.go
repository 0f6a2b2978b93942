package trust

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/agentproxy/agentproxy/proxy/atomicfile"
	"golang.org/x/sys/unix"
)

// fileState is what a file was at one time; nil for none.
type fileState struct {
	Hash string      `json:"sha256"`
	Mode fs.FileMode `json:"mode"`
	UID  int         `json:"uid"`
	GID  int         `json:"gid"`
}

// is reports whether the content is the same; mode and owner are not ours to judge.
func (s *fileState) is(other *fileState) bool {
	if s == nil || other == nil {
		return s == other
	}
	return s.Hash == other.Hash
}

// observe reads a file and what it is; a missing one is no error. What is no
// file is one, as /dev/null, which PIP_CONFIG_FILE and GIT_CONFIG_GLOBAL name to
// switch a tool's configuration off: no name may be put over it.
func observe(path string) (*fileState, []byte, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s is not a regular file", path)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	s := &fileState{Hash: digest(raw), Mode: info.Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky), UID: -1, GID: -1}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.UID, s.GID = int(st.Uid), int(st.Gid)
	}
	return s, raw, nil
}

func digest(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// replaceFile writes beside the file and renames, so that it is never half
// written. Mode and owner become those of like; nil is a new file, which
// everybody may read. Symbolic links are followed to the real file.
func replaceFile(path string, data []byte, like *fileState) error {
	return atomicfile.Replace(realPath(path), data, func(f *os.File) error {
		if err := dress(f, like); err != nil {
			return err
		}
		return f.Sync()
	})
}

func dress(f *os.File, like *fileState) error {
	if like == nil {
		return f.Chmod(0o644)
	}
	if info, err := f.Stat(); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && (int(st.Uid) != like.UID || int(st.Gid) != like.GID) {
			if err := f.Chown(like.UID, like.GID); err != nil {
				return err
			}
		}
	}
	return f.Chmod(like.Mode) // after chown, which clears setuid
}

// realPath follows symbolic links as far as there is something behind them.
func realPath(path string) string {
	for range 40 {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			return real
		}
		target, err := os.Readlink(path)
		if err != nil {
			break
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
	}
	return path
}

// makeDirs makes the directory of a file and returns those that it made, the
// innermost first.
func makeDirs(file string) ([]string, error) {
	var made []string
	for dir := filepath.Dir(file); ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			break
		}
		made = append(made, dir)
	}
	return made, os.MkdirAll(filepath.Dir(file), 0o755)
}

// writable reports whether the file can be replaced, and why not.
func writable(path string) error {
	dir := filepath.Dir(realPath(path))
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return &fs.PathError{Op: "write", Path: dir, Err: err}
	}
	return nil
}

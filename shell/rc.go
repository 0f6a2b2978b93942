package shell

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/agentproxy/agentproxy/proxy/atomicfile"
)

// What is around our line in an rc file. The second beginning stands behind a
// line that had no newline at its end, and brings it.
const (
	blockBegin     = `# begin agentproxy hook, managed by "agentproxy hook"` + "\n"
	blockBeginOpen = "\n" + `# begin agentproxy hook, managed by "agentproxy hook"; the newline before it, too` + "\n"
	blockEnd       = "\n# end agentproxy hook\n"
)

// backupEnding marks the copy of an rc file from before our last change.
const backupEnding = ".agentproxy-backup"

// posixSource and fishSource are a line that loads what the command prints, and
// says and does nothing when the program is gone or fails. fish tells of a
// command that it does not find in spite of a redirection.
func posixSource(exe, arguments string) string {
	return `eval "$(hook=$(` + exe + arguments + ` 2>/dev/null) && printf '%s\n' "$hook")"`
}

func fishSource(exe, arguments string) string {
	return "test -x " + exe + "; and set -l hook (" + exe + arguments + ` 2>/dev/null); and string join \n -- $hook | source`
}

// rcFile is the file that a shell reads when it is interactive: a name below the
// directory that a variable names, else below another one in the home directory.
type rcFile struct{ variable, otherwise, name string }

// RCPath is the file that the shell reads when it is interactive.
func (s Shell) RCPath(home string, getenv func(string) string) string {
	if dir := getenv(s.rc.variable); s.rc.variable != "" && filepath.IsAbs(dir) {
		return filepath.Join(dir, s.rc.name)
	}
	return filepath.Join(home, s.rc.otherwise, s.rc.name)
}

// InstallHook puts a block into the file that loads what the command prints, in
// place of an earlier one. It tells whether the file has changed.
func (s Shell) InstallHook(path, exe, arguments string) (changed bool, err error) {
	line := s.source(s.quote(exe), " "+arguments)
	return edit(path, func(old []byte) []byte { return insertBlock(old, line) })
}

// RemoveHook takes the block out; every other byte stays.
func RemoveHook(path string) (changed bool, err error) { return edit(path, removeBlock) }

// insertBlock puts our block where it was, else at the end. The newline that the
// file's last line lacks becomes part of the block.
func insertBlock(old []byte, line string) []byte {
	from, to, open := findBlock(old)
	begin := blockBegin
	if open || from == to && len(old) > 0 && !bytes.HasSuffix(old, []byte("\n")) {
		begin = blockBeginOpen
	}
	return slices.Concat(old[:from], []byte(begin+line+blockEnd), old[to:])
}

// removeBlock keeps the newline that the block brought where lines have come to
// stand behind it.
func removeBlock(old []byte) []byte {
	from, to, open := findBlock(old)
	if open && to < len(old) {
		from++
	}
	return slices.Concat(old[:from], old[to:])
}

// findBlock returns where our block is, the end of the text for none, and
// whether it begins with a newline that another line lacked. A block without
// its end is not ours to guess.
func findBlock(text []byte) (from, to int, open bool) {
	for _, begin := range []string{blockBeginOpen, blockBegin} {
		from := bytes.Index(text, []byte(begin))
		if from < 0 {
			continue
		}
		if n := bytes.Index(text[from:], []byte(blockEnd)); n >= 0 {
			return from, from + n + len(blockEnd), begin == blockBeginOpen
		}
	}
	return len(text), len(text), false
}

// edit changes a file by way of a copy and a rename, symbolic links followed,
// the mode kept, and a backup beside it.
func edit(path string, change func([]byte) []byte) (changed bool, err error) {
	real, err := filepath.EvalSymlinks(path)
	switch _, lerr := os.Lstat(path); {
	case err == nil:
		path = real
	case lerr == nil:
		return false, fmt.Errorf("%s is a link to nowhere: %w", path, err)
	}
	mode := fs.FileMode(0o644)
	old, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	case err == nil:
		var info fs.FileInfo
		if info, err = os.Stat(path); err == nil {
			mode = info.Mode().Perm()
		}
	}
	if err != nil {
		return false, err
	}
	text := change(old)
	if bytes.Equal(text, old) {
		return false, nil
	}
	if len(old) > 0 {
		if err := atomicfile.Write(path+backupEnding, old, mode); err != nil {
			return false, fmt.Errorf("backup: %w", err)
		}
	}
	return true, atomicfile.Write(path, text, mode)
}

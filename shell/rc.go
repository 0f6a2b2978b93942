package shell

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
)

// What is around our line in an rc file. The second beginning stands behind a
// line that had no newline at its end, and brings it; the third in a file that was
// not there before.
const (
	blockBegin     = `# begin agentproxy hook, managed by "agentproxy hook"` + "\n"
	blockBeginOpen = "\n" + `# begin agentproxy hook, managed by "agentproxy hook"; the newline before it, too` + "\n"
	blockBeginNew  = `# begin agentproxy hook, managed by "agentproxy hook"; the file, too` + "\n"
	blockEnd       = "\n# end agentproxy hook\n"
)

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
	return Edit(path, func(old []byte) ([]byte, error) { return InsertBlock(old, line), nil })
}

// RemoveHook takes the block out, and the copy of the file from before; every other
// byte stays.
func RemoveHook(path string) (changed bool, err error) {
	return Undo(path, func(old []byte) ([]byte, error) { return RemoveBlock(old), nil })
}

// HasHook reports whether RemoveHook would change the file.
func HasHook(path string) bool {
	old, err := os.ReadFile(path)
	return err == nil && !bytes.Equal(RemoveBlock(old), old)
}

// InsertBlock puts our block where it was, else at the end. The newline that the
// text's last line lacks becomes part of the block. A nil text is a file's that is
// not there.
func InsertBlock(old []byte, line string) []byte {
	from, to, begin := findBlock(old)
	switch {
	case begin != "":
	case old == nil:
		begin = blockBeginNew
	case len(old) > 0 && !bytes.HasSuffix(old, []byte("\n")):
		begin = blockBeginOpen
	default:
		begin = blockBegin
	}
	return slices.Concat(old[:from], []byte(begin+line+blockEnd), old[to:])
}

// RemoveBlock keeps the newline that the block brought where lines have come to
// stand behind it. It returns nil when the file was the block's, and has nothing
// else in it.
func RemoveBlock(old []byte) []byte {
	from, to, begin := findBlock(old)
	if begin == blockBeginOpen && to < len(old) {
		from++
	}
	text := slices.Concat(old[:from], old[to:])
	if begin == blockBeginNew && len(text) == 0 {
		return nil
	}
	return text
}

// findBlock returns where our block is and how it begins; "" and the end of the
// text for none. A block without its end is not ours to guess.
func findBlock(text []byte) (from, to int, begin string) {
	for _, begin := range []string{blockBeginOpen, blockBeginNew, blockBegin} {
		from := bytes.Index(text, []byte(begin))
		if from < 0 {
			continue
		}
		if n := bytes.Index(text[from:], []byte(blockEnd)); n >= 0 {
			return from, from + n + len(blockEnd), begin
		}
	}
	return len(text), len(text), ""
}

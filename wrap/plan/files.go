package plan

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
)

// File is one that the command is pointed at. Its name holds a hash of its
// content, so that runs that differ do not disturb each other.
type File struct {
	Path    string
	Content []byte
}

// FilesDir is where they are, in the state directory.
const FilesDir = "files"

// files plans the files and makes their paths known to templates.
func (w *planner) files() {
	for _, f := range w.in.Detected.Files {
		if !w.known(f.Content) {
			continue
		}
		content := behind(f.Before, w.expand(f.Content))
		sum := sha256.Sum256(content)
		path := filepath.Join(cmp.Or(w.in.Tunnel.PublicDir, w.in.Tunnel.StateDir), FilesDir, hex.EncodeToString(sum[:6]), f.Name)
		w.facts["file."+f.Name] = path
		w.plan.Files = append(w.plan.Files, File{path, content})
	}
}

// behind puts our lines behind the user's, unless they are there already: an
// exec in an exec finds the outer one's file.
func behind(before []byte, ours string) []byte {
	if bytes.HasSuffix(before, []byte(ours)) {
		return before
	}
	if len(before) > 0 && !bytes.HasSuffix(before, []byte("\n")) {
		before = append(before, '\n')
	}
	return append(before, ours...)
}

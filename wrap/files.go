package wrap

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"

	"github.com/agentproxy/agentproxy/proxy/rundir"
)

// File is one that the command is pointed at. Its name holds a hash of its
// content, so that runs that differ do not disturb each other.
type File struct {
	Path    string
	Content []byte
}

// filesDir is where they are, in the state directory.
const filesDir = "files"

// files plans the files and makes their paths known to templates.
func (w *planner) files() {
	for _, f := range w.in.Survey.Files {
		if !w.known(f.Content) {
			continue
		}
		content := behind(f.Before, w.expand(f.Content))
		sum := sha256.Sum256(content)
		path := filepath.Join(w.in.Tunnel.StateDir, filesDir, hex.EncodeToString(sum[:6]), f.Name)
		w.facts["file."+f.Name] = path
		w.plan.Files = append(w.plan.Files, File{path, content})
	}
}

// Write writes the plan's files. What is there already is right: its name says
// what is in it.
func (p Plan) Write() error {
	for _, f := range p.Files {
		if _, err := os.Stat(f.Path); err == nil {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(f.Path), 0o700); err != nil {
			return err
		}
		if err := rundir.WriteFile(f.Path, f.Content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Clean removes what was made for the command alone.
func (p Plan) Clean() {
	for _, dir := range p.Temporary {
		os.RemoveAll(dir)
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

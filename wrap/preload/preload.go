// Package preload writes the hooks that make runtimes use the proxy whose
// libraries ignore its variables: one small file each for Node, Python, Ruby
// and PHP. What each does, and what it cannot, is said at its head.
//
// The variables that load them outlive us: a child may keep running, or start
// others, after an upgrade, and Node and Ruby end with an error when the file
// they are told to load is not there. So the files lie in a folder named after
// their content, which is never changed and never removed; an upgrade adds one
// of some 30 kB beside it. What is left is the user who deletes the state
// directory under a running command. Nothing helps there: the one form of
// Node's option that needs no file ("--import=data:") would load every program
// by the loader of ES modules.
package preload

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"

	"github.com/agentproxy/agentproxy/proxy/rundir"
)

// Python's hook notes here what failed in it.
var _ = rundir.Register("hooks.log")

// Hooks says where the hooks are.
type Hooks struct {
	Node   string // the file for --require
	Python string // the directory for the front of PYTHONPATH
	Ruby   string // the file for -r
	PHP    string // the directory to add to PHP_INI_SCAN_DIR; "" when its path cannot be written in an ini file
}

//go:embed node.cjs python/agentproxy_preload.py python/sitecustomize.py ruby.rb php/agentproxy.ini php/prepend.php
var embedded embed.FS

// sources returns the hooks by their paths, and a name for their content.
var sources = sync.OnceValues(func() (map[string][]byte, string) {
	files, sum := map[string][]byte{}, sha256.New()
	err := fs.WalkDir(embedded, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files[path], err = embedded.ReadFile(path)
		sum.Write([]byte(path))
		sum.Write(files[path])
		return err
	})
	if err != nil {
		panic(err) // what is embedded can be read
	}
	return files, hex.EncodeToString(sum.Sum(nil))[:16]
})

// Write puts the hooks into a folder of their own under dir, and returns where
// they are. A file that is there and right is not touched.
func Write(dir string) (Hooks, error) {
	files, version := sources()
	root, err := filepath.Abs(filepath.Join(dir, version))
	if err != nil {
		return Hooks{}, err
	}
	for path, content := range files {
		if path == "php/agentproxy.ini" {
			content = bytes.ReplaceAll(content, []byte("@DIR@"), []byte(filepath.Join(root, "php")))
		}
		if err := rundir.Ensure(filepath.Join(root, path), content, 0o644); err != nil {
			return Hooks{}, err
		}
	}
	hooks := Hooks{
		Node:   filepath.Join(root, "node.cjs"),
		Python: filepath.Join(root, "python"),
		Ruby:   filepath.Join(root, "ruby.rb"),
		PHP:    filepath.Join(root, "php"),
	}
	// In an ini file the path stands in single quotes, and nothing escapes one;
	// in PHP_INI_SCAN_DIR a colon ends it.
	if strings.ContainsAny(hooks.PHP, "'\n:") {
		hooks.PHP = ""
	}
	return hooks, nil
}

package doctor

import (
	_ "embed"
	"os"
	"path/filepath"
	"slices"

	"github.com/agentproxy/agentproxy/profiles"
)

// fetch is for tools that are tried by the JVM that they run in, from Java 11 on
// (JEP 330).
//
//go:embed fetch.java
var fetch []byte

// fetchName is the file's name, and that of the fact that says where it is.
const fetchName = "fetch.java"

// Site is where a trial takes place: at a host of the canary's, and in a
// directory.
type Site struct{ Host, Dir string }

// Fact fills in what a profile's trial leaves open. What it does not know, the
// plan does.
func (s Site) Fact(name string) string {
	switch name {
	case "canary":
		return "https://" + s.Host + "/"
	case "canary.host":
		return s.Host
	case "tmp":
		return s.Dir
	case fetchName:
		return filepath.Join(s.Dir, fetchName)
	default:
		return "{" + name + "}"
	}
}

// Lay writes the trial's files.
func (s Site) Lay(c *profiles.Canary) error {
	files := map[string][]byte{fetchName: fetch}
	for name, content := range c.Files {
		files[name] = []byte(content.Expand(s.Fact))
	}
	for name, content := range files {
		file := filepath.Join(s.Dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(file, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// Argv is the command line of a profile's trial: the tool with its arguments,
// or what is tried in its place.
func (s Site) Argv(command string, c *profiles.Canary) []string {
	var argv []string
	if len(c.Instead) == 0 {
		argv = append(argv, command)
	}
	for _, t := range slices.Concat(c.Instead, c.Args) {
		argv = append(argv, t.Expand(s.Fact))
	}
	return argv
}

package detect

import (
	"bytes"
	"path"
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/profiles"
)

type finder struct {
	library *profiles.Library
	system  System
	found   *Detection
	walked  map[string]bool // commands of shell text
}

// maxDepth is how many commands may run one another.
const maxDepth = 8

// walk adds the tools of a command. Its name is argv[0]; index is its place in
// the command line, or -1.
func (f *finder) walk(argv []string, index, depth int) error {
	if len(argv) == 0 || depth > maxDepth {
		return nil
	}
	p, err := f.library.ForCommand(argv[0])
	if err != nil {
		return err
	}
	if p == nil {
		return f.script(argv, argv[0], depth)
	}
	tool := Tool{p, argv[0], index, argv[1:]}
	if err := f.add(tool); err != nil {
		return err
	}
	if p.Container != nil && index >= 0 {
		f.found.Contained = contained(tool)
	}
	if p.Inner != nil {
		if found := find(p.Inner, argv[1:]); len(found) > 0 {
			for _, in := range found {
				if err := f.inner(in, index, depth); err != nil {
					return err
				}
			}
			return nil
		}
	}
	f.found.Open = f.found.Open || !tool.isLeaf()
	f.found.Known = f.found.Known || !p.Interactive
	return nil
}

// inner adds the tools of what the command at index runs.
func (f *finder) inner(in inner, index, depth int) error {
	if in.text != "" {
		return f.shell(in.text, depth)
	}
	if in.script {
		// A script may be a tool's own launcher: "sh gradlew build".
		if tool, err := f.library.ForCommand(in.argv[0]); err != nil {
			return err
		} else if tool == nil {
			return f.shellFile(in.argv[0], depth)
		}
	}
	next := -1
	if index >= 0 {
		next = index + 1 + in.index
	}
	return f.walk(in.argv, next, depth+1)
}

// add puts a tool behind its runtime. One that is there already is not added
// again.
func (f *finder) add(t Tool) error {
	if t.Runtime != "" {
		runtime, err := f.library.Named(t.Runtime)
		if err != nil {
			return err
		}
		if runtime != nil {
			if err := f.add(Tool{runtime, runtime.Commands[0], -1, t.Args}); err != nil {
				return err
			}
		}
	}
	known := slices.ContainsFunc(f.found.Tools, func(other Tool) bool { return other.Profile == t.Profile && t.Index < 0 })
	if !known {
		f.found.Tools = append(f.found.Tools, t)
	}
	return nil
}

// script adds what a file starts: the interpreter of its first line, or the
// commands of a shell script. A file that is no script may start anything.
func (f *finder) script(argv []string, file string, depth int) error {
	f.found.Open = true
	program := file
	if !strings.Contains(file, "/") || f.system.LookPath(file) != "" {
		program = f.system.LookPath(file)
	}
	if program == "" {
		return nil
	}
	data, err := f.system.ReadFile(program)
	if err != nil || !bytes.HasPrefix(data, []byte("#!")) {
		return nil
	}
	line, rest, _ := strings.Cut(string(data[2:]), "\n")
	interpreter := strings.Fields(line)
	if len(interpreter) > 1 && path.Base(interpreter[0]) == "env" {
		interpreter = slices.DeleteFunc(interpreter[1:], func(s string) bool { return strings.HasPrefix(s, "-") || isAssignment(s) })
	}
	if len(interpreter) == 0 {
		return nil
	}
	p, err := f.library.ForCommand(interpreter[0])
	if err != nil || p == nil {
		return err
	}
	if p.Inner != nil && p.Inner.Script {
		return f.shell(rest, depth)
	}
	f.found.Known = f.found.Known || !p.Interactive
	return f.add(Tool{p, interpreter[0], -1, argv[1:]})
}

// shellFile adds the commands of a file that a shell is given: one of the
// working directory before one in PATH, and it needs no first line.
func (f *finder) shellFile(file string, depth int) error {
	f.found.Open = true
	path := f.absolute(file)
	if !f.system.Exists(path) {
		path = f.system.LookPath(file)
	}
	data, err := f.system.ReadFile(path)
	if path == "" || err != nil {
		return nil // the shell will say so
	}
	return f.shell(string(data), depth)
}

// maxCommands is how many different commands of shell text are looked at.
const maxCommands = 4096

// shell adds the commands of shell text, and of what a shell there is fed as a
// here-document. One that was looked at before is left out: a script may call
// itself.
func (f *finder) shell(text string, depth int) error {
	for _, c := range shellCommands(text) {
		key := strings.Join(c.argv, "\x00") + "\x00" + c.input
		if f.walked[key] || len(f.walked) >= maxCommands {
			continue
		}
		f.walked[key] = true
		if len(c.argv) > 1 && (c.argv[0] == "." || c.argv[0] == "source") {
			if depth < maxDepth {
				if err := f.shellFile(c.argv[1], depth+1); err != nil {
					return err
				}
			}
			continue
		}
		if err := f.walk(c.argv, -1, depth+1); err != nil {
			return err
		}
		p, err := f.library.ForCommand(c.argv[0])
		if err != nil {
			return err
		}
		if c.input != "" && depth < maxDepth && p != nil && p.Inner != nil && p.Inner.Script && len(find(p.Inner, c.argv[1:])) == 0 {
			if err := f.shell(c.input, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

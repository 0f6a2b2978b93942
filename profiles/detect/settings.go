package detect

import (
	"bytes"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/profiles"
	"github.com/agentproxy/agentproxy/profiles/env"
)

// resolve turns a place of a profile into a path, "" when it names none: what
// System.Resolve knows, or ./x (upwards).
func (f *finder) resolve(place string) string {
	if !strings.HasPrefix(place, "./") {
		return f.system.Resolve(place)
	}
	// One in the home directory itself is the user's, not the project's.
	if file := f.upwards(f.system.Dir, place[2:]); file != filepath.Join(f.system.Home, place[2:]) || f.system.Dir == f.system.Home {
		return file
	}
	return ""
}

// Resolve turns ~/x, $VARIABLE, $VARIABLE/x or a plain path into a path, "" when
// the variable is not set.
func (w *System) Resolve(place string) string {
	switch {
	case strings.HasPrefix(place, "~/"):
		return filepath.Join(w.Home, place[2:])
	case strings.HasPrefix(place, "$"):
		name, rest, _ := strings.Cut(place[1:], "/")
		value := env.Get(w.Environ, name)
		if value == "" {
			return ""
		}
		return filepath.Join(value, rest)
	}
	return place
}

// before is the content of the user's file that ours follows, the first that
// exists.
func (f *finder) before(file profiles.File) []byte {
	for _, place := range file.After {
		path := f.resolve(place)
		if data, err := f.system.ReadFile(path); path != "" && err == nil {
			return data
		}
	}
	return nil
}

func (f *finder) insecure(t Tool, i profiles.Insecure) {
	s := f.found
	if i.Variable != "" {
		value, set := env.Lookup(f.system.Environ, i.Variable)
		if set && (i.Value == "" || i.Value.Regexp().MatchString(value)) {
			s.Switches = append(s.Switches, Switch{i.Variable, i.Variable + "=" + value})
		}
		return
	}
	for _, arg := range t.Args {
		if arg == "--" {
			return
		}
		if slices.ContainsFunc(i.Flags, func(flag string) bool { return isFlag(arg, flag) }) {
			s.Switches = append(s.Switches, Switch{Text: path.Base(t.Command) + " " + arg})
		}
	}
}

// isFlag reports whether arg is the flag: the same, with a value, or in a cluster of
// single letters such as -sSk.
func isFlag(arg, flag string) bool {
	if len(flag) == 2 && flag[0] == '-' {
		return len(arg) > 1 && arg[0] == '-' && strings.Trim(arg[1:], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ#") == "" && strings.Contains(arg, flag[1:])
	}
	return arg == flag || strings.HasPrefix(arg, flag+"=")
}

// override looks for a setting: in the tool's files, of which the first that has
// it counts, and in each of the variables.
func (f *finder) override(t Tool, o profiles.Override) {
	for _, variable := range o.Variables {
		if c, ok := f.conflict(t, o, "$"+variable, []byte(env.Get(f.system.Environ, variable))); ok {
			c.Env = []profiles.Env{{Append: variable, Value: o.Append, Reason: o.Reason}}
			f.conflicting(c)
		}
	}
	for _, place := range o.Files {
		file := f.resolve(place)
		if file == "" {
			continue
		}
		data, err := f.system.ReadFile(file)
		if err != nil {
			continue
		}
		if c, ok := f.conflict(t, o, file, data); ok {
			c.Env, c.Argv = f.edits(t, o.Env, o.Argv)
			f.conflicting(c)
			return
		}
	}
}

func (f *finder) conflict(t Tool, o profiles.Override, place string, data []byte) (Conflict, bool) {
	m := o.Match.Regexp().FindSubmatchIndex(data)
	if m == nil {
		return Conflict{}, false
	}
	c := Conflict{
		Code: o.Code, Tool: t.Name, File: place, Line: 1 + bytes.Count(data[:m[2]], []byte("\n")), Is: o.Is,
		Value: strings.Trim(string(data[m[2]:m[3]]), `"'`), Advice: o.Advice,
	}
	if o.Is == "ca" {
		c.Value = f.userPath(place, c.Value)
	}
	return c, true
}

func (f *finder) conflicting(c Conflict) {
	c.Overruled = len(c.Env) > 0 || len(c.Argv) > 0
	f.found.Conflicts = append(f.found.Conflicts, c)
}

// userPath makes a path absolute that stands in a configuration file, or in a
// variable.
func (f *finder) userPath(file, value string) string {
	switch {
	case strings.HasPrefix(file, "$"):
		return f.absolute(value)
	case strings.HasPrefix(value, "~/"):
		return filepath.Join(f.system.Home, value[2:])
	case filepath.IsAbs(value):
		return value
	}
	return filepath.Join(filepath.Dir(file), value)
}

package detect

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/profiles"
	"github.com/agentproxy/agentproxy/profiles/env"
)

// choose takes from a profile what applies here.
func (f *finder) choose(t Tool) {
	s := f.found
	variables, arguments := f.edits(t, t.Env, t.Argv)
	s.Env, s.Argv = append(s.Env, variables...), append(s.Argv, arguments...)
	for _, file := range t.Files {
		s.Files = append(s.Files, UserFile{file, f.before(file)})
	}
	for _, i := range t.Insecure {
		f.insecure(t, i)
	}
	for _, o := range t.Overrides {
		f.override(t, o)
	}
}

// edits returns those that apply here, the arguments with their places.
func (f *finder) edits(t Tool, variables []profiles.Env, arguments []profiles.Argv) ([]profiles.Env, []PlacedArgv) {
	var set []profiles.Env
	var placed []PlacedArgv
	for _, e := range variables {
		if f.applies(t, e.Where) {
			set = append(set, e)
		} else if e.Remedy != "" {
			f.offer(t, e)
		}
	}
	for _, a := range arguments {
		if t.Index < 0 || !f.applies(t, a.Where) || f.unwanted(t, a) {
			continue
		}
		place := t.Index
		if a.Behind == profiles.BehindSubcommand {
			sub := firstWordAt(t.Args)
			if sub < 0 {
				continue
			}
			place += 1 + sub
		}
		placed = append(placed, PlacedArgv{a, place})
	}
	return set, placed
}

// offer notes a remedy that would apply if the tool had failed so.
func (f *finder) offer(t Tool, e profiles.Env) {
	w := e.Where
	w.Remedy = ""
	if f.applies(t, w) {
		f.found.Remedies = append(f.found.Remedies, Remedy{t.Name, f.version(t, ""), e.Remedy, e.Reason})
	}
}

func (f *finder) applies(t Tool, w profiles.Where) bool {
	switch {
	case w.Remedy != "" && (f.system.Remedied == nil || !f.system.Remedied(t.Name, f.version(t, ""), w.Remedy)):
		return false
	case w.Wide && !f.found.Open, w.Inside && t.Index >= 0:
		return false
	case len(w.Args) > 0 && !slices.Contains(w.Args, firstWord(t.Args)):
		return false
	case len(w.Program) > 0 && !slices.Contains(w.Program, f.program(t)):
		return false
	case slices.ContainsFunc(w.Without, func(word string) bool { return strings.Contains(strings.Join(t.Args, "\n"), word) }):
		return false
	case len(w.Project) > 0 && !f.inProject(t, w.Project):
		return false
	}
	return w.When.IsZero() || w.When.Holds(f.version(t, w.Of))
}

// program is the name of the file that a tool's command leads to.
func (f *finder) program(t Tool) string {
	path := f.system.LookPath(t.Command)
	if path == "" || f.system.Follow == nil {
		return filepath.Base(path)
	}
	return filepath.Base(f.system.Follow(path))
}

// version is the tool's, or that of another profile's tool.
func (f *finder) version(t Tool, of string) string {
	command, probe := t.Command, t.Version
	if of != "" {
		other, err := f.library.Named(of)
		if err != nil || other == nil {
			return ""
		}
		command, probe = other.Commands[0], other.Version
	}
	program := f.system.LookPath(cmp.Or(probe.Command, command))
	if program == "" {
		return ""
	}
	return f.system.Version(program, probe)
}

func firstWord(args []string) string {
	if i := firstWordAt(args); i >= 0 {
		return args[i]
	}
	return ""
}

// firstWordAt is where the first argument is that is no flag, -1 when all are.
func firstWordAt(args []string) int {
	return slices.IndexFunc(args, func(a string) bool { return !strings.HasPrefix(a, "-") })
}

// unwanted reports whether the user has given what the arguments are for, or
// something that they would spoil.
func (f *finder) unwanted(t Tool, a profiles.Argv) bool {
	match := a.UnlessMatch.Regexp()
	isGiven := func(arg string) bool {
		return a.UnlessMatch != "" && match.MatchString(arg) ||
			slices.ContainsFunc(a.Unless, func(flag string) bool { return arg == flag || strings.HasPrefix(arg, flag+"=") })
	}
	words := slices.Clone(t.Args)
	for _, variable := range a.UnlessIn {
		words = append(words, strings.Fields(env.Get(f.system.Environ, variable))...)
	}
	return slices.ContainsFunc(words, isGiven)
}

// inProject looks for files from the working directory upwards, and from where
// the tool's script is.
func (f *finder) inProject(t Tool, files []string) bool {
	dirs := []string{f.system.Dir}
	if script := firstWord(t.Args); script != "" {
		dirs = append(dirs, filepath.Dir(f.absolute(script)))
	}
	if program := f.system.LookPath(t.Command); program != "" {
		dirs = append(dirs, filepath.Dir(program))
	}
	return slices.ContainsFunc(dirs, func(dir string) bool {
		return slices.ContainsFunc(files, func(file string) bool { return f.upwards(dir, file) != "" })
	})
}

func (f *finder) absolute(file string) string {
	if filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(f.system.Dir, file)
}

// upwards returns the nearest file of that name from dir on, "" when there is
// none.
func (f *finder) upwards(dir, file string) string {
	for {
		candidate := filepath.Join(dir, file)
		if f.system.Exists(candidate) {
			return candidate
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

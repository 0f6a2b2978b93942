package profiles

import (
	"bytes"
	"cmp"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/profiles/env"
)

// World is what a survey may look at.
type World struct {
	Environ   []string
	Home, Dir string
	// LookPath returns the program that a name stands for, links to a program of
	// the same name resolved, "" when there is none.
	LookPath func(name string) string
	Exists   func(path string) bool
	// ReadFile returns the beginning of a file, 64 KiB at most.
	ReadFile func(path string) ([]byte, error)
	// Remedied tells whether a tool gets what its profile has for a class of
	// failure; nil is never.
	Remedied func(tool, version string, class Class) bool
	// Version returns a program's version, "" when it does not tell.
	Version func(program string, p Probe) string
}

// Survey is what is known about a command before it runs.
type Survey struct {
	// Tools are the profiles that apply, from the outside in, a runtime before
	// what runs on it. The base profile comes first.
	Tools []Tool
	// Known is true when a tool is started whose failures there is something to
	// say about: one with a profile that is not interactive.
	Known bool
	// Open is true when the command may start what no profile covers.
	Open bool

	// Remedies are what could be tried after a failure, and is not in Env: the
	// tool's profile has entries for the class.
	Remedies []Remedy

	// Contained is set when the command line starts a container or builds an
	// image.
	Contained *Contained

	Env      []Env
	Argv     []PlacedArgv
	Files    []UserFile
	Switches []Switch
	// Conflicts are settings in files that win over the environment.
	Conflicts []Conflict
}

// Tool is one command that was found, and the profile that covers it.
type Tool struct {
	*Profile
	// Command as it was written.
	Command string
	// Index is its place in the command line, -1 when it is not there.
	Index int
	Args  []string
}

// Remedy is what a tool's profile has for a class of failure.
type Remedy struct {
	Tool, Version string
	Class         Class
	Reason        string
}

// PlacedArgv are arguments that go behind the one at Index of the command line.
type PlacedArgv struct {
	Argv
	Index int
}

// UserFile is a file to be written, behind what the user has.
type UserFile struct {
	File
	Before []byte
}

// Switch is a setting that turns verification off.
type Switch struct {
	// Variable is the one that is dropped, "" for an argument.
	Variable string
	// Text is the setting as it was found.
	Text string
}

// Conflict is a setting that wins over the environment.
type Conflict struct {
	Code string `json:"code"`
	// Tool is the profile that knows it.
	Tool string `json:"tool"`
	File string `json:"file"`
	// Line is the setting's, from 1.
	Line int `json:"line"`
	// Is says what it does: "proxy", "ca", "insecure" or "other".
	Is string `json:"is"`
	// Value may hold a password and is never printed.
	Value string `json:"-"`
	// Overruled is true when Env and Argv take its effect on this run away.
	Overruled bool   `json:"overruled"`
	Advice    string `json:"advice,omitempty"`

	Env  []Env        `json:"-"`
	Argv []PlacedArgv `json:"-"`
}

// Survey finds the tools that a command line starts, and what their profiles
// say about it.
func (l *Library) Survey(argv []string, w World) (*Survey, error) {
	return l.survey(w, func(f *finder) error { return f.walk(argv, 0, 0) })
}

// SurveyShell does so for shell text: the steps of an image's build, say.
func (l *Library) SurveyShell(text string, w World) (*Survey, error) {
	return l.survey(w, func(f *finder) error { return f.shell(text, 0) })
}

func (l *Library) survey(w World, walk func(*finder) error) (*Survey, error) {
	f := finder{library: l, world: w, survey: &Survey{}}
	go l.commands() // while the base is parsed
	base, err := l.Named(BaseName)
	if err != nil {
		return nil, err
	}
	f.survey.Tools = []Tool{{Profile: base, Index: -1}}
	if err := walk(&f); err != nil {
		return nil, err
	}
	s := f.survey
	for _, t := range s.Tools {
		f.choose(t)
	}
	return s, nil
}

// Conflicts looks for every setting that any profile knows of.
func (l *Library) Conflicts(w World) ([]Conflict, error) {
	f := finder{library: l, world: w, survey: &Survey{}}
	for _, name := range l.Names() {
		p, err := l.Named(name)
		if err != nil {
			return nil, err
		}
		for _, o := range p.Overrides {
			f.override(Tool{Profile: p, Index: -1}, o)
		}
	}
	return f.survey.Conflicts, nil
}

type finder struct {
	library *Library
	world   World
	survey  *Survey
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
		f.survey.Contained = contained(tool)
	}
	if p.Inner != nil {
		found, ok := p.Inner.find(argv[1:])
		switch {
		case ok && found.text != "":
			return f.shell(found.text, depth)
		case ok && found.index >= 0:
			next := -1
			if index >= 0 {
				next = index + 1 + found.index
			}
			// A script may be a tool's own launcher: "sh gradlew build".
			tool, err := f.library.ForCommand(argv[1+found.index])
			if err != nil {
				return err
			}
			if found.script != "" && tool == nil {
				return f.shellFile(found.script, depth)
			}
			return f.walk(argv[1+found.index:], next, depth+1)
		}
	}
	f.survey.Open = f.survey.Open || !p.Leaf
	f.survey.Known = f.survey.Known || !p.Interactive
	return nil
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
	known := slices.ContainsFunc(f.survey.Tools, func(other Tool) bool { return other.Profile == t.Profile && t.Index < 0 })
	if !known {
		f.survey.Tools = append(f.survey.Tools, t)
	}
	return nil
}

// script adds what a file starts: the interpreter of its first line, or the
// commands of a shell script. A file that is no script may start anything.
func (f *finder) script(argv []string, file string, depth int) error {
	f.survey.Open = true
	program := file
	if !strings.Contains(file, "/") || f.world.LookPath(file) != "" {
		program = f.world.LookPath(file)
	}
	if program == "" {
		return nil
	}
	data, err := f.world.ReadFile(program)
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
	f.survey.Known = f.survey.Known || !p.Interactive
	return f.add(Tool{p, interpreter[0], -1, argv[1:]})
}

// shellFile adds the commands of a file that a shell is given: one of the
// working directory before one in PATH, and it needs no first line.
func (f *finder) shellFile(file string, depth int) error {
	f.survey.Open = true
	path := f.absolute(file)
	if !f.world.Exists(path) {
		path = f.world.LookPath(file)
	}
	data, err := f.world.ReadFile(path)
	if path == "" || err != nil {
		return nil // the shell will say so
	}
	return f.shell(string(data), depth)
}

// shell adds the commands of shell text.
func (f *finder) shell(text string, depth int) error {
	for _, argv := range shellCommands(text) {
		if err := f.walk(argv, -1, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// choose takes from a profile what applies here.
func (f *finder) choose(t Tool) {
	s := f.survey
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
func (f *finder) edits(t Tool, variables []Env, arguments []Argv) ([]Env, []PlacedArgv) {
	var set []Env
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
		if a.Behind == BehindSubcommand {
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
func (f *finder) offer(t Tool, e Env) {
	w := e.Where
	w.Remedy = ""
	if f.applies(t, w) {
		f.survey.Remedies = append(f.survey.Remedies, Remedy{t.Name, f.version(t, ""), e.Remedy, e.Reason})
	}
}

func (f *finder) applies(t Tool, w Where) bool {
	switch {
	case w.Remedy != "" && (f.world.Remedied == nil || !f.world.Remedied(t.Name, f.version(t, ""), w.Remedy)):
		return false
	case w.Wide && !f.survey.Open, w.Inside && t.Index >= 0:
		return false
	case len(w.Args) > 0 && !slices.Contains(w.Args, firstWord(t.Args)):
		return false
	case len(w.Project) > 0 && !f.inProject(t, w.Project):
		return false
	}
	return w.When.IsZero() || w.When.Holds(f.version(t, w.Of))
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
	program := f.world.LookPath(cmp.Or(probe.Command, command))
	if program == "" {
		return ""
	}
	return f.world.Version(program, probe)
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

// unwanted tells that the user has given what the arguments are for, or
// something that they would spoil.
func (f *finder) unwanted(t Tool, a Argv) bool {
	match := a.UnlessMatch.Regexp()
	isGiven := func(arg string) bool {
		return a.UnlessMatch != "" && match.MatchString(arg) ||
			slices.ContainsFunc(a.Unless, func(flag string) bool { return arg == flag || strings.HasPrefix(arg, flag+"=") })
	}
	words := slices.Clone(t.Args)
	for _, variable := range a.UnlessIn {
		words = append(words, strings.Fields(env.Get(f.world.Environ, variable))...)
	}
	return slices.ContainsFunc(words, isGiven)
}

// inProject looks for files from the working directory upwards, and from where
// the tool's script is.
func (f *finder) inProject(t Tool, files []string) bool {
	dirs := []string{f.world.Dir}
	if script := firstWord(t.Args); script != "" {
		dirs = append(dirs, filepath.Dir(f.absolute(script)))
	}
	if program := f.world.LookPath(t.Command); program != "" {
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
	return filepath.Join(f.world.Dir, file)
}

// upwards returns the nearest file of that name from dir on, "" when there is
// none.
func (f *finder) upwards(dir, file string) string {
	for {
		candidate := filepath.Join(dir, file)
		if f.world.Exists(candidate) {
			return candidate
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

// resolve turns a place of a profile into a path, "" when it names none: what
// World.Resolve knows, or ./x (upwards).
func (f *finder) resolve(place string) string {
	if !strings.HasPrefix(place, "./") {
		return f.world.Resolve(place)
	}
	// One in the home directory itself is the user's, not the project's.
	if file := f.upwards(f.world.Dir, place[2:]); file != filepath.Join(f.world.Home, place[2:]) || f.world.Dir == f.world.Home {
		return file
	}
	return ""
}

// Resolve turns ~/x, $VARIABLE, $VARIABLE/x or a plain path into a path, "" when
// the variable is not set.
func (w *World) Resolve(place string) string {
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
func (f *finder) before(file File) []byte {
	for _, place := range file.After {
		path := f.resolve(place)
		if data, err := f.world.ReadFile(path); path != "" && err == nil {
			return data
		}
	}
	return nil
}

func (f *finder) insecure(t Tool, i Insecure) {
	s := f.survey
	if i.Variable != "" {
		value, set := env.Lookup(f.world.Environ, i.Variable)
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

// isFlag tells that arg is the flag: the same, with a value, or in a cluster of
// single letters such as -sSk.
func isFlag(arg, flag string) bool {
	if len(flag) == 2 && flag[0] == '-' {
		return len(arg) > 1 && arg[0] == '-' && strings.Trim(arg[1:], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ#") == "" && strings.Contains(arg, flag[1:])
	}
	return arg == flag || strings.HasPrefix(arg, flag+"=")
}

// override looks for a setting: in the tool's files, of which the first that has
// it counts, and in each of the variables.
func (f *finder) override(t Tool, o Override) {
	for _, variable := range o.Variables {
		if c, ok := f.conflict(t, o, "$"+variable, []byte(env.Get(f.world.Environ, variable))); ok {
			c.Env = []Env{{Append: variable, Value: o.Append, Reason: o.Reason}}
			f.conflicting(c)
		}
	}
	for _, place := range o.Files {
		file := f.resolve(place)
		if file == "" {
			continue
		}
		data, err := f.world.ReadFile(file)
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

func (f *finder) conflict(t Tool, o Override, place string, data []byte) (Conflict, bool) {
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
	f.survey.Conflicts = append(f.survey.Conflicts, c)
}

// userPath makes a path absolute that stands in a configuration file, or in a
// variable.
func (f *finder) userPath(file, value string) string {
	switch {
	case strings.HasPrefix(file, "$"):
		return f.absolute(value)
	case strings.HasPrefix(value, "~/"):
		return filepath.Join(f.world.Home, value[2:])
	case filepath.IsAbs(value):
		return value
	}
	return filepath.Join(filepath.Dir(file), value)
}

// Package detect finds which tools a command line starts: through wrappers, shell
// text, scripts and the command lines of container engines. It says what their
// profiles have for them on this machine, and which settings are in the way.
package detect

import (
	"slices"

	"github.com/agentproxy/agentproxy/profiles"
	"github.com/agentproxy/agentproxy/profiles/rules"
)

// System is what of the machine may be looked at.
type System struct {
	Environ   []string
	Home, Dir string
	// LookPath returns the program that a name stands for, links to a program of
	// the same name resolved, "" when there is none.
	LookPath func(name string) string
	Exists   func(path string) bool
	// Follow follows all links of a path; nil follows none.
	Follow func(path string) string
	// ReadFile returns the beginning of a file, 64 KiB at most.
	ReadFile func(path string) ([]byte, error)
	// Remedied reports whether a tool gets what its profile has for a class of
	// failure; nil is never.
	Remedied func(tool, version string, class rules.Class) bool
	// Version returns a program's version, "" when it does not tell.
	Version func(program string, p profiles.Probe) string
}

// Detection is what is known about a command before it runs.
type Detection struct {
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

	Env      []profiles.Env
	Argv     []PlacedArgv
	Files    []UserFile
	Switches []Switch
	// Conflicts are settings in files that win over the environment.
	Conflicts []Conflict
}

// Tool is one command that was found, and the profile that covers it.
type Tool struct {
	*profiles.Profile
	// Command as it was written.
	Command string
	// Index is its place in the command line, -1 when it is not there.
	Index int
	Args  []string
}

// isLeaf reports whether the command starts nothing that its profile does not
// know of.
func (t Tool) isLeaf() bool {
	return t.Leaf && (len(t.LeafArgs) == 0 || slices.Contains(t.LeafArgs, firstWord(t.Args)))
}

// Remedy is what a tool's profile has for a class of failure.
type Remedy struct {
	Tool, Version string
	Class         rules.Class
	Reason        string
}

// PlacedArgv are arguments that go behind the one at Index of the command line.
type PlacedArgv struct {
	profiles.Argv
	Index int
}

// UserFile is a file to be written, behind what the user has.
type UserFile struct {
	profiles.File
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

	Env  []profiles.Env `json:"-"`
	Argv []PlacedArgv   `json:"-"`
}

// Command finds the tools that a command line starts, and what their profiles
// say about it. No command line stands for whatever may be started.
func Command(l *profiles.Library, argv []string, s System) (*Detection, error) {
	return detect(l, s, argv, func(f *finder) error { return f.walk(argv, 0, 0) })
}

// Shell does so for shell text: the steps of an image's build, say.
func Shell(l *profiles.Library, text string, s System) (*Detection, error) {
	return detect(l, s, nil, func(f *finder) error { return f.shell(text, 0) })
}

func detect(l *profiles.Library, s System, argv []string, walk func(*finder) error) (*Detection, error) {
	f := finder{library: l, system: s, found: &Detection{}, walked: map[string]bool{}}
	go l.ReadIndex() // while the base is parsed
	base, err := l.Named(profiles.BaseName)
	if err != nil {
		return nil, err
	}
	f.found.Tools = []Tool{{Profile: base, Index: -1, Args: argv}}
	if err := walk(&f); err != nil {
		return nil, err
	}
	for _, t := range f.found.Tools {
		f.choose(t)
	}
	return f.found, nil
}

// Settings looks for every setting that any profile knows to win over the
// environment.
func Settings(l *profiles.Library, s System) ([]Conflict, error) {
	f := finder{library: l, system: s, found: &Detection{}}
	for _, name := range l.Names() {
		p, err := l.Named(name)
		if err != nil {
			return nil, err
		}
		for _, o := range p.Overrides {
			f.override(Tool{Profile: p, Index: -1}, o)
		}
	}
	return f.found.Conflicts, nil
}

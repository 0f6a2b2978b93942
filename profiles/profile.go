// Package profiles is what is known about tools: how each finds its proxy and
// its roots, which of its settings lead elsewhere, and how its failures read.
//
// The knowledge is data, one file per tool in tools/: a txtar archive whose
// head is TOML (the fields of Profile) and whose sections are real outputs,
// each named by the class it must get. A file that is put there is found;
// there is no list.
package profiles

import (
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/profiles/rules"
)

// Profile is what one tool needs, and how its failures read.
type Profile struct {
	// Name is the file's, without its ending.
	Name string `toml:"-"`
	// File is where it was read from.
	File string `toml:"-"`
	// Summary says in one line what the tool is.
	Summary string `toml:"summary"`
	// Commands are the names that it is called by. A version at the end of a
	// name (python3.13) need not be listed. They stand on one line, by which a
	// profile is found without parsing the others.
	Commands []string `toml:"commands"`
	// Runtime names the profile of what the tool runs on; it applies first.
	Runtime string `toml:"runtime"`
	// Library is true for what is no command but a library of its Runtime: its
	// failures read in a way of their own.
	Library bool `toml:"library"`
	// Leaf is true for a tool that starts nothing but what its profile covers.
	// Entries that are "wide" are left out for it.
	Leaf bool `toml:"leaf"`
	// LeafArgs are the subcommands that Leaf holds for, all when there are none:
	// the others may start anything, by an alias or a hook.
	LeafArgs []string `toml:"leaf_args"`
	// Interactive is true for what people sit in front of: on a terminal exec
	// leaves it to itself, unread.
	Interactive bool `toml:"interactive"`
	// Never says in plain words that no setting takes the tool through a
	// proxy, and what to do instead. It is said when the tool has failed.
	Never string `toml:"never"`
	// Capture is true for a tool that only a network of its own takes through: where the
	// system makes one, exec gives it one from the start.
	Capture bool `toml:"capture"`
	// Note is what else a user of the tool should know.
	Note string `toml:"note"`
	// Voice is how the tool's own lines read, by which its output is known for
	// its own where the command is not: '^curl: \(\d+\)'.
	Voice rules.Pattern `toml:"voice"`
	// Idempotent are the subcommands that may be run again after a failure.
	Idempotent []string `toml:"idempotent"`

	// Resets is set for a tool that starts others without their environment.
	Resets    *Resets    `toml:"resets"`
	Version   Probe      `toml:"version"`
	Inner     *Inner     `toml:"inner"`
	Container *Container `toml:"container"`
	Env       []Env      `toml:"env"`
	Argv      []Argv     `toml:"argv"`
	Files     []File     `toml:"file"`
	Insecure  []Insecure `toml:"insecure"`
	Overrides []Override `toml:"override"`
}

// Resets says that a tool takes away the environment of what it starts, and with it
// what the run was given.
type Resets struct {
	// Flags make it do so; without any it does so always. Unless are flags that
	// keep it from it.
	Flags  []string `toml:"flags"`
	Unless []string `toml:"unless"`
	// Advice is what to type instead, said when what it started has failed.
	Advice string `toml:"advice"`
}

// By reports whether the tool does so with these arguments.
func (r *Resets) By(args []string) bool {
	given := func(flags []string) bool {
		return slices.ContainsFunc(args, func(arg string) bool {
			return slices.ContainsFunc(flags, func(flag string) bool { return hasFlag(arg, flag) })
		})
	}
	return !given(r.Unless) && (len(r.Flags) == 0 || given(r.Flags))
}

// hasFlag reports whether an argument is a flag, with a value or not, or a cluster
// of single letters with it.
func hasFlag(arg, flag string) bool {
	long := strings.HasPrefix(flag, "--")
	switch {
	case arg == flag, long && strings.HasPrefix(arg, flag+"="):
		return true
	case long || len(flag) != 2 || strings.HasPrefix(arg, "--") || !strings.HasPrefix(arg, "-"):
		return false
	}
	return strings.Contains(arg[1:], flag[1:])
}

// Probe is how a tool tells its version.
type Probe struct {
	// Args make the tool print it, --version when empty.
	Args []string `toml:"args"`
	// Pattern finds it, in its first group; the first number with a dot when
	// empty.
	Pattern rules.Pattern `toml:"pattern"`
	// Command is the program that is asked, the tool itself when empty.
	Command string `toml:"command"`
}

// Where limits an entry. Everything that is given must hold.
type Where struct {
	// When is a condition on the tool's version, or on that of the tool whose
	// profile Of names.
	When Condition `toml:"when"`
	Of   string    `toml:"of"`
	// Args are subcommands, one of which is the first argument that is no flag.
	Args []string `toml:"args"`
	// Program are names of programs, one of which the command is a link to: what
	// wget is where it is BusyBox's.
	Program []string `toml:"program"`
	// Without are words that no argument of the command line, or of the tool's,
	// may have in it.
	Without []string `toml:"without"`
	// Project are files, one of which exists in the nearest directories
	// upwards of the working directory or of the tool's own script.
	Project []string `toml:"project"`
	// Remedy is a class of failure: the entry is wanted only where the tool has
	// failed so, and is tried then.
	Remedy rules.Class `toml:"remedy"`
	// Wide is true for what costs or disturbs, and is only wanted where
	// anything may be started.
	Wide bool `toml:"wide"`
	// Inside is true for what is only wanted where something else starts the
	// tool, a script or a build, so that its arguments cannot be added to.
	Inside bool `toml:"inside"`
}

// Env is one edit to the environment; one of Set, Append, Prepend and Unset
// names the variable.
type Env struct {
	Set     string `toml:"set"`
	Append  string `toml:"append"`
	Prepend string `toml:"prepend"`
	Unset   string `toml:"unset"`
	// Value is what it becomes, or what is added to the user's own.
	Value Template `toml:"value"`
	// Separator stands between the user's value and ours, a space when empty.
	Separator string `toml:"separator"`
	// Keep leaves a value of the user's as it is.
	Keep bool `toml:"keep"`
	// Given edits only a variable that the user has set.
	Given bool `toml:"given"`
	// Unless leaves a value of the user's that holds this text as it is, also
	// where one of the variables of UnlessIn holds it: a JVM reads several, and
	// ours would win over theirs.
	Unless   string   `toml:"unless"`
	UnlessIn []string `toml:"unless_in"`
	Reason   string   `toml:"reason"`
	Where
}

// Name is the variable.
func (e *Env) Name() string {
	for _, name := range []string{e.Set, e.Append, e.Prepend, e.Unset} {
		if name != "" {
			return name
		}
	}
	return ""
}

// Argv are arguments that are put behind the command's name, where a tool
// reads nothing else.
type Argv struct {
	Insert []Template `toml:"insert"`
	// Behind is "subcommand" for arguments that belong behind the first argument
	// that is no flag: s_client in "openssl s_client". There must be one.
	Behind string `toml:"behind"`
	// Unless are arguments of the user's beginning that make ours unwanted, and
	// so does one of them in the variables of UnlessIn.
	Unless   []string `toml:"unless"`
	UnlessIn []string `toml:"unless_in"`
	// UnlessMatch is the same for an argument of any form: one that names a
	// loopback address, say.
	UnlessMatch rules.Pattern `toml:"unless_match"`
	Reason      string        `toml:"reason"`
	Where
}

// BehindSubcommand is the value of Argv.Behind.
const BehindSubcommand = "subcommand"

// File is written for the run into the state directory; templates name it
// {file.NAME}.
type File struct {
	Name    string   `toml:"name"`
	Content Template `toml:"content"`
	// After is the file of the user's whose content comes first: a path, or
	// "$VARIABLE or path".
	After []string `toml:"after"`
}

// Insecure is a switch that turns verification off: a variable, or arguments.
type Insecure struct {
	Variable string `toml:"variable"`
	// Value is what the variable must hold for it; anything when empty.
	Value rules.Pattern `toml:"value"`
	Flags []string      `toml:"flags"`
}

// Override is a setting of the user's, in one of the tool's files or among the
// options in a variable, that wins over what the tool gets.
type Override struct {
	// Code is stable: it stands in status documents and verdicts.
	Code string `toml:"code"`
	// Files are where the setting may be: ~/x, $VARIABLE, /etc/x, or ./x, which
	// is looked for in the working directory and upwards, but not in the home
	// directory.
	Files []string `toml:"files"`
	// Variables are looked through as well, each of them. What overrules the
	// setting there is Append, behind it in the same variable, for a Reason.
	Variables []string `toml:"variables"`
	Append    Template `toml:"append"`
	Reason    string   `toml:"reason"`
	// Match finds the setting; its first group is the value.
	Match rules.Pattern `toml:"match"`
	// Is says what the setting does: "proxy", "ca", "insecure" or "other".
	Is string `toml:"is"`
	// Env and Argv overrule the setting for the run, where the tool allows it
	// and they apply.
	Env  []Env  `toml:"env"`
	Argv []Argv `toml:"argv"`
	// Advice is what to do where it cannot be overruled.
	Advice string `toml:"advice"`
}

// Canary is how doctor tries the tool against the canary, an origin in the
// tunnel: {canary} is its URL with a slash at the end, {canary.host} its name,
// {tmp} the directory in which the tool runs, empty but for the trial's files,
// {fetch.java} a program that fetches what it is given.
type Canary struct {
	// Commands are those that the trial is for, the first that is installed of
	// them; those of the profile when there are none.
	Commands []string   `toml:"commands"`
	Args     []Template `toml:"args"`
	// Files are written into the directory, by their names in it.
	Files map[string]Template `toml:"files"`
	// Instead is run with the environment that the tool gets, where the tool
	// itself cannot be run harmlessly, and Runtime says what it is.
	Instead []Template `toml:"instead"`
	Runtime string     `toml:"runtime"`
	// Env are variables that the trial needs, as NAME=VALUE.
	Env []Template `toml:"env"`
	// Online are arguments with which the tool asks the registry that it is
	// configured for, for something small, and changes nothing.
	Online []Template `toml:"online"`
}

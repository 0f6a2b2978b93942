// Package plan says what a command is given so that it works behind the tunnel:
// edits to its environment and arguments, files, and what is to be told of them.
// It is a pure function, which runs and writes nothing.
package plan

import (
	"cmp"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/profiles"
	"github.com/agentproxy/agentproxy/profiles/detect"
	"github.com/agentproxy/agentproxy/profiles/env"
	"github.com/agentproxy/agentproxy/wrap/gitenv"
)

// Input is everything that a plan depends on.
type Input struct {
	Argv    []string
	Environ []string
	Tunnel  env.Tunnel
	// Detected is what the profiles say about this command, here.
	Detected *detect.Detection
	// Git is what is known about git here.
	Git *gitenv.Git
	// Container is what the command line of an engine is given for what is to
	// run in a container; nil for any other command.
	Container *Container
	// Facts are further facts that templates name; see Needs. What names one
	// that is not there is left out.
	Facts map[string]string
	// Uses are facts that are wanted beside those that templates name.
	Uses []string
}

// Container are edits to a command that starts a container or builds an image;
// package container makes them.
type Container struct {
	// Insert goes behind the argument at Behind.
	Behind int
	Insert []string
	// Replace has arguments that change, by their places.
	Replace map[int]string
	Env     []env.Edit
	Reason  string
	// Never is why nothing, or not everything, could be done.
	Never string
	// Temporary is a directory that is of no use afterwards.
	Temporary string
}

// Plan is what to run and what was changed for it.
type Plan struct {
	Argv    []string `json:"argv"`
	Environ []string `json:"-"`
	// Tools are the profiles that applied, from the outside in.
	Tools     []string          `json:"tools"`
	Changes   []Change          `json:"environment"`
	Arguments []Arguments       `json:"arguments,omitempty"`
	Files     []File            `json:"-"`
	Conflicts []detect.Conflict `json:"conflicts,omitempty"`
	Insecure  []detect.Switch   `json:"-"`
	Notes     []string          `json:"notes,omitempty"`
	// Temporary are directories that are of no use once the command has ended.
	Temporary []string `json:"-"`
	// Never says of tools in the command that no setting takes them through a
	// proxy, and what to do.
	Never []string `json:"never,omitempty"`
	// Left are variables that were left as they are although they should be changed,
	// and why.
	Left []string `json:"-"`
	// Resets says of tools in the command that they take away what it was given, and
	// what to type instead.
	Resets []string `json:"resets,omitempty"`

	facts map[string]string
}

// Fact is what a template's name stood for, "" when it stood for nothing.
func (p Plan) Fact(name string) string { return p.facts[name] }

// Change is one difference between the user's environment and the command's.
// The user's old value is not in it: it may hold a password.
type Change struct {
	Name string `json:"name"`
	// Action is "add", "change" or "remove".
	Action string `json:"action"`
	Value  string `json:"value,omitempty"`
	Reason string `json:"reason"`
}

// Arguments were inserted behind a command's name.
type Arguments struct {
	Insert []string `json:"insert"`
	Reason string   `json:"reason"`
	// Told is true for what changes more than where the tool connects: users are
	// to hear of it.
	Told bool `json:"-"`
}

// New is a pure function from the input to the plan.
func New(in Input) Plan {
	w := &planner{in: in, facts: in.Tunnel.Facts(in.Environ), used: map[string]bool{}}
	maps.Copy(w.facts, in.Facts)
	for _, name := range in.Uses {
		w.used[name] = true
	}
	w.files()
	edits, argv := in.Detected.Env, slices.Clone(in.Detected.Argv)
	if w.facts[CapturedFact] != "" {
		edits = forCaptured(edits, w.put)
		argv = slices.DeleteFunc(argv, func(a detect.PlacedArgv) bool { return leadsToTunnel(a.Insert...) })
	}
	for _, e := range edits {
		w.edit(e)
	}
	conflicts := conflicting(in.Detected, in.Git, in.Tunnel.Ours)
	for _, c := range conflicts {
		for _, e := range c.Env {
			w.edit(e)
		}
		argv = append(argv, c.Argv...)
	}
	for _, e := range in.Git.Edits(in.Tunnel.URL, in.Environ) {
		w.put(e)
	}
	for _, s := range in.Detected.Switches {
		if s.Variable != "" {
			w.put(env.Edit{Name: s.Variable, Unset: true, Reason: "it switches verification off, which nothing needs here"})
		}
	}
	w.plan.Argv = slices.Clone(in.Argv)
	w.container() // the last on the line, so that the others' places stay
	w.arguments(argv)
	p := w.plan
	p.facts = w.facts
	p.Files = slices.DeleteFunc(p.Files, func(f File) bool { return !w.used["file."+filepath.Base(f.Path)] })
	p.Environ = env.Apply(in.Environ, w.edits)
	p.Changes = changes(in.Environ, w.edits)
	p.Conflicts = conflicts
	p.Insecure = in.Detected.Switches
	p.describe(in.Detected.Tools)
	if c := in.Container; c != nil && c.Never != "" {
		p.Never = append(p.Never, c.Never)
	}
	if own := in.Git.OwnSSH; own != "" && slices.ContainsFunc(in.Detected.Tools, func(t detect.Tool) bool { return t.Name == "git" }) {
		p.Notes = append(p.Notes, "git: SSH remotes do not go over HTTPS: "+own)
	}
	p.Left = w.left
	p.Notes = append(p.Notes, w.left...)
	return p
}

// describe says of the tools what people are to know.
func (p *Plan) describe(tools []detect.Tool) {
	for _, t := range tools {
		p.Tools = append(p.Tools, t.Name)
		if t.Note != "" {
			p.Notes = append(p.Notes, t.Name+": "+t.Note)
		}
		if t.Resets != nil && t.Resets.By(before(t)) {
			p.Resets = append(p.Resets, t.Resets.Advice)
		}
		if t.Capture {
			p.Notes = append(p.Notes, t.Name+": it gets a network of its own where the system makes one (exec.capture)")
		}
		if t.Never != "" && !(t.Capture && p.facts[CapturedFact] != "") {
			p.Never = append(p.Never, t.Name+": "+t.Never)
		}
	}
}

// before are a tool's arguments up to what it starts: the first that is no flag.
func before(t detect.Tool) []string {
	for i := 0; i < len(t.Args); i++ {
		switch arg := t.Args[i]; {
		case t.Inner != nil && slices.Contains(t.Inner.Flags, arg):
			i++ // its value
		case arg == "--", !strings.HasPrefix(arg, "-") && !strings.Contains(arg, "="):
			return t.Args[:i]
		}
	}
	return t.Args
}

// Needs reports whether a template that applies names a fact that begins so: some
// cost too much to be made for nothing.
func Needs(s *detect.Detection, fact string) bool {
	names := func(t profiles.Template) bool { return strings.Contains(string(t), "{"+fact) }
	return slices.ContainsFunc(s.Env, func(e profiles.Env) bool { return names(e.Value) }) ||
		slices.ContainsFunc(s.Argv, func(a detect.PlacedArgv) bool { return slices.ContainsFunc(a.Insert, names) })
}

// conflicting are the settings that win over the environment. A value that is
// ours is none: an exec in an exec finds the outer one's.
func conflicting(s *detect.Detection, git *gitenv.Git, ours func(string) bool) []detect.Conflict {
	others := slices.DeleteFunc(slices.Clone(s.Conflicts), func(c detect.Conflict) bool { return ours(c.Value) })
	return append(others, git.Conflicts(ours)...)
}

// CAs are the files and directories of roots that the environment and the
// tools' configuration name. They are merged into the bundle, so that what the
// user trusted stays trusted.
func CAs(s *detect.Detection, git *gitenv.Git, t env.Tunnel, environ []string) []string {
	var files []string
	for _, c := range conflicting(s, git, t.Ours) {
		if c.Is == "ca" {
			files = append(files, c.Value)
		}
	}
	for _, e := range s.Env {
		if e.Value == "{bundle}" || e.Value == "{ca}" {
			files = append(files, env.Get(environ, e.Set))
		}
	}
	files = append(files, strings.Split(env.Get(environ, "SSL_CERT_DIR"), ":")...)
	files = slices.DeleteFunc(files, func(s string) bool { return s == "" })
	slices.Sort(files)
	return slices.Compact(files)
}

type planner struct {
	in    Input
	facts map[string]string
	used  map[string]bool
	edits []env.Edit
	plan  Plan
	left  []string
}

// maxVariable is how long a variable may be, with its name and the zero behind it:
// MAX_ARG_STRLEN of Linux (execve(2)), 32 pages of 4 KiB.
const maxVariable = 128 << 10

// known reports whether everything a template names is there.
func (w *planner) known(templates ...profiles.Template) bool {
	for _, t := range templates {
		for _, name := range t.Names() {
			if w.facts[name] == "" {
				return false
			}
		}
	}
	return true
}

func (w *planner) expand(t profiles.Template) string {
	return t.Expand(func(name string) string {
		w.used[name] = true
		return w.facts[name]
	})
}

// edit makes one edit to the environment, on top of those before it.
func (w *planner) edit(e profiles.Env) {
	name := e.Name()
	user, set := w.value(name)
	switch {
	case !w.known(e.Value), e.Unset != "" && user == "", e.Keep && set && user != "", e.Given && user == "", w.hasOwn(e, user):
		return
	case e.Unset != "":
		w.put(env.Edit{Name: name, Unset: true, Reason: e.Reason})
		return
	}
	value := w.expand(e.Value)
	separator := cmp.Or(e.Separator, " ")
	switch {
	case e.Value == "{ca}" && user != "" && user != value:
		value = w.facts["bundle"] // the user's own roots are in it
	case e.Append != "" || e.Prepend != "":
		value = join(user, value, separator, e.Append != "")
	}
	w.put(env.Edit{Name: name, Value: value, Reason: e.Reason})
}

// hasOwn reports whether the user's values hold what an edit is for.
func (w *planner) hasOwn(e profiles.Env, user string) bool {
	return e.Unless != "" && (strings.Contains(user, e.Unless) || slices.ContainsFunc(e.UnlessIn, func(variable string) bool {
		return strings.Contains(env.Get(w.in.Environ, variable), e.Unless)
	}))
}

// join adds to the user's value, unless it is in it already: an exec in an exec
// adds nothing twice. A value may begin with the separator itself, where an
// empty first element has a meaning.
func join(user, value, separator string, behind bool) string {
	bare := strings.TrimPrefix(value, separator)
	switch {
	case strings.Contains(separator+user+separator, separator+bare+separator):
		return user
	case user == "":
		return value
	case behind:
		return user + separator + bare
	}
	return bare + separator + user
}

// value is a variable's, with the edits so far.
func (w *planner) value(name string) (string, bool) {
	for _, e := range slices.Backward(w.edits) {
		if e.Name == name {
			return e.Value, !e.Unset
		}
	}
	return env.Lookup(w.in.Environ, name)
}

// put records an edit in place of an earlier one of the same variable. A
// variable that is not there is not removed.
func (w *planner) put(e env.Edit) {
	if !e.Unset && len(e.Name)+len(e.Value)+2 > maxVariable {
		w.left = append(w.left, e.Name+": yours is near the limit of what a command can be given, and was left as it is")
		return
	}
	i := slices.IndexFunc(w.edits, func(other env.Edit) bool { return other.Name == e.Name })
	if i >= 0 {
		w.edits[i] = e
		return
	}
	if _, set := env.Lookup(w.in.Environ, e.Name); e.Unset && !set {
		return
	}
	w.edits = append(w.edits, e)
}

// arguments inserts what goes behind the commands' names and subcommands, the
// last place first so that the others stay where they are. What a tool gets for
// its own sake may overrule a setting as well, and is inserted once.
func (w *planner) arguments(list []detect.PlacedArgv) {
	slices.SortStableFunc(list, func(a, b detect.PlacedArgv) int { return a.Index - b.Index })
	for i, a := range slices.Backward(list) {
		if slices.ContainsFunc(list[:i], func(b detect.PlacedArgv) bool { return b.Index == a.Index && slices.Equal(b.Insert, a.Insert) }) {
			continue
		}
		if !w.known(a.Insert...) {
			continue
		}
		var insert []string
		for _, t := range a.Insert {
			insert = append(insert, w.expand(t))
		}
		w.plan.Argv = slices.Insert(w.plan.Argv, a.Index+1, insert...)
		w.plan.Arguments = append(w.plan.Arguments, Arguments{insert, a.Reason, false})
	}
	slices.Reverse(w.plan.Arguments)
}

// container makes the edits for a container.
func (w *planner) container() {
	c := w.in.Container
	if c == nil {
		return
	}
	for at, arg := range c.Replace {
		w.plan.Argv[at] = arg
	}
	if len(c.Insert) > 0 {
		w.plan.Argv = slices.Insert(w.plan.Argv, c.Behind+1, c.Insert...)
		w.plan.Arguments = append(w.plan.Arguments, Arguments{c.Insert, c.Reason, true})
	}
	for _, e := range c.Env {
		w.put(e)
	}
	if c.Temporary != "" {
		w.plan.Temporary = append(w.plan.Temporary, c.Temporary)
	}
}

func changes(environ []string, edits []env.Edit) []Change {
	var list []Change
	for _, e := range edits {
		old, had := env.Lookup(environ, e.Name)
		c := Change{Name: e.Name, Action: "add", Value: e.Value, Reason: e.Reason}
		switch {
		case e.Unset:
			c.Action, c.Value = "remove", ""
		case had && old == e.Value:
			continue
		case had:
			c.Action = "change"
		}
		list = append(list, c)
	}
	return list
}

package detect

import (
	"cmp"
	"slices"
	"strings"
)

// Contained is a command line that starts a container or builds an image.
type Contained struct {
	Tool
	// Verb is the subcommand, and Builds that it makes an image.
	Verb   string
	Builds bool
	// At is the subcommand's place in the command line, Before are the arguments
	// in front of it.
	At     int
	Before []string
	// Engine are the flags before the subcommand, Flags those behind it.
	Engine, Flags []ContainerFlag
	// Word is the image of a container, or a build's context; "" when it is not
	// given.
	Word string
}

// ContainerFlag is one that the engine is given.
type ContainerFlag struct {
	Name, Value string
	// At is the place of the argument with the value, which begins with Prefix.
	At     int
	Prefix string
}

// LastFlag returns the last of the flags with one of the names.
func LastFlag(flags []ContainerFlag, names ...string) (ContainerFlag, bool) {
	for _, f := range slices.Backward(flags) {
		if slices.Contains(names, f.Name) {
			return f, true
		}
	}
	return ContainerFlag{}, false
}

// contained reads an engine's command line; nil when it starts nothing.
func contained(t Tool) *Contained {
	c := &Contained{Tool: t}
	rest := argReader{args: t.Args, base: t.Index + 1, switches: t.Container.Switches}
	for c.At == 0 {
		word, ok := rest.word(&c.Engine)
		if !ok {
			return nil
		}
		if c.Verb == "" {
			c.Before = t.Args[:rest.i-1]
		}
		c.Verb = strings.TrimSpace(c.Verb + " " + word)
		c.Builds = slices.Contains(t.Container.Build, c.Verb)
		switch {
		case c.Builds, slices.Contains(t.Container.Run, c.Verb):
			c.At = rest.at()
		case !begins(t.Container.Build, c.Verb) && !begins(t.Container.Run, c.Verb):
			return nil
		}
	}
	if !c.Builds { // what follows the image is the container's
		rest.switches = t.Container.RunSwitches
		c.Word, _ = rest.word(&c.Flags)
		return c
	}
	rest.switches = t.Container.BuildSwitches
	for word, ok := rest.word(&c.Flags); ok; word, ok = rest.word(&c.Flags) {
		c.Word = cmp.Or(c.Word, word)
	}
	return c
}

func begins(phrases []string, word string) bool {
	return slices.ContainsFunc(phrases, func(p string) bool { return strings.HasPrefix(p, word+" ") })
}

// argReader divides arguments into flags and words.
type argReader struct {
	args     []string
	base     int // the place of the first in the command line
	switches []string
	i        int
}

// at is the place of what was read last.
func (r *argReader) at() int { return r.base + r.i - 1 }

// word returns the next argument that is no flag, and adds the flags before it;
// false when there is none.
func (r *argReader) word(flags *[]ContainerFlag) (string, bool) {
	for {
		flag, word, ok := r.next()
		if !ok || flag.Name == "" {
			return word, ok
		}
		*flags = append(*flags, flag)
	}
}

// next returns a flag, or else a word; false behind the last.
func (r *argReader) next() (flag ContainerFlag, word string, ok bool) {
	if r.i == len(r.args) {
		return flag, "", false
	}
	arg := r.args[r.i]
	r.i++
	if len(arg) < 2 || arg[0] != '-' {
		return flag, arg, true
	}
	flag = ContainerFlag{Name: arg, At: r.at()}
	name, value, hasValue := strings.Cut(arg, "=")
	switch {
	case hasValue:
		flag.Name, flag.Value, flag.Prefix = name, value, name+"="
		return flag, "", true
	case slices.Contains(r.switches, arg):
		return flag, "", true
	case !strings.HasPrefix(arg, "--"):
		// Of letters together the first that takes a value has the rest for one.
		i := 1
		for i < len(arg) && slices.Contains(r.switches, "-"+arg[i:i+1]) {
			i++
		}
		if i == len(arg) {
			return flag, "", true
		}
		flag.Name = "-" + arg[i:i+1]
		if i+1 < len(arg) {
			flag.Value, flag.Prefix = arg[i+1:], arg[:i+1]
			return flag, "", true
		}
	}
	if r.i < len(r.args) {
		flag.Value = r.args[r.i]
		r.i++
		flag.At = r.at()
	}
	return flag, "", true
}

package profiles

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/profiles/rules"
	"github.com/pelletier/go-toml/v2"
	"github.com/rogpeppe/go-internal/txtar"
)

// Error is what is wrong with a profile, and where.
type Error struct {
	File         string
	Line, Column int
	Err          error
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s:%d:%d: %v", e.File, e.Line, e.Column, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Ending is the ending of a profile's file name.
const Ending = ".txtar"

// parse reads what a run needs: not the rules, and nothing is checked that
// Check has checked before.
func parse(file string, data []byte) (*Profile, error) {
	p := &Profile{Name: strings.TrimSuffix(path.Base(file), Ending), File: file}
	if err := toml.Unmarshal(head(data), p); err != nil {
		return nil, locate(file, data, err)
	}
	return p, nil
}

// head is the TOML at the beginning.
func head(data []byte) []byte {
	if bytes.HasPrefix(data, []byte("-- ")) {
		return nil
	}
	if i := bytes.Index(data, []byte("\n-- ")); i >= 0 {
		return data[:i+1]
	}
	return data
}

// Full is a profile with all that is in its file.
type Full struct {
	Profile
	Canary   *Canary         `toml:"canary"`
	Rules    []rules.Rule    `toml:"rule"`
	Examples []rules.Example `toml:"-"`
}

// Parse reads a profile and checks all of it. Its error is an *Error, or
// several joined.
func Parse(file string, data []byte) (*Full, error) {
	full := &Full{Profile: Profile{Name: strings.TrimSuffix(path.Base(file), Ending), File: file}}
	d := toml.NewDecoder(bytes.NewReader(head(data))).DisallowUnknownFields()
	if err := d.Decode(full); err != nil {
		return nil, locate(file, data, err)
	}
	archive := txtar.Parse(data)
	var errs []error
	for _, f := range archive.Files {
		name, rest, _ := strings.Cut(f.Name, " ")
		class, err := rules.ParseClass(name)
		if err != nil {
			errs = append(errs, at(file, data, "-- "+f.Name, err))
		}
		full.Examples = append(full.Examples, rules.Example{Class: class, Name: rest, Output: string(f.Data)})
	}
	errs = append(errs, full.check(file, data)...)
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return full, nil
}

// locate gives errors of the TOML decoder their places.
func locate(file string, data []byte, err error) error {
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) {
		var errs []error
		for _, e := range strict.Errors {
			line, column := e.Position()
			errs = append(errs, &Error{file, line, column, fmt.Errorf("no field is called %q", strings.Join(e.Key(), "."))})
		}
		return errors.Join(errs...)
	}
	var decode *toml.DecodeError
	if errors.As(err, &decode) {
		line, column := decode.Position()
		return &Error{file, line, column, errors.New(strings.TrimPrefix(decode.Error(), "toml: "))}
	}
	return &Error{file, 1, 1, err}
}

// at is an error about a text of the file, placed where the text is.
func at(file string, data []byte, text string, err error) error {
	before, _, found := bytes.Cut(data, []byte(text))
	if !found || text == "" {
		return &Error{file, 1, 1, err}
	}
	line := 1 + bytes.Count(before, []byte("\n"))
	return &Error{file, line, len(before) - bytes.LastIndexByte(before, '\n'), err}
}

// check finds what the types do not: what is missing, and what contradicts
// itself.
func (p *Full) check(file string, data []byte) []error {
	var errs []error
	complain := func(text, format string, args ...any) {
		errs = append(errs, at(file, data, text, fmt.Errorf(format, args...)))
	}
	if p.Summary == "" {
		complain("", "a summary is missing")
	}
	if len(p.Commands) > 0 && !slices.Equal(p.Commands, commandsOf(data)) {
		complain("commands", "the commands must stand on one line that begins with %q", commandsKey)
	}
	for _, f := range p.Files {
		if f.Name == "" || strings.ContainsAny(f.Name, "/ ") {
			complain(f.Name, "a file needs a plain name, not %q", f.Name)
		}
	}
	for _, e := range p.Env {
		p.checkEnv(e, complain)
	}
	for _, a := range p.Argv {
		p.checkArgv(a, complain)
	}
	if p.Resets != nil && p.Resets.Advice == "" {
		complain("[resets]", "what resets the environment needs advice")
	}
	for _, i := range p.Insecure {
		if (i.Variable == "") == (len(i.Flags) == 0) {
			complain("[[insecure]]", "an insecure entry has either a variable or flags")
		}
		i.Value.Check(complain)
	}
	for _, o := range p.Overrides {
		p.checkOverride(o, complain)
	}
	for i := range p.Rules {
		p.Rules[i].Check(complain)
	}
	p.Voice.Check(complain)
	p.Version.Pattern.Check(complain)
	if p.Canary != nil {
		p.checkCanary(complain)
	}
	return errs
}

func (p *Full) checkCanary(complain rules.Complain) {
	c := p.Canary
	if (len(c.Instead) > 0) != (c.Runtime != "") {
		complain("[canary]", "what is tried instead needs a runtime, and the other way round")
	}
	for name := range c.Files {
		if !fs.ValidPath(name) {
			complain("[canary.files]", "%q is no file of the trial's directory", name)
		}
	}
	for _, t := range slices.Concat(c.Args, c.Instead, c.Env, c.Online, slices.Collect(maps.Values(c.Files))) {
		p.checkTemplate(t, complain)
	}
}

func (p *Full) checkEnv(e Env, complain rules.Complain) {
	named := 0
	for _, name := range []string{e.Set, e.Append, e.Prepend, e.Unset} {
		if name != "" {
			named++
		}
	}
	switch {
	case named != 1:
		complain("[[env]]", "an env entry has one of set, append, prepend and unset, not %d", named)
	case e.Reason == "":
		complain(e.Name(), "%s needs a reason, which users read in exec --dry-run", e.Name())
	case e.Remedy != "" && e.Remedy.Meaning() == "":
		complain(`"`+string(e.Remedy)+`"`, "no class is called %q; there are %v", e.Remedy, rules.Classes())
	case e.Unset != "" && e.Value != "":
		complain(e.Name(), "%s is unset and cannot have a value", e.Name())
	}
	p.checkTemplate(e.Value, complain)
}

func (p *Full) checkArgv(a Argv, complain rules.Complain) {
	switch {
	case len(a.Insert) == 0 || a.Reason == "":
		complain("[[argv]]", "an argv entry needs insert and a reason")
	case a.Behind != "" && a.Behind != BehindSubcommand:
		complain(`"`+a.Behind+`"`, "arguments go behind the command's name, or behind = %q, not %q", BehindSubcommand, a.Behind)
	case a.Inside:
		complain("inside", "where a tool is started inside another, its arguments are out of reach")
	}
	for _, t := range a.Insert {
		p.checkTemplate(t, complain)
	}
	a.UnlessMatch.Check(complain)
}

func (p *Full) checkTemplate(t Template, complain rules.Complain) {
	for _, name := range t.Names() {
		file, ok := strings.CutPrefix(name, "file.")
		switch {
		case ok && !p.hasFile(file):
			complain("{"+name+"}", "no [[file]] is called %q", file)
		case !ok && factNames[name] == "":
			complain("{"+name+"}", "{%s} is nothing that can be filled in; there are %v and {file.NAME}", name, slices.Sorted(maps.Keys(factNames)))
		}
	}
}

func (p *Full) hasFile(name string) bool {
	for _, f := range p.Files {
		if f.Name == name {
			return true
		}
	}
	return false
}

func (p *Full) checkOverride(o Override, complain rules.Complain) {
	switch {
	case o.Code == "":
		complain("[[override]]", "an override needs a code")
	case len(o.Files) == 0 && len(o.Variables) == 0:
		complain(o.Code, "%s names no files", o.Code)
	case len(o.Variables) > 0 && (o.Append == "" || o.Reason == ""):
		complain(o.Code, "%s names variables, and needs append and a reason for them", o.Code)
	case o.Is != "proxy" && o.Is != "ca" && o.Is != "insecure" && o.Is != "other":
		complain(o.Code, "%s must say what it is: proxy, ca, insecure or other, not %q", o.Code, o.Is)
	case len(o.Env) == 0 && len(o.Argv) == 0 && o.Append == "" && o.Advice == "":
		complain(o.Code, "%s needs env or argv that overrule it, or advice", o.Code)
	}
	o.Match.Check(complain)
	if re, err := regexp.Compile(string(o.Match)); err == nil && re.NumSubexp() != 1 {
		complain(string(o.Match), "the match of %s needs one group, for the value", o.Code)
	}
	p.checkTemplate(o.Append, complain)
	for _, e := range o.Env {
		p.checkEnv(e, complain)
	}
	for _, a := range o.Argv {
		p.checkArgv(a, complain)
	}
}

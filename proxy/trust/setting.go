package trust

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/proxy/rundir"
)

// setting is one tool's key in its configuration file. It is only set where the
// user names the tool: a file of the user's is at stake.
type setting struct {
	store string
	// file is the one to edit, also are those that count beside it.
	file func(*System) string
	also func(*System) []string
	layout
	// lines set the key to the value; value says which file of ours that is.
	lines func(value string) []string
	value func(*Anchor) string
	// copied is where a copy of that file goes, which all users can read; nil and
	// "" for none.
	copied func(*System) string
	// tool is the program, where it has another name than the store.
	tool string
	// ask makes the tool say what it reads from the file; nil where no tool can.
	ask func(file string) helper
	// answers finds the value in what the tool prints, as group 1.
	answers func() *regexp.Regexp
	// closed finds a line behind which nothing can be added, nil where there is
	// none such.
	closed func() *regexp.Regexp
}

var wholeLine = pattern(`^(.*)\n$`)

func bundleOf(a *Anchor) string    { return a.Bundle }
func javaStoreOf(a *Anchor) string { return a.JavaStore }

func noneBeside(*System) []string { return nil }

func line(format string) func(string) []string {
	return func(value string) []string { return []string{fmt.Sprintf(format, value)} }
}

// fileOf is the file that a variable names, else the one below the home directory.
func fileOf(variable, name string) func(*System) string {
	return func(w *System) string { return cmp.Or(w.Getenv(variable), filepath.Join(w.Home, name)) }
}

func (s setting) find(w *System) []string {
	path, err := filepath.Abs(s.file(w)) // a variable may name it from here
	if err != nil {
		return nil
	}
	return []string{path}
}

func (s setting) open(w *System, path, name string) *Location {
	store := &settingStore{setting: s, path: path, also: slices.DeleteFunc(s.also(w), func(file string) bool { return file == path })}
	p := &Location{Store: s.store, Path: path, name: name, files: []string{path}, tool: cmp.Or(s.tool, s.store), backend: store}
	if s.copied != nil {
		if store.copy = s.copied(w); store.copy != "" {
			p.files = append(p.files, store.copy)
		}
	}
	return p
}

type settingStore struct {
	setting
	path string
	also []string
	copy string
}

// wanted is the value that the key should have.
func (s *settingStore) wanted(a *Anchor) string {
	if s.copy != "" {
		return s.copy
	}
	return s.value(a)
}

// found is what configuration files say about a key.
type found struct {
	// inside are the lines between our marks, nil for none.
	inside []string
	// file, line and value are the user's own setting.
	file, value string
	line        int
	// key is how the user's line begins.
	key string
	// says is what the tool itself answers, "" for nothing.
	says string
	// of is whose they are.
	of *settingStore
}

func (s *settingStore) read() (contents, error) {
	f := &found{of: s}
	for _, file := range append([]string{s.path}, s.also...) {
		raw, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return contents{}, err
		}
		d := parseDocument(raw)
		if from, to, ok := d.block(); ok && file == s.path {
			f.inside = d.lines[from+1 : to-1]
		} else if slices.Contains(d.lines, blockBegin) && file == s.path {
			return contents{}, fmt.Errorf("line %d begins our lines and nothing ends them; delete them", slices.Index(d.lines, blockBegin)+1)
		}
		if line, value := d.setting(s.layout); line >= 0 && f.file == "" {
			f.file, f.line, f.value, f.key = file, line+1, value, strings.TrimSpace(d.lines[line])
		}
	}
	if f.inside != nil {
		f.says = s.answer()
	}
	return contents{setting: f}, nil
}

// judge says what the files come down to for the anchor.
func (f *found) judge(r Report, a *Anchor) Report {
	want := ""
	if a != nil {
		want = f.of.wanted(a)
	}
	lines := slices.DeleteFunc(slices.Clone(f.inside), header().MatchString)
	switch {
	case f.file != "" && (f.inside != nil || f.value != want):
		r.State, r.Detail = Taken, fmt.Sprintf("%s:%d says %s", f.file, f.line, f.key)
		if a != nil {
			r.Fix = fmt.Sprintf("delete that line, or put the certificates of %s into the file that it names", a.File)
		}
	case f.file != "":
		r.State, r.Detail = Trusted, fmt.Sprintf("by line %d", f.line)
	case f.inside == nil:
		r.State = Absent
	case !slices.Equal(lines, f.of.lines(want)):
		r.State, r.Detail = Earlier, "points at another file: "+strings.Join(lines, " ")
	case f.of.copy != "" && a != nil && !sameContent(f.of.copy, f.of.value(a)):
		r.State, r.Detail = Earlier, f.of.copy+" is a copy of an earlier bundle"
	case f.says != "" && f.says != want:
		r.State, r.Detail = Taken, fmt.Sprintf("%s reads %s from elsewhere", f.of.store, f.says)
	default:
		r.State = Trusted
	}
	return r
}

func sameContent(a, b string) bool {
	one, _, err1 := observe(a)
	two, _, err2 := observe(b)
	return err1 == nil && err2 == nil && one.is(two)
}

// answer is what the tool says; one that is not here, is too old for the
// question or finds nothing says nothing.
func (s *settingStore) answer() string {
	if s.ask == nil {
		return ""
	}
	h := s.ask(s.path)
	path := program(h.argv[0])
	if path == "" {
		return ""
	}
	h.argv = append([]string{path}, h.argv[1:]...)
	out, err := h.run()
	if err != nil {
		return ""
	}
	if m := s.answers().FindSubmatch(out); m != nil {
		return strings.TrimSpace(string(m[1]))
	}
	return ""
}

func (s *settingStore) add(a *Anchor) error {
	like, raw, err := observe(s.path)
	if err != nil {
		return err
	}
	d := parseDocument(raw)
	if s.closed != nil && slices.ContainsFunc(d.lines, s.closed().MatchString) {
		return fmt.Errorf("it is not one plain mapping, and is left to you; add: %s", s.lines(s.wanted(a))[0])
	}
	if s.copy != "" {
		data, err := os.ReadFile(s.value(a))
		if err == nil {
			err = replaceFile(s.copy, data, nil)
		}
		if err != nil {
			return err
		}
	}
	return replaceFile(s.path, d.insert(s.layout, s.lines(s.wanted(a))).bytes(), like)
}

// take removes our lines, or one that says the same: some tools write their
// file anew, without comments.
func (s *settingStore) take() error {
	if s.copy != "" {
		if err := os.Remove(s.copy); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	like, raw, err := observe(s.path)
	if err != nil || like == nil {
		return err
	}
	d := parseDocument(raw)
	if _, _, ok := d.block(); ok {
		return replaceFile(s.path, d.remove().bytes(), like)
	}
	for {
		line, value := d.setting(s.layout)
		if line < 0 || !inState(value) {
			return replaceFile(s.path, d.bytes(), like)
		}
		d.lines = slices.Delete(d.lines, line, line+1)
	}
}

// inState recognises a file of a state directory.
func inState(path string) bool {
	_, err := os.Stat(filepath.Join(filepath.Dir(path), rundir.CertFile))
	return err == nil
}

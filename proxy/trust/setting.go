package trust

import (
	"cmp"
	"encoding/json"
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
	file func(*World) string
	also func(*World) []string
	layout
	// lines set the key to the value; value says which file of ours that is.
	lines func(value string) []string
	value func(*Anchor) string
	// copied is where a copy of that file goes, which all users can read; nil and
	// "" for none.
	copied func(*World) string
	// tool is the program, where it has another name than the store.
	tool string
	// ask makes the tool say what it reads from the file; nil where no tool can.
	ask func(file string) helper
	// answers finds the value in what the tool prints, as group 1.
	answers func() *regexp.Regexp
}

var wholeLine = pattern(`^(.*)\n$`)

func bundleOf(a *Anchor) string    { return a.Bundle }
func javaStoreOf(a *Anchor) string { return a.JavaStore }

func noneBeside(*World) []string { return nil }

func line(format string) func(string) []string {
	return func(value string) []string { return []string{fmt.Sprintf(format, value)} }
}

// fileOf is the file that a variable names, else the one below the home directory.
func fileOf(variable, name string) func(*World) string {
	return func(w *World) string { return cmp.Or(w.Getenv(variable), filepath.Join(w.Home, name)) }
}

// settings is the table. Which key a tool obeys, and over which other, was
// measured for the profiles (profiles/tools).
var settings = []setting{
	{
		store: "bazel",
		file: func(w *World) string {
			if w.Admin {
				return filepath.Join(w.Root, "/etc/bazel.bazelrc")
			}
			return filepath.Join(w.Home, ".bazelrc")
		},
		also:   noneBeside,
		layout: layout{keys: pattern(`^\s*startup\b.*-Djavax\.net\.ssl\.trustStore=(\S+)`)},
		lines: func(value string) []string {
			return []string{
				`startup "--host_jvm_args=-Djavax.net.ssl.trustStore=` + value + `"`,
				"startup --host_jvm_args=-Djavax.net.ssl.trustStorePassword=" + JVMPassword,
			}
		},
		value: javaStoreOf,
		copied: func(w *World) string {
			if w.Admin {
				return filepath.Join(w.Root, "/etc/bazel.agentproxy.p12")
			}
			return ""
		},
	},
	{
		store: "boto", tool: "gsutil",
		file:   fileOf("BOTO_CONFIG", ".boto"),
		also:   func(w *World) []string { return []string{filepath.Join(w.Root, "/etc/boto.cfg")} },
		layout: layout{section: "Boto", keys: pattern(`(?i)^\s*ca_certificates_file\s*[=:]\s*(.*)`)},
		lines:  line("ca_certificates_file = %s"),
		value:  bundleOf,
	},
	{
		store:  "npm",
		file:   fileOf("NPM_CONFIG_USERCONFIG", ".npmrc"),
		also:   noneBeside,
		layout: layout{keys: pattern(`^\s*(?:cafile|ca|ca\[\])\s*=\s*(.*)`)},
		lines:  line("cafile=%s"),
		value:  bundleOf,
		ask: func(file string) helper {
			return helper{argv: []string{"npm", "config", "get", "cafile", "--userconfig", file}, env: []string{"npm_config_cafile=", "NPM_CONFIG_CAFILE=", "npm_config_logs_max=0"}}
		},
		answers: wholeLine,
	},
	{
		store: "pip",
		file: func(w *World) string {
			if file := w.Getenv("PIP_CONFIG_FILE"); file != "" {
				return file
			}
			mac := filepath.Join(w.Home, "Library", "Application Support", "pip")
			if _, err := os.Stat(mac); err == nil {
				return filepath.Join(mac, "pip.conf")
			}
			return filepath.Join(w.xdg("XDG_CONFIG_HOME", ".config"), "pip", "pip.conf")
		},
		also:   func(w *World) []string { return []string{filepath.Join(w.Home, ".pip", "pip.conf")} },
		layout: layout{section: "global", keys: pattern(`(?i)^\s*cert\s*[=:]\s*(.*)`)},
		lines:  line("cert = %s"),
		value:  bundleOf,
		ask: func(file string) helper {
			// "config get" does not look into PIP_CONFIG_FILE (pip 23.2).
			return helper{argv: []string{"pip", "--disable-pip-version-check", "config", "list"}, env: []string{"PIP_CONFIG_FILE=" + file}}
		},
		answers: pattern(`(?m)^global\.cert='(.*)'$`),
	},
	{
		store:  "git",
		file:   gitFile,
		also:   gitFiles,
		layout: layout{section: "http", atEnd: true, keys: pattern(`(?i)^\s*sslcainfo\s*=\s*(.*)`)},
		lines:  func(value string) []string { return []string{"\tsslCAInfo = " + quoted(value)} },
		value:  bundleOf,
		ask: func(file string) helper {
			return helper{argv: []string{"git", "config", "--file", file, "--includes", "--get", "http.sslCAInfo"}}
		},
		answers: wholeLine,
	},
	{
		store: "conda",
		file:  fileOf("CONDARC", ".condarc"),
		also: func(w *World) []string {
			return w.user(".config/conda/.condarc", ".conda/.condarc", ".condarc.d/*.yml")
		},
		layout: layout{keys: pattern(`^["']?(?:ssl_verify|verify_ssl)["']?\s*:\s*(.*)`)},
		lines:  func(value string) []string { return []string{"ssl_verify: " + quoted(value)} },
		value:  bundleOf,
		ask: func(file string) helper {
			return helper{argv: []string{"conda", "config", "--file", file, "--get", "ssl_verify"}}
		},
		answers: pattern(`(?m)^--set ssl_verify (.*)$`),
	},
}

// gitFiles are the user's two; git reads both, and the one in the home directory
// wins.
func gitFiles(w *World) []string {
	if file := w.Getenv("GIT_CONFIG_GLOBAL"); file != "" {
		return []string{file}
	}
	return []string{filepath.Join(w.Home, ".gitconfig"), filepath.Join(w.xdg("XDG_CONFIG_HOME", ".config"), "git", "config")}
}

// gitFile is the one that git would write to.
func gitFile(w *World) string {
	files := gitFiles(w)
	for _, file := range files {
		if _, err := os.Stat(file); err == nil {
			return file
		}
	}
	return files[0]
}

// quoted is a text in double quotes, as JSON, YAML and git write it.
func quoted(s string) string {
	raw, err := json.Marshal(s)
	if err != nil {
		return s // a string can always be written
	}
	return string(raw)
}

func (s setting) find(w *World) []string {
	path, err := filepath.Abs(s.file(w)) // a variable may name it from here
	if err != nil {
		return nil
	}
	return []string{path}
}

func (s setting) open(w *World, path, name string) *Place {
	store := &settingStore{setting: s, path: path, also: slices.DeleteFunc(s.also(w), func(file string) bool { return file == path })}
	p := &Place{Store: s.store, Path: path, name: name, files: []string{path}, acts: store}
	if s.copied != nil {
		if store.copy = s.copied(w); store.copy != "" {
			p.files = append(p.files, store.copy)
		}
	}
	return p
}

// Present tells whether there is a reason to set the store up without being
// asked for it by name: its file, or its tool.
func (p *Place) Present() bool {
	s, ok := p.acts.(*settingStore)
	if !ok {
		return true
	}
	tool := s.tool
	if tool == "" {
		tool = s.store
	}
	_, err := os.Stat(p.Path)
	return err == nil || program(tool) != ""
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

func (s *settingStore) read() (holding, error) {
	f := &found{of: s}
	for _, file := range append([]string{s.path}, s.also...) {
		raw, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return holding{}, err
		}
		d := parseDocument(raw)
		if from, to, ok := d.block(); ok && file == s.path {
			f.inside = d.lines[from+1 : to-1]
		} else if slices.Contains(d.lines, blockBegin) && file == s.path {
			return holding{}, fmt.Errorf("line %d begins our lines and nothing ends them; delete them", slices.Index(d.lines, blockBegin)+1)
		}
		if line, value := d.setting(s.layout); line >= 0 && f.file == "" {
			f.file, f.line, f.value, f.key = file, line+1, value, strings.TrimSpace(d.lines[line])
		}
	}
	if f.inside != nil {
		f.says = s.answer()
	}
	return holding{setting: f}, nil
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
	if s.store == "conda" && slices.ContainsFunc(d.lines, notPlainYAML().MatchString) {
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

// notPlainYAML are the lines of a document behind which nothing can be added: in
// braces, or one of several.
var notPlainYAML = pattern(`^(\{|\.\.\.|---\s*\S)`)

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

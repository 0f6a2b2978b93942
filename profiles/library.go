package profiles

import (
	"bytes"
	"embed"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/agentproxy/agentproxy/profiles/rules"
	"github.com/pelletier/go-toml/v2"
)

//go:embed tools/*.txtar
var builtIn embed.FS

// BaseName is the profile that applies to every command.
const BaseName = "base"

// Library is where profiles are: the user's own first, then those built in. It
// may be used by several goroutines at a time.
type Library struct {
	places []fs.FS
	dirs   []string // their names, for messages

	mu     sync.Mutex
	parsed map[string]*Profile

	// commands are, for each place, the profiles by their commands. They are read
	// once: a script may start a thousand. No profile is parsed for it.
	commands func() []map[string]string
}

// Open returns the library with the user's profiles in dir, which need not
// exist.
func Open(dir string) *Library {
	tools, err := fs.Sub(builtIn, "tools")
	if err != nil {
		panic(err) // the embedded directory has this name
	}
	l := &Library{places: []fs.FS{tools}, dirs: []string{""}, parsed: map[string]*Profile{}}
	if info, err := os.Stat(dir); dir != "" && err == nil && info.IsDir() {
		l.places = []fs.FS{os.DirFS(dir), tools}
		l.dirs = []string{dir, ""}
	}
	l.commands = sync.OnceValue(l.readCommands)
	return l
}

// Names returns the names of all profiles, sorted.
func (l *Library) Names() []string {
	var names []string
	for _, place := range l.places {
		files, _ := fs.Glob(place, "*"+Ending)
		for _, f := range files {
			names = append(names, strings.TrimSuffix(f, Ending))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Read returns a profile's file and where it is.
func (l *Library) Read(name string) (file string, data []byte, err error) {
	if strings.ContainsAny(name, "/\\") {
		return "", nil, fs.ErrNotExist
	}
	for i, place := range l.places {
		data, err = fs.ReadFile(place, name+Ending)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return filepath.Join(l.dirs[i], name+Ending), data, err
		}
	}
	return "", nil, err
}

// Named returns the profile of that name, nil when there is none.
func (l *Library) Named(name string) (*Profile, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p, ok := l.parsed[name]; ok {
		return p, nil
	}
	file, data, err := l.Read(name)
	if errors.Is(err, fs.ErrNotExist) {
		l.parsed[name] = nil
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p, err := parse(file, data)
	if err != nil {
		return nil, err
	}
	l.parsed[name] = p
	return p, nil
}

// GenericName is the profile whose rules hold for every command.
const GenericName = "generic"

// Words are how the failures of a profile's tool read.
type Words struct {
	Rules []rules.Rule  `toml:"rule"`
	Voice rules.Pattern `toml:"voice"`
}

// Words returns those of the profile of that name, none when there is no such
// profile. What else is in the file is not looked at.
func (l *Library) Words(name string) (Words, error) {
	var words Words
	file, data, err := l.Read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return words, nil
	}
	if err != nil {
		return words, err
	}
	head := head(data)
	if !bytes.Contains(head, []byte("[[rule]]")) && !bytes.Contains(head, []byte("\nvoice ")) {
		return words, nil // most have none, and reading TOML takes time
	}
	if err := toml.Unmarshal(head, &words); err != nil {
		return words, locate(file, data, err)
	}
	return words, nil
}

// Unversioned is a command's name without a version at its end: python for
// python3.13.
func Unversioned(name string) string {
	bare := strings.TrimRight(name, "0123456789.")
	if !strings.ContainsAny(name[len(bare):], "0123456789") {
		return name
	}
	return strings.TrimRight(bare, "-")
}

// ForCommand returns the profile that covers a command, given by name or path,
// nil when none does. The name as it is comes first, then without a version.
func (l *Library) ForCommand(command string) (*Profile, error) {
	name := path.Base(command)
	for _, name := range []string{name, Unversioned(name)} {
		if name == "" {
			continue
		}
		for _, tools := range l.commands() {
			if tool := tools[name]; tool != "" {
				return l.Named(tool)
			}
		}
	}
	return nil, nil
}

// ReadIndex reads which commands the profiles cover, which the first question
// about a command would do as well. It may run beside other calls.
func (l *Library) ReadIndex() {
	defer func() { _ = recover() }() // whoever asks meets the panic again (sync.OnceValue)
	l.commands()
}

// Commands are the names that profiles cover, sorted.
func (l *Library) Commands() []string {
	var names []string
	for _, tools := range l.commands() {
		names = slices.AppendSeq(names, maps.Keys(tools))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// readCommands reads the profiles' lines of commands.
func (l *Library) readCommands() []map[string]string {
	var all []map[string]string
	for _, place := range l.places {
		tools := map[string]string{}
		files, _ := fs.ReadDir(place, ".")
		for _, f := range files {
			tool, ok := strings.CutSuffix(f.Name(), Ending)
			if !ok {
				continue
			}
			for _, command := range commandsOf(beginning(place, f.Name())) {
				if tools[command] == "" {
					tools[command] = tool
				}
			}
		}
		all = append(all, tools)
	}
	return all
}

// beginning is as much of a file as holds its line of commands.
func beginning(place fs.FS, name string) []byte {
	f, err := place.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	buf := make([]byte, 1024)
	n, _ := io.ReadFull(f, buf)
	return buf[:n]
}

const commandsKey = "commands = ["

// commandsOf returns what the line of commands names.
func commandsOf(data []byte) []string {
	data = data[:min(len(data), 1024)]
	i := bytes.Index(data, []byte(commandsKey))
	if i < 0 || i > 0 && data[i-1] != '\n' {
		return nil
	}
	line, _, _ := bytes.Cut(data[i+len(commandsKey):], []byte("\n"))
	var names []string
	for n, part := range strings.Split(string(line), `"`) {
		if n%2 == 1 {
			names = append(names, part)
		}
	}
	return names
}

package config

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/rundir"
)

// group is a name that stands for the hosts that a tool is configured for on this
// machine. No host is given here: all come from the tool's own settings, or from the
// files of the tool that hold its defaults.
type group struct {
	name string
	// variables hold URLs, and replace the default when set.
	variables []string
	// files are patterns of paths: "~/" is the home, "./" the working directory and
	// those above it, "$NAME/" a variable's directory.
	files []string
	// replaces marks a line of a file that takes the default's place.
	replaces string
	// tool is the program whose installed files, relative to it, hold the default; host
	// finds it in them.
	tool     string
	defaults []string
	host     string
	// ask returns more, from the tool itself.
	ask func(m machine) []string
}

var groups = []group{
	{name: "pip", variables: []string{"PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX"},
		files:    []string{"$PIP_CONFIG_FILE", "/etc/pip.conf", "/etc/xdg/pip/pip.conf", "~/.pip/pip.conf", "$XDG_CONFIG_HOME/pip/pip.conf", "~/.config/pip/pip.conf"},
		replaces: `^\s*index-url\s*=`,
		tool:     "pip", defaults: []string{"../lib/python3*/site-packages/pip/_internal/models/index.py", "../lib/python3/dist-packages/pip/_internal/models/index.py",
			"../versions/*/lib/python3*/site-packages/pip/_internal/models/index.py"},
		host: `PackageIndex\(\s*"https://([^/"]+)/?"(?:,\s*file_storage_domain="([^"]+)")?`},
	{name: "npm", variables: []string{"npm_config_registry", "NPM_CONFIG_REGISTRY"},
		files:    []string{"./.npmrc", "~/.npmrc", "$NPM_CONFIG_USERCONFIG", "/etc/npmrc", "/usr/etc/npmrc", "/usr/local/etc/npmrc", "./.yarnrc.yml", "~/.yarnrc.yml"},
		replaces: `^\s*(registry\s*=|npmRegistryServer:)`,
		tool:     "npm", defaults: []string{"../node_modules/@npmcli/config/lib/definitions/definitions.js", "../lib/node_modules/npm/node_modules/@npmcli/config/lib/definitions/definitions.js"},
		host: `'registry',\s*\{\s*default:\s*'https://([^/']+)`},
	{name: "cargo", files: []string{"./.cargo/config.toml", "./.cargo/config", "$CARGO_HOME/config.toml", "~/.cargo/config.toml", "~/.cargo/config"}},
	{name: "go", ask: goHosts},
	{name: "maven", files: []string{"~/.m2/settings.xml", "$MAVEN_HOME/conf/settings.xml", "/etc/maven/settings.xml"}},
	{name: "apt", files: []string{"/etc/apt/sources.list", "/etc/apt/sources.list.d/*.list", "/etc/apt/sources.list.d/*.sources"}},
	{name: "git", ask: gitHosts},
}

// Groups are the names that may stand in a policy as @name.
func Groups() (names []string) {
	for _, g := range groups {
		names = append(names, g.name)
	}
	return names
}

// expand replaces the groups in entries by their hosts; each keeps the group's name
// behind it. empty are the groups that stand for nothing here.
func (m machine) expand(entries []string) (expanded, empty []string) {
	for _, entry := range entries {
		name := groupOf(entry)
		if name == "" {
			expanded = append(expanded, entry)
			continue
		}
		hosts := m.hosts(groups[slices.Index(Groups(), name)])
		for _, host := range hosts {
			expanded = append(expanded, strings.Replace(entry, "@"+name, host, 1)+" (@"+name+")")
		}
		if len(hosts) == 0 && !slices.Contains(empty, name) {
			empty = append(empty, name)
		}
	}
	return expanded, empty
}

// groupOf is the group that an entry names, "" when it names none.
func groupOf(entry string) string {
	for word := range strings.FieldsSeq(entry) {
		if name, ok := strings.CutPrefix(word, "@"); ok {
			return name
		}
	}
	return ""
}

// checkGroups returns an error for a name that is no group, and else the entries with
// a host in place of each, which is none, to be checked as entries.
func checkGroups(entries []string) ([]string, error) {
	checked := slices.Clone(entries)
	for i, entry := range entries {
		if name := groupOf(entry); name != "" && !slices.Contains(Groups(), name) {
			return nil, fmt.Errorf("@%s is no group: there are @%s", name, strings.Join(Groups(), ", @"))
		} else if name != "" {
			checked[i] = strings.Replace(entry, "@"+name, "group.invalid", 1)
		}
	}
	return checked, nil
}

// machine is where settings are looked for.
type machine struct {
	getenv func(string) string
	dir    string // the working directory, "" where there is none
	root   string // before absolute paths, for tests
}

// hosts are what the group stands for, as entries of a policy, each once.
func (m machine) hosts(g group) []string {
	var found []string
	replaced := false
	add := func(text string) {
		for _, host := range hostsIn(text) {
			if !slices.Contains(found, host) {
				found = append(found, host)
			}
		}
	}
	for _, name := range g.variables {
		if value := m.getenv(name); value != "" {
			add(value)
			replaced = true
		}
	}
	for _, text := range m.texts(g.files) {
		add(text)
		replaced = replaced || g.replaces != "" && regexp.MustCompile("(?m)"+g.replaces).MatchString(text)
	}
	if !replaced && g.tool != "" {
		add(m.builtin(g))
	}
	if g.ask != nil {
		add(strings.Join(g.ask(m), "\n"))
	}
	return found
}

// texts are the files that are there, without comments.
func (m machine) texts(patterns []string) (list []string) {
	for _, pattern := range patterns {
		for _, path := range m.places(pattern) {
			paths, _ := filepath.Glob(path) // the patterns are right
			for _, path := range paths {
				if raw, err := os.ReadFile(path); err == nil {
					list = append(list, withoutComments(string(raw)))
				}
			}
		}
	}
	return list
}

func (m machine) places(pattern string) []string {
	head, rest, _ := strings.Cut(pattern, "/")
	switch {
	case head == "~":
		if home, err := rundir.Home(m.getenv); err == nil {
			return []string{filepath.Join(home, rest)}
		}
	case strings.HasPrefix(head, "$"):
		if dir := m.getenv(head[1:]); dir != "" {
			return []string{filepath.Join(dir, rest)}
		}
	case head == ".":
		return above(m.dir, rest)
	default:
		return []string{filepath.Join(m.root, pattern)}
	}
	return nil
}

// above are the paths of a file in a directory and in those above it.
func above(dir, file string) (paths []string) {
	for dir != "" {
		paths = append(paths, filepath.Join(dir, file))
		parent := filepath.Dir(dir)
		if parent == dir {
			break
		}
		dir = parent
	}
	return paths
}

var xmlComment = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?s)<!--.*?-->`) })

// withoutComments drops them, and lines about proxies and namespaces, whose URLs are
// none that the tool fetches from.
func withoutComments(text string) string {
	isXML := strings.Contains(text, "</settings>")
	var kept []string
	for line := range strings.Lines(xmlComment().ReplaceAllString(text, "")) {
		trimmed := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(trimmed, "#"), strings.HasPrefix(trimmed, ";"):
		case strings.Contains(strings.ToLower(trimmed), "proxy"):
		case isXML && !strings.Contains(trimmed, "<url>"):
		default:
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

var urlInText = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?:https|ssh)://[^\s"'<>|,\]]+`) })

// hostsIn are the hosts of the URLs in a text.
func hostsIn(text string) (hosts []string) {
	for _, found := range urlInText().FindAllString(text, -1) {
		u, err := url.Parse(found)
		if err != nil {
			continue
		}
		authority := u.Host
		if u.Scheme == "ssh" { // goes over HTTPS in a run
			authority = u.Hostname()
		}
		if t, err := policy.ParseAuthority(authority, 443); err == nil {
			hosts = append(hosts, strings.TrimSuffix(t.String(), ":443"))
		}
	}
	return hosts
}

// builtin is the default that the installed tool itself has, as URLs.
func (m machine) builtin(g group) string {
	program := m.program(g.tool)
	if program == "" {
		return ""
	}
	var urls []string
	for _, pattern := range g.defaults {
		paths, _ := filepath.Glob(filepath.Join(filepath.Dir(program), pattern)) // the patterns are right
		for _, path := range paths {
			raw, err := os.ReadFile(path)
			if err != nil {
				continue
			}
			if found := regexp.MustCompile(g.host).FindSubmatch(raw); found != nil {
				for _, host := range found[1:] {
					if len(host) > 0 {
						urls = append(urls, "https://"+string(host))
					}
				}
			}
		}
	}
	return strings.Join(urls, "\n")
}

// program is the real path of the first one in PATH; "" where there is none.
func (m machine) program(name string) string {
	for _, dir := range filepath.SplitList(m.getenv("PATH")) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			if real, err := filepath.EvalSymlinks(path); err == nil {
				return real
			}
		}
	}
	return ""
}

// goHosts are what GOPROXY and GOSUMDB come to: by the environment, the user's file, or
// the one of the installation.
func goHosts(m machine) (urls []string) {
	var files []string
	for _, pattern := range []string{"$GOENV", "$XDG_CONFIG_HOME/go/env", "~/.config/go/env"} {
		files = append(files, m.places(pattern)...)
	}
	if program := m.program("go"); program != "" {
		files = append(files, filepath.Join(filepath.Dir(program), "../go.env"))
	}
	value := func(name string) string {
		if v := m.getenv(name); v != "" {
			return v
		}
		for _, file := range files {
			text, _ := os.ReadFile(file) // one that is not there says nothing
			for line := range strings.Lines(string(text)) {
				if v, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok && v != "" {
					return v
				}
			}
		}
		return ""
	}
	urls = append(urls, value("GOPROXY"))
	for _, word := range strings.Fields(value("GOSUMDB")) { // a name, maybe with its key; maybe a URL
		name, _, _ := strings.Cut(word, "+")
		if strings.Contains(name, ".") && !strings.Contains(name, "/") {
			word = "https://" + name
		}
		urls = append(urls, word)
	}
	return urls
}

// scpForm is git's user@host:path.
var scpForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(?:[\w.+-]+@)?([A-Za-z0-9.-]+\.[A-Za-z0-9-]+):[^/\s][^\s]*$`)
})

// gitTimeout is how long git may take to tell its settings.
const gitTimeout = 2 * time.Second

// gitHosts are the repository's remotes, and what URLs are rewritten to.
func gitHosts(m machine) (urls []string) {
	program := m.program("git")
	if program == "" || m.dir == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), gitTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "config", "--get-regexp", `^(remote\..*\.(push)?url|url\..*\.insteadof)$`)
	cmd.Dir = m.dir
	out, err := cmd.Output()
	if err != nil {
		return nil // no repository, no remote
	}
	for line := range strings.Lines(string(bytes.TrimSpace(out))) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if rewritten, ok := strings.CutPrefix(key, "url."); ok {
			value = strings.TrimSuffix(rewritten, ".insteadof")
		}
		if found := scpForm().FindStringSubmatch(value); found != nil {
			value = "ssh://" + found[1]
		}
		urls = append(urls, value)
	}
	return urls
}

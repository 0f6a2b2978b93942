package gitenv

import (
	"bytes"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/profiles/detect"
	"github.com/agentproxy/agentproxy/profiles/env"
)

// System is what of the machine may be looked at for git.
type System struct {
	detect.System
	// Config returns what "git config --list --show-origin -z" prints.
	Config func() []byte
	// AgentKeys returns how many keys the SSH agent at a socket holds.
	AgentKeys func(socket string) int
}

// Detect looks for settings that lead past the tunnel, and for an SSH set-up of
// the user's own. hosts are rewritten beside DefaultHosts.
func Detect(w System, hosts []string) *Git {
	g := &Git{hosts: slices.Concat(DefaultHosts, hosts), cargo: w.LookPath("git") != ""}
	var settings []setting
	if suspicious(w) {
		settings = parseConfig(w.Config())
	}
	for _, s := range settings {
		g.judge(w, s)
	}
	g.OwnSSH = ownSSH(w, g.hosts, settings)
	return g
}

// telling are words without which no file has a setting of interest.
var telling = [][]byte{[]byte("proxy"), []byte("ssl"), []byte("insteadof"), []byte("sshcommand"), []byte("include")}

// suspicious looks at the files before git is run: most hold none of it.
func suspicious(w System) bool {
	if entries, ok := fromEnvironment(w.Environ); ok && len(entries) > 0 {
		return true
	}
	for _, place := range configFiles(w) {
		data, err := w.ReadFile(place)
		if err != nil {
			continue
		}
		data = bytes.ToLower(data)
		if slices.ContainsFunc(telling, func(word []byte) bool { return bytes.Contains(data, word) }) {
			return true
		}
	}
	return false
}

// configFiles are the files that git reads (git-config(1), FILES), in a
// repository up to its top.
func configFiles(w System) []string {
	get := func(name string) string { return env.Get(w.Environ, name) }
	var files []string
	add := func(variable string, defaults ...string) {
		if file := get(variable); file != "" {
			defaults = []string{file}
		}
		files = append(files, defaults...)
	}
	xdg := get("XDG_CONFIG_HOME")
	if xdg == "" {
		xdg = filepath.Join(w.Home, ".config")
	}
	add("GIT_CONFIG_SYSTEM", "/etc/gitconfig")
	add("GIT_CONFIG_GLOBAL", filepath.Join(xdg, "git", "config"), filepath.Join(w.Home, ".gitconfig"))
	for dir := w.Dir; ; dir = filepath.Dir(dir) {
		if config := filepath.Join(dir, ".git", "config"); w.Exists(config) {
			return append(files, config)
		}
		if w.Exists(filepath.Join(dir, ".git")) { // a file: a worktree or a submodule has its configuration elsewhere
			return append(files, filepath.Join(dir, ".git"))
		}
		if dir == filepath.Dir(dir) {
			return files
		}
	}
}

// setting is one line of "git config --list --show-origin -z".
type setting struct {
	origin string
	entry
}

// parseConfig reads pairs of origin NUL key LF value NUL.
func parseConfig(out []byte) []setting {
	fields := strings.Split(string(out), "\x00")
	var list []setting
	for i := 0; i+1 < len(fields); i += 2 {
		key, value, _ := strings.Cut(fields[i+1], "\n")
		list = append(list, setting{fields[i], entry{key, value}})
	}
	return list
}

// The codes of conflicts.
const (
	CodeProxy     = "git_http_proxy"
	CodeURLProxy  = "git_http_url_proxy"
	CodeRemote    = "git_remote_proxy"
	CodeCA        = "git_http_ssl_ca_info"
	CodeNoVerify  = "git_http_ssl_verify"
	CodeHTTPToSSH = "git_https_to_ssh_instead_of"
)

// judge records a setting that leads past the tunnel, and what overrules it.
// The kinds of keys are those of git-config(1); section and variable come in
// lower case.
func (g *Git) judge(w System, s setting) {
	section, rest, _ := strings.Cut(s.key, ".")
	dot := strings.LastIndexByte(rest, '.')
	name := rest[dot+1:]
	of := strings.TrimSuffix(rest[:dot+1], ".")
	c := conflict{Conflict: detect.Conflict{Tool: "git", Value: s.value}}
	switch {
	case section == "http" && name == "proxy" && of == "":
		c.Code, c.Is, c.over = CodeProxy, "proxy", []entry{{s.key, proxyURL}}
	case section == "http" && name == "proxy" && !loopback(of):
		c.Code, c.Is, c.over = CodeURLProxy, "proxy", []entry{{s.key, proxyURL}}
	case section == "remote" && name == "proxy":
		c.Code, c.Is, c.over = CodeRemote, "proxy", []entry{{s.key, proxyURL}}
	case section == "http" && name == "sslcainfo": // GIT_SSL_CAINFO wins over it
		c.Code, c.Is, c.Overruled = CodeCA, "ca", true
		c.Value = w.expand(s.value)
	case section == "http" && name == "sslverify" && isFalse(s.value):
		c.Code, c.Is, c.over = CodeNoVerify, "insecure", []entry{{s.key, "true"}}
	case section == "url" && name == "insteadof" && strings.HasPrefix(s.value, "https://") && !strings.HasPrefix(of, "http"):
		c.Code, c.Is = CodeHTTPToSSH, "other"
		c.Advice = "it sends HTTPS remotes over SSH; remove it, or: git config --global --unset-all url." + of + ".insteadOf"
	default:
		return
	}
	c.File = w.file(s.origin)
	c.Overruled = c.Overruled || len(c.over) > 0
	c.Line = w.line(c.File, name)
	g.conflicts = append(g.conflicts, c)
}

// loopback reports whether settings for a URL concern servers on this machine,
// which are not reached through the tunnel. The host may have wildcards
// (git-config(1), http.<url>.*), so that net/url does not read it.
func loopback(url string) bool {
	_, authority, _ := strings.Cut(url, "://")
	authority, _, _ = strings.Cut(authority, "/")
	host := authority[strings.LastIndexByte(authority, '@')+1:]
	if colon := strings.LastIndexByte(host, ':'); colon > strings.IndexByte(host, ']') {
		host = host[:colon]
	}
	return env.IsLoopback(host)
}

func isFalse(value string) bool {
	switch strings.ToLower(value) {
	case "false", "no", "off", "0", "":
		return true
	}
	return false
}

// file is where a setting was found.
func (w System) file(origin string) string {
	file, ok := strings.CutPrefix(origin, "file:")
	switch {
	case !ok:
		return "GIT_CONFIG_COUNT"
	case filepath.IsAbs(file):
		return file
	}
	return filepath.Join(w.Dir, file)
}

func (w System) expand(file string) string {
	if rest, ok := strings.CutPrefix(file, "~/"); ok {
		return filepath.Join(w.Home, rest)
	}
	return file
}

// line finds the line of a variable in a file, 0 when it is not there.
func (w System) line(file, name string) int {
	data, err := w.ReadFile(file)
	if err != nil {
		return 0
	}
	n := 0
	for line := range strings.Lines(strings.ToLower(string(data))) {
		n++
		if key, _, _ := strings.Cut(line, "="); strings.TrimSpace(key) == name {
			return n
		}
	}
	return 0
}

// keyFiles are the identities that ssh tries by itself (ssh(1), FILES).
var keyFiles = []string{"id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk", "id_dsa"}

// ownSSH says what shows that the user has an SSH set-up, or has chosen git's
// settings for this run.
func ownSSH(w System, hosts []string, settings []setting) string {
	for _, name := range []string{"GIT_SSH", "GIT_SSH_COMMAND", "GIT_CONFIG_PARAMETERS", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"} {
		if value := env.Get(w.Environ, name); value != "" && !goesByProxy(value) {
			return name + " is set"
		}
	}
	entries, _ := fromEnvironment(w.Environ)
	if slices.ContainsFunc(entries, func(e entry) bool { return !slices.Contains(rewriting(hosts), e) && !isOverrule(e) }) {
		return "GIT_CONFIG_COUNT is set"
	}
	for _, s := range settings {
		if s.key == "core.sshcommand" && !goesByProxy(s.value) {
			return "core.sshCommand is set"
		}
	}
	ssh := filepath.Join(w.Home, ".ssh")
	for _, name := range keyFiles {
		if w.Exists(filepath.Join(ssh, name)) {
			return "~/.ssh/" + name + " exists"
		}
	}
	if data, err := w.ReadFile(filepath.Join(ssh, "config")); err == nil {
		if h := hostEntry(data, hosts); h != "" {
			return "~/.ssh/config has an entry for " + h
		}
	}
	if socket := env.Get(w.Environ, "SSH_AUTH_SOCK"); socket != "" && w.AgentKeys(socket) > 0 {
		return "the SSH agent has keys"
	}
	return ""
}

// goesByProxy reports whether a command connects by way of a proxy: that is a sandbox's
// way out, as the tunnel is, and no set-up of the user's own.
func goesByProxy(command string) bool { return strings.Contains(command, "ProxyCommand") }

// isOverrule tells entries of an outer run's that are not rewriting.
func isOverrule(e entry) bool {
	return strings.HasPrefix(e.value, "http://127.0.0.1:") && strings.HasSuffix(e.key, "proxy") ||
		e.value == "true" && strings.HasSuffix(e.key, "sslverify")
}

// hostEntry returns the first of the hosts that a Host line names; patterns
// that match everything say nothing about a host (ssh_config(5)).
func hostEntry(config []byte, hosts []string) string {
	for line := range strings.Lines(string(config)) {
		words := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t\r\n=\"", r) })
		if len(words) < 2 || !strings.EqualFold(words[0], "host") {
			continue
		}
		for _, pattern := range words[1:] {
			for _, h := range hosts {
				if ok, err := path.Match(pattern, h); ok && err == nil && strings.Trim(pattern, "*?") != "" {
					return h
				}
			}
		}
	}
	return ""
}

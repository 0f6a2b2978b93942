package verdict

import (
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/agentproxy/agentproxy/profiles/env"
	"github.com/agentproxy/agentproxy/profiles/rules"
	"github.com/agentproxy/agentproxy/wrap/classify"
)

// CommandLine is what a command line says of where the command connects.
type CommandLine struct {
	// Loopback is true when it names a server on loopback, which is the user's own,
	// other than as a proxy, or a name that is never anybody's.
	Loopback bool
	// Remote are the other hosts that it names, Plain those of them that it names in
	// http:// URLs.
	Remote, Plain []string
	// ProxyPorts are the ports of the proxies that it names.
	ProxyPorts []string
}

// ReadCommandLine reads one.
func ReadCommandLine(argv []string) CommandLine {
	var c CommandLine
	isProxys, before := false, "" // the value of --proxy
	for word := range strings.FieldsSeq(strings.Join(argv, " ")) {
		isProxys = isProxys || before == "-x" && portAtEnd().MatchString(word) // curl's
		before = word
		if isProxys || strings.Contains(strings.ToLower(word), "proxy") {
			isProxys = !isProxys && strings.HasPrefix(word, "--") && !strings.Contains(word, "=")
			if m := portAtEnd().FindStringSubmatch(word); m != nil {
				c.ProxyPorts = append(c.ProxyPorts, m[1])
			}
			continue
		}
		c.hosts(word)
		_, address, _ := strings.Cut(word, "[")
		if address, _, _ = strings.Cut(address, "]"); env.IsLoopback(address) {
			c.Loopback = true
		}
		for part := range strings.FieldsFuncSeq(word, isBetween) {
			isFlag := len(part) > 2 && part[0] == '-' && part[1] != '-' // with its value: -h127.0.0.1
			// A name in .invalid is nobody's (RFC 6761 section 6.4).
			if env.IsLoopback(part) || isFlag && env.IsLoopback(part[2:]) || strings.HasSuffix(part, ".invalid") {
				c.Loopback = true
			}
		}
	}
	return c
}

func isBetween(r rune) bool { return strings.ContainsRune("/=@:,;?&#|<>(){}\"'`$", r) }

var (
	portAtEnd = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`:(\d{1,5})(?:\D|$)`) })
	urlInWord = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*)://([^\s"'<>|;)]+)`) })
	bareHost  = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(?:[\w.+-]+@)?([a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,})(?::[\w./~-]*)?(?:/.*)?$`)
	})
)

// hosts notes those that a word names: in a URL, as git's user@host:path, or alone.
func (c *CommandLine) hosts(word string) {
	found := false
	for _, m := range urlInWord().FindAllStringSubmatch(word, 8) {
		found = true
		u, err := url.Parse("//" + m[2])
		if err != nil || u.Hostname() == "" || env.IsLoopback(u.Hostname()) {
			continue
		}
		c.Remote = append(c.Remote, u.Hostname())
		if m[1] == "http" {
			c.Plain = append(c.Plain, u.Hostname())
		}
	}
	if m := bareHost().FindStringSubmatch(strings.ToLower(word)); m != nil && !found {
		if _, err := os.Lstat(word); err != nil && !slices.Contains(fileEndings, m[1][strings.LastIndexByte(m[1], '.')+1:]) {
			c.Remote = append(c.Remote, m[1])
		}
	}
}

// fileEndings are those that a word with a dot has for other reasons than being a
// host.
var fileEndings = strings.Fields(`js mjs cjs ts tsx jsx py rb go rs java c h cc cpp cs php pl sh bash txt log md json yaml yml toml xml html css conf cfg ini lock
	gz tgz zip tar xz bz2 whl jar war deb rpm so exe out pem crt key csv sql db mod sum in am d vue`)

// Narrow takes from what an output shows what the command line rules out: of a server
// on loopback, which is the user's own, neither a certificate nor an address is ours. A
// host that the output does not name is the only one that the command line names.
func (c CommandLine) Narrow(r classify.Result) classify.Result {
	if c.Loopback && len(c.Remote) == 0 {
		r.Findings = slices.DeleteFunc(slices.Clone(r.Findings), func(f classify.Finding) bool {
			return slices.Contains([]rules.Class{rules.TLSTrust, rules.TLSOther, rules.Pinned, rules.ProxyBypassed, rules.ProxyUnreachable, rules.UpstreamFailed}, f.Class)
		})
		r.Class, r.Unclear = rules.None, r.Unclear && len(r.Findings) > 0
		if len(r.Findings) > 0 && !r.Unclear {
			r.Class = r.Findings[0].Class
		}
	}
	for i := range r.Findings {
		if r.Findings[i].Host == "" && len(c.Remote) == 1 {
			r.Findings[i].Host = c.Remote[0]
		}
	}
	return r
}

package profiles

import (
	"strings"
)

// Template is a text with names of facts in braces, such as "{bundle}".
type Template string

// factNames are what templates may name, beside {file.NAME} for a file of the same
// profile.
var factNames = map[string]string{
	"url":             "the tunnel's URL",
	"host":            "its address",
	"port":            "its port",
	"state":           "the state directory",
	"ca":              "our certificate alone, for variables that add to a tool's roots",
	"bundle":          "the merged roots, for variables that replace them",
	"no_proxy":        "what bypasses the tunnel, as NO_PROXY",
	"config":          "the configuration file, when one was named",
	"upstream":        "the proxy that the environment named, when one did",
	"non_proxy_hosts": "the same as Java's http.nonProxyHosts",
	"java_store":      "the JVM truststore",
	"java_password":   "its password",
	"run":             "the run's identity",
	"captured":        "1 when the command gets a network of its own",
	"preload.node":    "the hook for Node.js, a file",
	"preload.python":  "the hook for Python, a directory",
	"preload.ruby":    "the hook for Ruby, a file",
	"preload.php":     "the hook for PHP, a directory",
	"canary":          "the canary's URL, for doctor",
	"canary.host":     "its host",
	"fetch.java":      "a program for Java that fetches the URL that it is given, for doctor",
	"tmp":             "an empty directory, for doctor",
	"home":            "the user's home directory",
	"chromium.home":   "a home directory whose NSS database trusts the CA",
	"firefox.profile": "a new Firefox profile that trusts the CA",
}

// Names returns the facts that the template names.
func (t Template) Names() []string {
	var names []string
	t.Expand(func(name string) string {
		names = append(names, name)
		return ""
	})
	return names
}

// Expand fills the facts in. What stands in braces and is no name (of lower-case
// letters, digits, dots, dashes and underscores) stays as it is.
func (t Template) Expand(fact func(name string) string) string {
	var b strings.Builder
	rest := string(t)
	for {
		before, after, found := strings.Cut(rest, "{")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		name, behind, closed := strings.Cut(after, "}")
		if !closed || !isName(name) {
			b.WriteByte('{')
			rest = after
			continue
		}
		b.WriteString(fact(name))
		rest = behind
	}
}

func isName(s string) bool {
	return s != "" && 'a' <= s[0] && s[0] <= 'z' && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789._-") == ""
}

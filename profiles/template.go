package profiles

import (
	"maps"
	"regexp"
	"strings"
)

// Template is a text with names of facts in braces, such as "{bundle}".
type Template string

// Facts are what templates may name, beside {file.NAME} for a file of the same
// profile.
var factNames = map[string]string{
	"url":             "the tunnel's URL",
	"host":            "its address",
	"port":            "its port",
	"state":           "the state directory",
	"ca":              "our certificate alone, for variables that add to a tool's roots",
	"bundle":          "the merged roots, for variables that replace them",
	"no_proxy":        "what bypasses the tunnel, as NO_PROXY",
	"non_proxy_hosts": "the same as Java's http.nonProxyHosts",
	"java_store":      "the JVM truststore",
	"java_password":   "its password",
	"run":             "the run's identity",
	"preload.node":    "the hook for Node.js, a file",
	"preload.python":  "the hook for Python, a directory",
	"preload.ruby":    "the hook for Ruby, a file",
	"preload.php":     "the hook for PHP, a directory",
	"canary":          "the canary's URL, for doctor",
	"canary.host":     "its host",
	"tmp":             "an empty directory, for doctor",
	"home":            "the user's home directory",
	"chromium.home":   "a home directory whose NSS database trusts the CA",
	"firefox.profile": "a new Firefox profile that trusts the CA",
}

// FactNames returns the names that templates may hold, with what they are.
func FactNames() map[string]string { return maps.Clone(factNames) }

var placeholder = regexp.MustCompile(`\{([a-z][a-z0-9_.-]*)\}`)

// Names returns the facts that the template names.
func (t Template) Names() []string {
	var names []string
	for _, m := range placeholder.FindAllStringSubmatch(string(t), -1) {
		names = append(names, m[1])
	}
	return names
}

// Expand fills the facts in.
func (t Template) Expand(fact func(name string) string) string {
	if !strings.Contains(string(t), "{") {
		return string(t)
	}
	return placeholder.ReplaceAllStringFunc(string(t), func(s string) string { return fact(s[1 : len(s)-1]) })
}

// Package env computes edits to an environment. It is pure: it reads no file
// and no variable but those it is given.
package env

import (
	"slices"
	"strings"
)

// Edit is one change to the environment, with its reason.
type Edit struct {
	Name string
	// Value is the new value; ignored when Unset.
	Value  string
	Unset  bool
	Reason string
}

// Apply returns environ with the edits made: a changed variable keeps its
// place, a new one is appended in the order of the edits. environ is not
// modified. Later duplicates of an edited variable are dropped, since programs
// differ on which of two they read.
func Apply(environ []string, edits []Edit) []string {
	byName := make(map[string]*Edit, len(edits))
	for i := range edits {
		byName[edits[i].Name] = &edits[i]
	}
	out := make([]string, 0, len(environ)+len(edits))
	done := map[string]bool{}
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		e := byName[name]
		switch {
		case e == nil:
			out = append(out, entry)
		case !e.Unset && !done[name]:
			out = append(out, name+"="+e.Value)
		}
		done[name] = true
	}
	for _, e := range edits {
		if !e.Unset && !done[e.Name] {
			out = append(out, e.Name+"="+e.Value)
			done[e.Name] = true
		}
	}
	return out
}

// Lookup returns the value of a variable and whether it is set. Of duplicates
// the first counts, as in getenv(3).
func Lookup(environ []string, name string) (value string, ok bool) {
	for _, entry := range environ {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value, true
		}
	}
	return "", false
}

// Get returns the value of a variable, "" when it is not set.
func Get(environ []string, name string) string {
	value, _ := Lookup(environ, name)
	return value
}

// NoProxy merges NO_PROXY values into the form that every dialect reads
// (measured over 14 clients): commas without spaces, lower case, a domain both
// with and without its leading dot. CIDR prefixes stay for those who read them.
func NoProxy(values ...string) string {
	var out []string
	add := func(s string) {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	for _, value := range values {
		for _, entry := range strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }) {
			entry = strings.ToLower(entry)
			if wild, ok := strings.CutPrefix(entry, "*."); ok {
				entry = "." + wild
			}
			bare := strings.TrimPrefix(entry, ".")
			switch {
			case bare == "":
			case entry == bare && isDomain(bare):
				add(bare)
				add("." + bare)
			default:
				add(entry)
			}
		}
	}
	return strings.Join(out, ",")
}

// isDomain tells a domain with a dot from addresses, prefixes, ports, single
// labels and "*".
func isDomain(s string) bool {
	return strings.Contains(s, ".") && !strings.ContainsAny(s, "*:/[") && strings.Trim(s, "0123456789.") != ""
}

// NonProxyHosts translates a NO_PROXY value into the JVM's http.nonProxyHosts,
// which governs https too and knows "*" at either end only (java.net's
// documentation of networking properties). CIDR prefixes have no counterpart.
func NonProxyHosts(noProxy string) string {
	out := []string{"localhost", "127.*", "[::1]"}
	add := func(s string) {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	for entry := range strings.SplitSeq(noProxy, ",") {
		switch {
		case entry == "" || entry == "127.0.0.1" || entry == "::1" || strings.Contains(entry, "/"):
		case strings.HasPrefix(entry, "."):
			add("*" + entry)
		case strings.Contains(entry, ":"):
			add("[" + strings.Trim(entry, "[]") + "]")
		default:
			add(entry)
		}
	}
	return strings.Join(out, "|")
}

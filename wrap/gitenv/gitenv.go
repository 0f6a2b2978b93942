// Package gitenv takes git through the tunnel: settings that lead past it are
// overruled for the run, and SSH remotes of well-known hosts are rewritten to
// HTTPS where the user has no SSH of their own.
//
// All of it travels in GIT_CONFIG_COUNT and its keys and values, which git
// reads after every file and which continue the user's own (git-config(1),
// ENVIRONMENT). No file of the user's is touched.
package gitenv

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/agentproxy/agentproxy/profiles/detect"
	"github.com/agentproxy/agentproxy/profiles/env"
)

// DefaultHosts are those whose SSH remotes are rewritten.
var DefaultHosts = []string{"github.com", "gitlab.com", "bitbucket.org"}

// Git is what is known about the user's git before a run.
type Git struct {
	// OwnSSH says what of the user's own stands against the rewriting of SSH
	// remotes, "" when nothing does.
	OwnSSH string

	hosts     []string
	cargo     bool
	conflicts []conflict
}

// conflict is a setting that leads past the tunnel, and what overrules it.
type conflict struct {
	detect.Conflict
	over []entry
}

// entry is one setting.
type entry struct{ key, value string }

// Rewrites reports whether SSH remotes are rewritten.
func (g *Git) Rewrites() bool { return g.OwnSSH == "" }

// Conflicts returns the settings that lead past the tunnel. ours tells values
// that an outer run has set.
func (g *Git) Conflicts(ours func(value string) bool) []detect.Conflict {
	var list []detect.Conflict
	for _, c := range g.conflicts {
		if !ours(c.Value) {
			list = append(list, c.Conflict)
		}
	}
	return list
}

// Reason of the edits, for people.
const reason = "git: what leads past the tunnel is overruled, SSH remotes go over HTTPS"

// Edits continue the user's GIT_CONFIG_COUNT with what takes git through the
// tunnel at url. What is there already is not added again.
func (g *Git) Edits(url string, environ []string) []env.Edit {
	present, ok := fromEnvironment(environ)
	if !ok {
		return nil // git refuses to run with it, and says so
	}
	var ours []entry
	for _, c := range g.conflicts {
		for _, e := range c.over {
			if e.value = strings.ReplaceAll(e.value, proxyURL, url); e.value != c.Value {
				ours = append(ours, e)
			}
		}
	}
	if g.Rewrites() {
		ours = append(ours, rewriting(g.hosts)...)
	}
	ours = slices.DeleteFunc(ours, func(e entry) bool { return slices.Contains(present, e) })
	if len(ours) == 0 {
		return nil
	}
	edits := []env.Edit{{Name: "GIT_CONFIG_COUNT", Value: strconv.Itoa(len(present) + len(ours)), Reason: reason}}
	for i, e := range ours {
		n := len(present) + i
		edits = append(edits,
			env.Edit{Name: fmt.Sprintf("GIT_CONFIG_KEY_%d", n), Value: e.key, Reason: reason},
			env.Edit{Name: fmt.Sprintf("GIT_CONFIG_VALUE_%d", n), Value: e.value, Reason: reason})
	}
	if _, set := env.Lookup(environ, cargoCLI); g.Rewrites() && g.cargo && !set {
		edits = append(edits, env.Edit{Name: cargoCLI, Value: "true", Reason: "cargo's own git reads no GIT_CONFIG_*"})
	}
	return edits
}

const cargoCLI = "CARGO_NET_GIT_FETCH_WITH_CLI"

// proxyURL stands for the tunnel's address until it is known.
const proxyURL = "{url}"

// rewriting are the settings that turn SSH remotes into HTTPS ones.
func rewriting(hosts []string) []entry {
	var list []entry
	for _, h := range hosts {
		key := "url.https://" + h + "/.insteadOf"
		for _, from := range []string{"git@" + h + ":", "ssh://git@" + h + "/", "ssh://git@" + h + ":22/"} {
			list = append(list, entry{key, from})
		}
	}
	return list
}

// fromEnvironment returns the settings in GIT_CONFIG_COUNT; false when git
// would not accept them.
func fromEnvironment(environ []string) ([]entry, bool) {
	text := env.Get(environ, "GIT_CONFIG_COUNT")
	if text == "" {
		return nil, true
	}
	count, err := strconv.Atoi(text)
	if err != nil || count < 0 || count > len(environ) {
		return nil, false
	}
	var list []entry
	for i := range count {
		key, ok := env.Lookup(environ, fmt.Sprintf("GIT_CONFIG_KEY_%d", i))
		value, hasValue := env.Lookup(environ, fmt.Sprintf("GIT_CONFIG_VALUE_%d", i))
		if !ok || !hasValue {
			return nil, false
		}
		list = append(list, entry{key, value})
	}
	return list, true
}

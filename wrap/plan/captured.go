package plan

import (
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/profiles"
	"github.com/agentproxy/agentproxy/profiles/env"
)

// CapturedFact is known to templates when the command gets a network of its own.
const CapturedFact = "captured"

// proxyFacts say where the tunnel is, or load a hook that leads there.
var proxyFacts = []string{"url", "host", "port", "preload.node", "preload.python", "preload.ruby", "preload.php", "non_proxy_hosts"}

// leadsToTunnel reports whether templates name the tunnel or a hook and nothing else:
// no roots, which a command needs in its own network as well.
func leadsToTunnel(templates ...profiles.Template) bool {
	leads := false
	for _, t := range templates {
		for _, name := range t.Names() {
			if !slices.Contains(proxyFacts, name) {
				return false
			}
			leads = true
		}
	}
	return leads
}

// forCaptured is what of a detection's edits a command needs whose network leads into
// the tunnel by itself. A proxy that it would be told of is one detour more, and some
// clients work only without.
func forCaptured(edits []profiles.Env, put func(env.Edit)) []profiles.Env {
	var kept []profiles.Env
	for _, e := range edits {
		switch {
		case strings.HasPrefix(e.Name(), "AGENT_PROXY_") || !leadsToTunnel(e.Value):
			kept = append(kept, e)
		case e.Set != "":
			put(env.Edit{Name: e.Set, Unset: true, Reason: "the command's own network leads into the tunnel"})
		}
	}
	return kept
}

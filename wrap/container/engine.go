package container

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/agentproxy/agentproxy/profiles"
	"github.com/agentproxy/agentproxy/profiles/env"
)

// reach says why what a command line starts cannot reach this machine's loopback;
// "" when it can, through the host's network. The builder is nil where the engine
// itself builds.
func reach(c *profiles.Contained, w profiles.World) (b *builder, why string) {
	context, address := chosen(c, w)
	name, b := building(c, w, context, address)
	if b != nil {
		return b, b.outOfReach(c, w)
	}
	if name != "" && name != ownContext { // every context is a builder, too
		context = name
	}
	if context == "" {
		return nil, outOfReach("its engine", address)
	}
	if address, why = named(c, context, w); why == "" {
		why = outOfReach("its engine", address)
	}
	return nil, why
}

// outOfReach says why it has a loopback of its own: its address tells, "" is the
// engine's own.
func outOfReach(its, address string) string {
	path, local := strings.CutPrefix(address, "unix://")
	socket := filepath.Base(path)
	switch {
	case address == "" && runtime.GOOS != "linux":
		return its + " is in a virtual machine, whose network is not this machine's"
	case address == "":
		return ""
	case !local:
		return its + " is at " + withoutUser(address) + ", which cannot reach this machine's tunnel"
	case strings.HasPrefix(path, "/run/user/") && (socket == "docker.sock" || socket == "buildkitd.sock"):
		return its + " is rootless, with a network of its own: use the machine's, or Podman, whose rootless containers have this one's"
	case runtime.GOOS != "linux" || strings.Contains(path, "/.") || strings.Contains(path, "/desktop/"):
		return its + " (" + path + ") is in a virtual machine, whose network is not this machine's"
	}
	return ""
}

func withoutUser(address string) string {
	scheme, rest, _ := strings.Cut(address, "://")
	return scheme + "://" + rest[strings.LastIndexByte(rest, '@')+1:]
}

// ownContext is the one of the address that a variable gives, or the engine's
// own.
const ownContext = "default"

// chosen returns the context, or else the address, that a command line, the
// environment or the configuration gives; neither for the engine's own. A flag
// counts more than a variable, an address more than a name.
func chosen(c *profiles.Contained, w profiles.World) (context, address string) {
	if f, ok := profiles.LastFlag(c.Engine, c.Container.Contexts...); ok {
		return f.Value, ""
	}
	if f, ok := profiles.LastFlag(c.Engine, c.Container.Hosts...); ok {
		return "", f.Value
	}
	if host := variable(c.Container.Hosts, w); host != "" {
		return "", host
	}
	if name := variable(c.Container.Contexts, w); name != "" {
		return name, ""
	}
	return configured(c, w).CurrentContext, ""
}

// variable is the value of the first that is set; a flag is none.
func variable(names []string, w profiles.World) (value string) {
	for _, name := range names {
		value = cmp.Or(value, env.Get(w.Environ, name))
	}
	return value
}

// settings are those of Docker's config.json that choose an engine.
type settings struct {
	CurrentContext string
	Aliases        map[string]string
}

func configured(c *profiles.Contained, w profiles.World) (s settings) {
	for _, place := range c.Container.Config {
		data, err := w.ReadFile(filepath.Join(w.Resolve(place), "config.json"))
		if w.Resolve(place) != "" && err == nil && json.Unmarshal(data, &s) == nil {
			break
		}
	}
	return s
}

// named returns the address of one of Docker's contexts, which are kept under
// the SHA-256 of their names (documented at "docker context"), or why it has
// none.
func named(c *profiles.Contained, name string, w profiles.World) (address, why string) {
	if name == "" || name == ownContext {
		return "", ""
	}
	sum := sha256.Sum256([]byte(name))
	for _, place := range c.Container.Config {
		var meta struct {
			Endpoints map[string]struct{ Host string }
		}
		data, err := w.ReadFile(filepath.Join(w.Resolve(place), "contexts", "meta", hex.EncodeToString(sum[:]), "meta.json"))
		if err == nil && json.Unmarshal(data, &meta) == nil {
			return meta.Endpoints["docker"].Host, ""
		}
	}
	return "", fmt.Sprintf("its engine is the one that %q names, of which nothing is known here", name)
}

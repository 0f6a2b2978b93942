package container

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/profiles/detect"
	"github.com/agentproxy/agentproxy/profiles/env"
)

// reach says why what a command line starts cannot reach this machine's loopback;
// "" when it can, through the host's network. The builder is nil where the engine
// itself builds.
func reach(c *detect.Contained, w detect.System) (b *builder, why string) {
	context, address := chosen(c, w)
	name, b := building(c, w, cmp.Or(context, address))
	switch name = own(name); {
	case b != nil:
		return b, b.outOfReach(c, w)
	case name != "": // every context is a builder, too
		context = name
	}
	if context != "" {
		if address, why = named(c, context, w); why != "" {
			return nil, why
		}
	}
	return nil, outOfReach("its engine", address)
}

// outOfReach says why what is at an address has a loopback of its own; it is not
// known of one without an address.
func outOfReach(its, address string) string {
	path, local := strings.CutPrefix(address, "unix://")
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	switch same, known := hasOurNetwork(path); {
	case address == "" && runtime.GOOS == "linux":
		return ""
	case address != "" && !local:
		return its + " is at " + withoutUser(address) + ", which cannot reach this machine's tunnel"
	case known && !same, !known && strings.HasPrefix(path, "/run/user/") && slices.Contains(rootless, filepath.Base(path)):
		return its + " has a network of its own, as rootless Docker has unless RootlessKit detaches it (--detach-netns): use the machine's, or Podman, whose rootless containers have this machine's"
	case runtime.GOOS != "linux" || strings.Contains(path, "/.") || strings.Contains(path, "/desktop/"):
		return its + strings.TrimSuffix(" ("+path+")", " ()") + " is in a virtual machine, whose network is not this machine's"
	}
	return ""
}

// rootless are the names of the sockets of engines that have a network of their
// own where root did not start them.
var rootless = []string{"docker.sock", "buildkitd.sock"}

func withoutUser(address string) string {
	scheme, rest, _ := strings.Cut(address, "://")
	return scheme + "://" + rest[strings.LastIndexByte(rest, '@')+1:]
}

// own returns a context's name, "" for the one whose address a variable gives, or
// which is the engine's own.
func own(context string) string {
	if context == "default" {
		return ""
	}
	return context
}

// chosen returns the context that a command line, the environment or the
// configuration gives, "" when there is none, and the address that counts then. A
// flag counts more than a variable, an address more than a name.
func chosen(c *detect.Contained, w detect.System) (context, address string) {
	named, isNamed := detect.LastFlag(c.Engine, c.Container.Contexts...)
	at, isAt := detect.LastFlag(c.Engine, c.Container.Hosts...)
	address = cmp.Or(at.Value, variable(c.Container.Hosts, w))
	switch {
	case isNamed:
		context = named.Value
	case !isAt && address == "":
		context = cmp.Or(variable(c.Container.Contexts, w), configured(c, w).CurrentContext)
	}
	if address == "" && c.Container.Socket != "" {
		address = "unix://" + c.Container.Socket
	}
	return own(context), address
}

// variable is the value of the first that is set; a flag is none.
func variable(names []string, w detect.System) (value string) {
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

func configured(c *detect.Contained, w detect.System) (s settings) {
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
func named(c *detect.Contained, name string, w detect.System) (address, why string) {
	if own(name) == "" {
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

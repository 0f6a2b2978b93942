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

// outOfReach says why what the engine starts cannot reach this machine's
// loopback; "" when it can, through the host's network.
func outOfReach(c *profiles.Contained, w profiles.World) string {
	address, err := engine(c, w)
	path, local := strings.CutPrefix(address, "unix://")
	switch {
	case err != nil:
		return err.Error()
	case address == "" && runtime.GOOS != "linux":
		return "its engine is in a virtual machine, whose network is not this machine's"
	case address == "":
		return ""
	case !local:
		return "its engine is at " + withoutUser(address) + ", which cannot reach this machine's tunnel"
	case strings.HasPrefix(path, "/run/user/") && filepath.Base(path) == "docker.sock":
		return "its engine is rootless, with a network of its own: use the machine's, or Podman, whose rootless containers have this one's"
	case runtime.GOOS != "linux" || strings.Contains(path, "/.") || strings.Contains(path, "/desktop/"):
		return "its engine (" + path + ") is in a virtual machine, whose network is not this machine's"
	}
	return ""
}

func withoutUser(address string) string {
	scheme, rest, _ := strings.Cut(address, "://")
	return scheme + "://" + rest[strings.LastIndexByte(rest, '@')+1:]
}

// engine returns the address that a command line, the environment or the
// configuration gives, "" for the engine's own. A flag counts more than a
// variable, an address more than a name.
func engine(c *profiles.Contained, w profiles.World) (string, error) {
	if f, ok := profiles.LastFlag(c.Engine, c.Container.Contexts...); ok {
		return named(c, f.Value, w)
	}
	if f, ok := profiles.LastFlag(c.Engine, c.Container.Hosts...); ok {
		return f.Value, nil
	}
	variable := func(names []string) (value string) {
		for _, name := range names {
			value = cmp.Or(value, env.Get(w.Environ, name))
		}
		return value
	}
	if host := variable(c.Container.Hosts); host != "" {
		return host, nil
	}
	if name := variable(c.Container.Contexts); name != "" {
		return named(c, name, w)
	}
	for _, place := range c.Container.Config {
		var config struct{ CurrentContext string }
		data, err := w.ReadFile(filepath.Join(w.Resolve(place), "config.json"))
		if w.Resolve(place) != "" && err == nil && json.Unmarshal(data, &config) == nil {
			return named(c, config.CurrentContext, w)
		}
	}
	return "", nil
}

// named returns the address of one of Docker's contexts, which are kept under
// the SHA-256 of their names (documented at "docker context").
func named(c *profiles.Contained, name string, w profiles.World) (string, error) {
	if name == "" || name == "default" {
		return "", nil
	}
	sum := sha256.Sum256([]byte(name))
	for _, place := range c.Container.Config {
		var meta struct {
			Endpoints map[string]struct{ Host string }
		}
		data, err := w.ReadFile(filepath.Join(w.Resolve(place), "contexts", "meta", hex.EncodeToString(sum[:]), "meta.json"))
		if err == nil && json.Unmarshal(data, &meta) == nil {
			return meta.Endpoints["docker"].Host, nil
		}
	}
	return "", fmt.Errorf("its engine is the one that %q names, of which nothing is known here", name)
}

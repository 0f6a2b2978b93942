package container

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/profiles/detect"
)

// builder is one of those that "docker buildx create" makes: a BuildKit that is
// not the engine's. The steps of its builds have its network, and may ask for
// none, as it need not let them.
type builder struct {
	Name, Driver string
	Nodes        []struct {
		// Endpoint is where BuildKit is, or the engine that it is a container of: an
		// address or a context.
		Endpoint   string
		DriverOpts map[string]string
	}
}

// outOfReach says why the steps cannot reach this machine's loopback.
func (b *builder) outOfReach(c *detect.Contained, w detect.System) string {
	its := fmt.Sprintf("its builder %q", b.Name)
	if b.Driver != "remote" && b.Driver != "docker-container" {
		return its + " (" + b.Driver + ") is not on this machine: use --builder=default"
	}
	for _, node := range b.Nodes {
		if b.Driver == "docker-container" && node.DriverOpts["network"] != hostNetwork {
			return its + " is a container with a network of its own, in which the tunnel is not: use --builder=default, or one made by docker buildx create --driver-opt=network=host"
		}
		address, why := node.Endpoint, ""
		if !strings.Contains(address, "://") {
			address, why = named(c, address, w)
		}
		if why = cmp.Or(why, outOfReach(its, address)); why != "" {
			return why
		}
	}
	return ""
}

// building returns the name of the builder that a command line, the environment
// or "docker buildx use" gives for the engine with the key, "" for the engine's
// own, and what buildx knows of it: nil for one that is a context.
func building(c *detect.Contained, w detect.System, key string) (string, *builder) {
	if !c.Builds {
		return "", nil
	}
	places := slices.DeleteFunc(slices.Clone(c.Container.BuilderConfig), func(place string) bool { return w.Resolve(place) == "" })
	if len(places) == 0 {
		return "", nil
	}
	read := func(names ...string) []byte { // the whole: certificates may be in it
		data, _ := os.ReadFile(filepath.Join(append([]string{w.Resolve(places[0])}, names...)...))
		return data
	}
	flag, _ := detect.LastFlag(slices.Concat(c.Engine, c.Flags), c.Container.Builders...)
	name := cmp.Or(flag.Value, variable(c.Container.Builders, w))
	// "docker build" is buildx by an alias ("docker buildx install"), or where the
	// client has no BuildKit of its own. What is in use then counts for the alias
	// alone.
	buildx := strings.HasPrefix(c.Verb, "buildx ") || configured(c, w).Aliases["builder"] == "buildx"
	switch {
	case buildx && name == "":
		var use struct {
			Key, Name string
			Global    bool
		}
		if json.Unmarshal(read("current"), &use) == nil && (use.Global || use.Key == key) {
			name = use.Name
		}
		sum := sha256.Sum256([]byte(key))
		name = cmp.Or(name, string(read("defaults", hex.EncodeToString(sum[:])[:20])))
	case !buildx && name != "" && c.Container.Builtin.Holds(version(c, w)):
		return "", nil
	}
	b := &builder{}
	if name == "" || json.Unmarshal(read("instances", strings.ToLower(name)), b) != nil {
		return name, nil
	}
	return name, b
}

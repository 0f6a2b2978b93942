// Package container gives containers, and the steps of an image's build, what
// exec gives a command: the tunnel's address and files that are mounted where
// variables point at them. It is a plan of its own, for a machine of which
// nothing is known.
package container

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agentproxy/agentproxy/profiles"
	"github.com/agentproxy/agentproxy/profiles/detect"
	"github.com/agentproxy/agentproxy/profiles/env"
	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/wrap/gitenv"
	"github.com/agentproxy/agentproxy/wrap/plan"
)

// Input is what a container's share depends on.
type Input struct {
	Contained *detect.Contained
	Library   *profiles.Library
	System    detect.System
	// Tunnel as it is seen outside.
	Tunnel env.Tunnel
}

// Share is what a container gets.
type Share struct {
	// Edits are what the engine's command line is given.
	Edits plan.Container
	// Tools are those that a build's steps start.
	Tools []detect.Tool
}

// Where the files are inside. A container has them in a directory; a step each
// by itself, beside what /run holds, so that nothing is left of them in the
// image.
const (
	containerPrefix = "/run/agentproxy/"
	stepPrefix      = "/run/agentproxy-"
)

// stateName is our directory in the state directory. Everything in it may be
// read by anybody who is in the container.
const stateName = "containers"

var _ = rundir.Register(stateName)

// Prepare writes the files and says how to hand them over. An engine that
// cannot reach the tunnel, or a network that the user chose, gets nothing, and
// Edits.Never says why.
func Prepare(ctx context.Context, in Input) (*Share, error) {
	c := in.Contained
	share := &Share{Edits: plan.Container{Behind: c.At}}
	builder, why := reach(c, in.System)
	if why != "" {
		share.Edits.Never = path.Base(c.Command) + ": " + why
		return share, nil
	}
	if slices.ContainsFunc(c.Flags, func(f detect.ContainerFlag) bool {
		return slices.Contains(c.Container.Network, f.Name) && f.Value != hostNetwork
	}) {
		share.Edits.Never = path.Base(c.Command) + ": the container has a network of its own, in which the tunnel is not: leave the network and ports to it, or pass --network=host"
		return share, nil
	}
	if c.Builds {
		return share, in.build(share, builder)
	}
	return share, in.run(ctx, share)
}

// run hands a container a directory, and a file with variables.
func (in *Input) run(ctx context.Context, share *Share) error {
	// A program in the container is not known, so that it gets what any may need.
	inside, err := in.inside(containerPrefix, "./program", imageEnv(ctx, in.Contained, in.System),
		func(_ []detect.Tool, name, _ string) bool { return name != contract.RunVariable })
	if err != nil {
		return err
	}
	const listName = "env"
	inside.files[listName] = []byte(strings.Join(inside.variables, "\n") + "\n")
	dir, err := inside.write(in.Tunnel.StateDir)
	if err != nil {
		return err
	}
	insert := append(in.network(),
		"--volume="+dir+":"+strings.TrimSuffix(containerPrefix, "/")+":ro,z", // z: SELinux lets containers read it
		"--env-file="+filepath.Join(dir, listName))
	if in.Tunnel.Run != "" {
		insert = append(insert, "--env="+contract.RunVariable+"="+in.Tunnel.Run)
	}
	// These win over the proxies of the engine's configuration.
	share.Edits.Insert = append(insert, in.proxies("--env=")...)
	share.Edits.Reason = "the tunnel is on this machine's loopback; a directory with the roots, and the variables that name them"
	return nil
}

// hostNetwork is the machine's own, in which the tunnel is.
const hostNetwork = "host"

// network asks for it, unless the user has.
func (in *Input) network() []string {
	if _, asked := detect.LastFlag(in.Contained.Flags, in.Contained.Container.Network...); asked {
		return nil
	}
	return []string{"--network=" + hostNetwork}
}

func (in *Input) proxies(flag string) []string {
	noProxy := in.Tunnel.Facts(in.System.Environ)["no_proxy"]
	if in.Tunnel.Run != "" {
		// A build hands nothing else to its steps that it keeps out of cache and
		// history, and by it the tunnel knows a step under another user.
		noProxy += "," + in.Tunnel.Run + ".invalid"
	}
	return []string{flag + "HTTPS_PROXY=" + in.Tunnel.URL, flag + "https_proxy=" + in.Tunnel.URL, flag + "NO_PROXY=" + noProxy, flag + "no_proxy=" + noProxy}
}

// build hands a build the proxy as arguments that need no ARG and leave nothing
// behind, and its steps the files as secrets, in a copy of the Dockerfile that
// asks for them.
func (in *Input) build(share *Share, by *builder) error {
	edits := &share.Edits
	if by == nil {
		edits.Insert = in.network()
	}
	edits.Insert = append(edits.Insert, in.proxies("--build-arg=")...)
	edits.Reason = "the steps reach the tunnel on this machine's loopback; these arguments need no ARG and leave nothing in the image"
	if !in.canMount(edits) {
		edits.Never = path.Base(in.Contained.Command) + ": this builder's steps can be given no roots from outside: use BuildKit (the buildx plugin, and not DOCKER_BUILDKIT=0)"
		return nil
	}
	text, name, flag := in.dockerfile()
	file := ParseDockerfile(text)
	inside, err := in.inside(stepPrefix, file.Shell(), nil, in.forSteps)
	if err != nil {
		return err
	}
	share.Tools = inside.tools
	dir, err := inside.write(in.Tunnel.StateDir)
	if err != nil {
		return err
	}
	var options []string
	for _, name := range inside.names() {
		id := strings.TrimPrefix(stepPrefix, "/run/") + name
		edits.Insert = append(edits.Insert, "--secret=id="+id+",src="+filepath.Join(dir, name))
		options = append(options, "--mount=type=secret,id="+id+",target="+stepPrefix+name+",mode=0444")
	}
	edits.Reason += "; secrets are files for the steps, which the image does not keep"
	if name == "" {
		return nil // by hand, or a Dockerfile that cannot be read here
	}
	temporary, err := os.MkdirTemp(filepath.Dir(dir), "build-*")
	if err != nil {
		return err
	}
	edits.Temporary = temporary
	copied := filepath.Join(temporary, filepath.Base(name))
	if err := os.WriteFile(copied, []byte(file.Given(inside.variables, strings.Join(options, " "))), 0o600); err != nil {
		return err
	}
	// What BuildKit leaves out is said beside the Dockerfile, when not in the context.
	if ignored, err := os.ReadFile(name + ".dockerignore"); err == nil {
		if err := os.WriteFile(copied+".dockerignore", ignored, 0o600); err != nil {
			return err
		}
	}
	if flag.Name != "" {
		edits.Replace = map[int]string{flag.At: flag.Prefix + copied}
	} else {
		edits.Insert = append(edits.Insert, "--file="+copied)
	}
	edits.Reason += "; the copy of the Dockerfile asks for them"
	return nil
}

// canMount reports whether a build's steps can be given files, and sees to it where
// that takes a variable.
func (in *Input) canMount(edits *plan.Container) bool {
	c := in.Contained
	switch asked := env.Get(in.System.Environ, c.Container.BuildKit); {
	case c.Container.BuildKit == "", strings.HasPrefix(c.Verb, "buildx "):
		return true
	case asked != "":
		if on, err := strconv.ParseBool(asked); err == nil && !on {
			return false
		}
	}
	version := version(c, in.System)
	if c.Container.Builtin.Holds(version) {
		edits.Env = []env.Edit{{Name: c.Container.BuildKit, Value: "1", Reason: "only BuildKit can give a build's steps roots that the image does not keep"}}
		return true
	}
	return version != "" && slices.ContainsFunc(c.Container.Plugins, func(place string) bool {
		file := in.System.Resolve(place)
		return file != "" && in.System.Exists(file)
	})
}

// version is the client's, "" when it does not tell.
func version(c *detect.Contained, w detect.System) string {
	program := w.LookPath(c.Command)
	if program == "" {
		return ""
	}
	return w.Version(program, c.Version)
}

// dockerfile reads the one that the build is to be made from. It has no name
// when it is not a file here: standard input, a URL, or not there at all.
func (in *Input) dockerfile() (text, name string, flag detect.ContainerFlag) {
	c := in.Contained
	flag, _ = detect.LastFlag(c.Flags, "-f", "--file")
	var files []string
	switch {
	case c.Word == "" || c.Word == "-" || strings.Contains(c.Word, "://") || strings.HasPrefix(c.Word, "git@"):
		return "", "", flag
	case flag.Name != "":
		files = []string{flag.Value, filepath.Join(c.Word, flag.Value)} // Podman looks in the context, too
	default:
		for _, f := range c.Container.Dockerfiles {
			files = append(files, filepath.Join(c.Word, f))
		}
	}
	for _, file := range files {
		if !filepath.IsAbs(file) {
			file = filepath.Join(in.System.Dir, file)
		}
		if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
			continue
		}
		if data, err := os.ReadFile(file); err == nil {
			return string(data), file, flag
		}
	}
	return "", "", flag
}

// imagePatience is how long an engine may take to tell what is in an image.
const imagePatience = 5 * time.Second

// imageEnv is the environment that the image sets, nil when it is not there yet.
func imageEnv(ctx context.Context, c *detect.Contained, w detect.System) []string {
	if c.Word == "" || w.LookPath(c.Command) == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, imagePatience)
	defer cancel()
	args := append(slices.Clone(c.Before), "image", "inspect", "--format={{json .Config.Env}}", c.Word)
	cmd := exec.CommandContext(ctx, w.LookPath(c.Command), args...)
	cmd.Env, cmd.WaitDelay = w.Environ, time.Second
	out, err := cmd.Output()
	var environ []string
	if err != nil || json.Unmarshal(out, &environ) != nil {
		return nil
	}
	return environ
}

// inside is a plan for a container.
type inside struct {
	variables []string
	files     map[string][]byte // those that the variables name, by their names
	links     map[string]string // of these, what is in the state directory already
	tools     []detect.Tool
}

// newest stands for the version of a tool that cannot be asked.
const newest = "1000000"

// inside plans for shell text in a machine of which only its environment is
// known. Its files begin with the prefix; variables that are not wanted are left
// out.
func (in *Input) inside(prefix, text string, environ []string, wanted func(tools []detect.Tool, name, value string) bool) (*inside, error) {
	const bundle, store = "ca-bundle.crt", "java-truststore.p12"
	t := in.Tunnel
	t.PublicDir = ""
	t.StateDir, t.Bundle, t.CA, t.JavaStore = strings.TrimRight(prefix, "/-"), prefix+bundle, prefix+bundle, prefix+store
	found, err := detect.Shell(in.Library, text, detect.System{
		Environ: environ, Dir: "/", Home: "/root",
		LookPath: func(name string) string { return path.Join("/usr/bin", path.Base(name)) },
		Exists:   func(string) bool { return false },
		ReadFile: func(string) ([]byte, error) { return nil, fs.ErrNotExist },
		Version:  func(string, profiles.Probe) string { return newest },
	})
	if err != nil {
		return nil, err
	}
	planned := plan.New(plan.Input{Environ: environ, Tunnel: t, Detected: found, Git: &gitenv.Git{}})
	var places []string
	for _, f := range planned.Files {
		places = append(places, f.Path, prefix+path.Base(f.Path))
	}
	moved := strings.NewReplacer(places...)
	result := &inside{files: map[string][]byte{}, links: map[string]string{}, tools: found.Tools}
	for _, change := range planned.Changes {
		if value := moved.Replace(change.Value); change.Action != "remove" && wanted(found.Tools, change.Name, value) {
			result.variables = append(result.variables, change.Name+"="+value)
		}
	}
	named := strings.Join(result.variables, "\n")
	for _, f := range planned.Files {
		if name := path.Base(f.Path); strings.Contains(named, prefix+name) {
			result.files[name] = f.Content
			named += "\n" + string(f.Content)
		}
	}
	for name, file := range map[string]string{bundle: in.Tunnel.Bundle, store: in.Tunnel.JavaStore} {
		if !strings.Contains(named, prefix+name) {
			continue
		}
		if result.files[name], err = os.ReadFile(file); err != nil {
			return nil, err
		}
		result.links[name] = file
	}
	return result, nil
}

// forSteps tells which variables a build's steps need beside the predefined
// arguments. A step is made anew when one changes: what holds the tunnel's port
// is only for a tool that is known to need it, such as Maven.
func (in *Input) forSteps(tools []detect.Tool, name, value string) bool {
	switch {
	case strings.HasPrefix(name, "AGENT_PROXY_"), strings.EqualFold(name, "NO_PROXY"):
		return false
	case !strings.Contains(value, in.Tunnel.Port):
		return true
	}
	return slices.ContainsFunc(tools, func(t detect.Tool) bool {
		return t.Name != profiles.BaseName && slices.ContainsFunc(t.Env, func(e profiles.Env) bool { return e.Name() == name })
	})
}

// names are those of the files.
func (i *inside) names() []string {
	return slices.Sorted(maps.Keys(i.files))
}

// write puts the files into a directory that is named after what is in it, so
// that what a running container sees is not changed by another.
func (i *inside) write(state string) (string, error) {
	sum := sha256.New()
	for _, name := range i.names() {
		fmt.Fprintf(sum, "%s %d\n", name, len(i.files[name]))
		sum.Write(i.files[name])
	}
	dir := filepath.Join(state, stateName, hex.EncodeToString(sum.Sum(nil)[:6]))
	if err := rundir.MakeDir(filepath.Dir(dir)); err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for name, data := range i.files {
		file := filepath.Join(dir, name)
		// The roots are the same for every tunnel, and take no more room.
		if link := i.links[name]; link != "" {
			_ = os.Link(link, file) // it may be there, or on a file system without links
		}
		if err := rundir.Ensure(file, data, 0o644); err != nil {
			return "", err
		}
	}
	return dir, nil
}

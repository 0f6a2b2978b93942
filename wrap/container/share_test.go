package container

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/profiles"
	"github.com/agentproxy/agentproxy/profiles/env"
	"github.com/agentproxy/agentproxy/proxy/contract"
)

// host is a machine with a tunnel on which engines are run.
type host struct {
	t      *testing.T
	tunnel env.Tunnel
	dir    string // where the command is
	// engine is the program that stands for every engine, "" for none; version is
	// what it would say it is.
	engine, version string
	files           map[string]string // that are read elsewhere, by path
}

func newHost(t *testing.T) *host {
	t.Helper()
	state := t.TempDir()
	if err := os.Chmod(state, 0o700); err != nil {
		t.Fatal(err)
	}
	h := &host{t: t, dir: t.TempDir(), tunnel: env.Tunnel{
		URL: "http://127.0.0.1:4444", Host: "127.0.0.1", Port: "4444", StateDir: state, PublicDir: state,
		CA: filepath.Join(state, "ca.pem"), Bundle: filepath.Join(state, "bundle.pem"), JavaStore: filepath.Join(state, "store.p12"), JavaStorePassword: "changeit", Run: "run1",
	}}
	h.write(h.tunnel.Bundle, "all roots")
	h.write(h.tunnel.JavaStore, "store")
	return h
}

// write writes a file, in the command's directory where the path is not absolute.
func (h *host) write(path, text string) string {
	h.t.Helper()
	if !filepath.IsAbs(path) {
		path = filepath.Join(h.dir, path)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
	return path
}

func (h *host) prepare(line string, environ ...string) *Share {
	h.t.Helper()
	contained, w := surveyed(h.t, line, h.files, environ...)
	w.Dir = h.dir
	w.LookPath = func(string) string { return h.engine }
	w.Version = func(string, profiles.Probe) string { return h.version }
	share, err := Prepare(h.t.Context(), Input{Contained: contained, Library: profiles.Open(""), System: w, Tunnel: h.tunnel})
	if err != nil {
		h.t.Fatal(err)
	}
	if dir := share.Edits.Temporary; dir != "" {
		h.t.Cleanup(func() { os.RemoveAll(dir) })
	}
	return share
}

// argument returns what an inserted argument has behind a prefix.
func argument(t *testing.T, share *Share, prefix string) string {
	t.Helper()
	for _, arg := range share.Edits.Insert {
		if value, ok := strings.CutPrefix(arg, prefix); ok {
			return value
		}
	}
	t.Fatalf("there is no %s… in %q", prefix, share.Edits.Insert)
	return ""
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// A container gets the tunnel's address, and the files that its variables name where
// they name them.
func TestAContainerIsGiven(t *testing.T) {
	h := newHost(t)
	share := h.prepare("docker run image", "NO_PROXY=corp.example")
	if share.Edits.Never != "" || share.Edits.Behind != 1 || share.Edits.Reason == "" {
		t.Errorf("%+v", share.Edits)
	}
	for _, want := range []string{"--network=host", "--env=HTTPS_PROXY=http://127.0.0.1:4444", "--env=" + contract.RunVariable + "=run1"} {
		if !slices.Contains(share.Edits.Insert, want) {
			t.Errorf("no %s in %q", want, share.Edits.Insert)
		}
	}
	if list := argument(t, share, "--env=NO_PROXY="); !strings.Contains(list, "corp.example") || !strings.HasSuffix(list, ",run1.invalid") {
		t.Errorf("what does not go through the tunnel is %q", list)
	}
	dir, inside, _ := strings.Cut(argument(t, share, "--volume="), ":")
	if inside != "/run/agentproxy:ro,z" || read(t, filepath.Join(dir, "ca-bundle.crt")) != "all roots" {
		t.Errorf("%s is mounted at %s", dir, inside)
	}
	variables := read(t, argument(t, share, "--env-file="))
	for _, line := range strings.Split(variables, "\n") {
		name, value, _ := strings.Cut(line, "=")
		if strings.Contains(value, h.tunnel.StateDir) || name == contract.RunVariable {
			t.Errorf("the container is told %q", line)
		}
		for _, file := range regexp.MustCompile(`/run/agentproxy/[\w.-]+`).FindAllString(value, -1) {
			if _, err := os.Stat(filepath.Join(dir, filepath.Base(file))); err != nil {
				t.Errorf("%s names a file that is not there: %v", name, err)
			}
		}
	}
	if !strings.Contains(variables, "SSL_CERT_FILE=/run/agentproxy/ca-bundle.crt\n") {
		t.Errorf("the variables are %q", variables)
	}
	if again := h.prepare("docker run image", "NO_PROXY=corp.example"); !slices.Equal(again.Edits.Insert, share.Edits.Insert) {
		t.Errorf("another is given %q", again.Edits.Insert)
	}
}

// A container that is not in the machine's network gets nothing; whoever asks for
// that network is not asked again.
func TestNetworksOfContainers(t *testing.T) {
	h := newHost(t)
	for line, reachable := range map[string]bool{
		"docker run --network=host image":    true,
		"podman run --net host image":        true,
		"docker run --network=bridge image":  false,
		"docker run -p 80:80 image":          false,
		"docker -H ssh://far.test run image": false,
	} {
		share := h.prepare(line)
		if (share.Edits.Never == "") != reachable || (len(share.Edits.Insert) > 0) != reachable || slices.Contains(share.Edits.Insert, "--network=host") {
			t.Errorf("%s: %+v", line, share.Edits)
		}
	}
}

// What the image itself sets is merged with ours. An engine that does not know the
// image says nothing of it.
func TestTheImagesEnvironment(t *testing.T) {
	h := newHost(t)
	h.engine = h.write("engine", `#!/bin/sh
		test "$*" = "image inspect --format={{json .Config.Env}} image" && echo '["JAVA_TOOL_OPTIONS=-Xmx1g"]'`)
	if err := os.Chmod(h.engine, 0o700); err != nil {
		t.Fatal(err)
	}
	for image, merged := range map[string]bool{"image": true, "other": false} {
		options := regexp.MustCompile("(?m)^JAVA_TOOL_OPTIONS=.*$").FindString(read(t, argument(t, h.prepare("docker run "+image), "--env-file=")))
		if !strings.Contains(options, "/run/agentproxy/java-truststore.p12") || strings.Contains(options, "-Xmx1g") != merged {
			t.Errorf("%s: %s", image, options)
		}
	}
}

// The steps of a build get the files as secrets, and the copy of the Dockerfile asks
// for each of them where the variables say.
func TestABuildIsGiven(t *testing.T) {
	for line, flag := range map[string]string{
		"docker buildx build .":                 "--file=",
		"docker buildx build -f other.file .":   "",
		"docker buildx build --file=other.file": "",
	} {
		h := newHost(t)
		for _, name := range []string{"Dockerfile", "other.file"} {
			h.write(name, "FROM debian\nRUN apt-get update && mvn package\n")
			h.write(name+".dockerignore", "secret\n")
		}
		share := h.prepare(line + " .")
		if share.Edits.Never != "" || share.Edits.Temporary == "" {
			t.Fatalf("%s: %+v", line, share.Edits)
		}
		for _, name := range []string{"HTTPS_PROXY", "https_proxy"} {
			if got := argument(t, share, "--build-arg="+name+"="); got != h.tunnel.URL {
				t.Errorf("%s: %s is %q", line, name, got)
			}
		}
		var copied string
		if flag != "" {
			copied = argument(t, share, flag)
		} else if len(share.Edits.Replace) != 1 {
			t.Fatalf("%s: %+v", line, share.Edits)
		}
		for _, arg := range share.Edits.Replace {
			copied = strings.TrimPrefix(arg, "--file=")
		}
		text := read(t, copied)
		if !strings.HasPrefix(text, "FROM debian\nARG ") || !strings.Contains(text, "SSL_CERT_FILE=/run/agentproxy-ca-bundle.crt") || !strings.HasSuffix(text, " apt-get update && mvn package\n") {
			t.Errorf("%s: the copy is %q", line, text)
		}
		if ignored := read(t, copied+".dockerignore"); ignored != "secret\n" {
			t.Errorf("%s: ignored is %q", line, ignored)
		}
		for _, arg := range share.Edits.Insert {
			secret, ok := strings.CutPrefix(arg, "--secret=id=")
			if !ok {
				continue
			}
			id, source, _ := strings.Cut(secret, ",src=")
			if read(t, source) == "" || !strings.Contains(text, "--mount=type=secret,id="+id+",target=/run/"+id+",mode=0444 ") {
				t.Errorf("%s: no step asks for %s: %q", line, id, text)
			}
		}
		var tools []string
		for _, tool := range share.Tools {
			tools = append(tools, tool.Name)
		}
		if !slices.Contains(tools, "apt") || !slices.Contains(tools, "maven") {
			t.Errorf("%s: the steps start %q", line, tools)
		}
		// What changes with every tunnel makes each step anew, so only those who need
		// it are told.
		if told := strings.Contains(text, h.tunnel.Port); !told {
			t.Errorf("%s: Maven is not told where the tunnel is: %q", line, text)
		}
		h.write("Dockerfile", "FROM debian\nRUN apt-get update\n")
		if other := h.prepare("docker buildx build ."); strings.Contains(read(t, argument(t, other, "--file=")), h.tunnel.Port) {
			t.Errorf("%s: a step without Maven is made anew with every tunnel", line)
		}
	}
}

// A Dockerfile that is not a file here is left alone; the secrets are there for who
// writes the rest by hand.
func TestDockerfilesThatAreElsewhere(t *testing.T) {
	h := newHost(t)
	for _, line := range []string{"docker buildx build -", "docker buildx build https://git.test/repository.git", "docker buildx build git@git.test:repository.git", "docker buildx build nowhere", "docker buildx build"} {
		share := h.prepare(line)
		if share.Edits.Never != "" || share.Edits.Temporary != "" || share.Edits.Replace != nil {
			t.Errorf("%s: %+v", line, share.Edits)
		}
		argument(t, share, "--secret=id=agentproxy-ca-bundle.crt,src=")
	}
}

// Steps can be given files where BuildKit builds: in a client that has it, with the
// plugin, or by a variable.
func TestWhoCanMount(t *testing.T) {
	plugin := map[string]string{"/usr/lib/docker/cli-plugins/docker-buildx": ""}
	for _, tt := range []struct {
		line, environ, engine, version string
		files                          map[string]string
		can                            bool
		sets                           string
	}{
		{line: "podman build .", can: true},
		{line: "docker buildx build .", can: true},
		{line: "docker build .", environ: "DOCKER_BUILDKIT=0"},
		{line: "docker build .", environ: "DOCKER_BUILDKIT=0", engine: "/bin/docker", version: "20.10.24"},
		{line: "docker build .", engine: "/bin/docker", version: "20.10.24", can: true, sets: "DOCKER_BUILDKIT"},
		{line: "docker build .", engine: "/bin/docker", version: "17.12"},
		{line: "docker build .", engine: "/bin/docker", version: "27.1", files: plugin, can: true},
		{line: "docker build .", engine: "/bin/docker", version: "27.1"},
		{line: "docker build .", files: plugin}, // whose version is not known
	} {
		h := newHost(t)
		h.engine, h.version, h.files = tt.engine, tt.version, tt.files
		var environ []string
		if tt.environ != "" {
			environ = append(environ, tt.environ)
		}
		share := h.prepare(tt.line, environ...)
		sets := ""
		for _, e := range share.Edits.Env {
			sets += e.Name
		}
		if can := share.Edits.Never == ""; can != tt.can || sets != tt.sets {
			t.Errorf("%+v: %+v", tt, share.Edits)
		}
	}
}

// Without the files that it would hand over, there is nothing to hand over.
func TestFilesThatAreGone(t *testing.T) {
	h := newHost(t)
	if err := os.Remove(h.tunnel.Bundle); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"docker run image", "docker buildx build ."} {
		contained, w := surveyed(t, line, nil)
		if _, err := Prepare(t.Context(), Input{Contained: contained, Library: profiles.Open(""), System: w, Tunnel: h.tunnel}); !os.IsNotExist(err) {
			t.Errorf("%s: %v", line, err)
		}
	}
}

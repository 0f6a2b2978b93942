package container

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/profiles"
	"github.com/agentproxy/agentproxy/profiles/detect"
	"github.com/google/go-cmp/cmp"
)

func TestGiven(t *testing.T) {
	const before = "# syntax=docker/dockerfile:1\n# escape=\\\nARG V=1\nFROM debian:$V AS a\n" +
		"run set -e; \\\n  # why\n\n  apt-get update\nCOPY <<EOF /run.sh\nRUN no step\nEOF\n" +
		"RUN <<A cat && <<\"B\" sh\nRUN text\nA\nnpm ci\nB\nRUN --network=host [\"pip\", \"install\"]\nONBUILD RUN x\n" +
		"  from scratch\nCOPY --from=a / /\nRUN last"
	const want = "# syntax=docker/dockerfile:1\n# escape=\\\nARG V=1\nFROM debian:$V AS a\nARG A=1 B=\"x \\$y\"\n" +
		"run -O set -e; \\\n  # why\n\n  apt-get update\nCOPY <<EOF /run.sh\nRUN no step\nEOF\n" +
		"RUN -O <<A cat && <<\"B\" sh\nRUN text\nA\nnpm ci\nB\nRUN -O --network=host [\"pip\", \"install\"]\nONBUILD RUN x\n" +
		"  from scratch\nARG A=1 B=\"x \\$y\"\nCOPY --from=a / /\nRUN -O last"
	d := ParseDockerfile(before)
	if diff := cmp.Diff(want, d.Given([]string{"A=1", "B=x $y"}, "-O")); diff != "" {
		t.Error(diff)
	}
	if shell := d.Shell(); !strings.Contains(shell, "pip install\n") || strings.Contains(shell, "why") || strings.Contains(shell, "no step") {
		t.Errorf("the steps are %q", shell)
	}
	const other = "# escape=`\nRUN a `\n RUN b\\\nRUN c\n"
	if got := ParseDockerfile(other).Given(nil, "-O"); got != "# escape=`\nRUN -O a `\n RUN b\\\nRUN -O c\n" {
		t.Errorf("with another escape character: %q", got)
	}
}

// BuildKit's own parser wrote the table (testdata/dockerfiles/check).
func TestDividesADockerfileAsBuildKitDoes(t *testing.T) {
	const dir = "../../testdata/dockerfiles"
	files, err := filepath.Glob(filepath.Join(dir, "*.dockerfile"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var b strings.Builder
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		line := 1
		for _, i := range ParseDockerfile(string(data)).instructions {
			first := line
			line += strings.Count(i.text, "\n")
			if i.name != "" {
				last := max(first, line-1)
				if !strings.HasSuffix(i.text, "\n") {
					last = line
				}
				fmt.Fprintf(&b, "%s %d-%d %s %d\n", filepath.Base(file), first, last, i.name, i.documents)
			}
		}
	}
	want, err := os.ReadFile(filepath.Join(dir, "table"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Error(diff)
	}
}

// What hid the rest of a file once: each has the step behind it.
func TestNothingHidesTheNextStep(t *testing.T) {
	for step, want := range map[string]string{
		"RUN grep x <<< foo":                 "npm ci\n",
		"RUN echo $((1<<x))":                 "npm ci\n",
		"RUN echo \"a <<EOF b\"":             "npm ci\n",
		"RUN\tpip x":                         "pip x\n\nnpm ci\n",
		"RUN --network=none\tpip x":          "pip x\n\nnpm ci\n",
		"RUN <<EOF\npip x\nEOF":              "pip x\n\nnpm ci\n",
		"RUN <<-EOF sh\n\tpip x\n\tEOF":      "<<-EOF sh\n\tpip x\n\tEOF\n\nnpm ci\n",
		"RUN a \\\n# it's\n\n && pip x":      "a  && pip x\n\nnpm ci\n",
		"RU\\\nN pip x":                      "pip x\n\nnpm ci\n",
		"COPY <<EOF /x\nRUN no\nEOF":         "npm ci\n",
		"RUN [\"pip\", \"x\"]":               "pip x\nnpm ci\n",
		"RUN cat <<A <<'B C'\nA\nRUN x\nB C": "npm ci\n",
	} {
		if got := ParseDockerfile("FROM d\n" + step + "\nRUN npm ci\n").Shell(); !strings.HasSuffix(got, want+"\n") || strings.Contains(got, "no") {
			t.Errorf("%q: the steps are %q", step, got)
		}
	}
}

// Nothing of a file is lost, be it a Dockerfile or not.
func FuzzDockerfile(f *testing.F) {
	f.Add("FROM a\nRUN <<EOF\nx\nEOF\n# c\nRUN a \\\n b")
	f.Fuzz(func(t *testing.T, text string) {
		var b strings.Builder
		for _, i := range ParseDockerfile(text).instructions {
			b.WriteString(i.text)
		}
		if b.String() != text {
			t.Errorf("%q becomes %q", text, b.String())
		}
		ParseDockerfile(text).Shell()
		ParseDockerfile(text).Given([]string{"A=1"}, "-O")
	})
}

// surveyed reads a command line in a world of these files and variables.
func surveyed(t *testing.T, line string, files map[string]string, environ ...string) (*detect.Contained, detect.System) {
	t.Helper()
	w := detect.System{
		Environ: environ, Home: "/home", Dir: "/work",
		LookPath: func(string) string { return "" },
		Exists:   func(path string) bool { _, ok := files[path]; return ok },
		ReadFile: func(path string) ([]byte, error) {
			if text, ok := files[path]; ok {
				return []byte(text), nil
			}
			return nil, fs.ErrNotExist
		},
		Version: func(string, profiles.Probe) string { return "" },
	}
	s, err := detect.Command(profiles.Open(""), strings.Fields(line), w)
	if err != nil {
		t.Fatal(err)
	}
	return s.Contained, w
}

func TestCommandLines(t *testing.T) {
	for line, want := range map[string]string{
		"docker run image":                             "run image",
		"docker -H x run -it --rm -e A=1 image -p 1":   "run image",
		"docker container run --name=x -v a:b image":   "container run image",
		"docker buildx build --load -t x -f D .":       "buildx build .",
		"docker build . -t x":                          "build .",
		"sudo -E podman --log-level debug build -tx .": "build .",
		"docker ps":                    "",
		"docker compose run web":       "",
		"docker image ls build":        "",
		"podman run":                   "run ",
		"buildah run container ls":     "",
		"docker run -dp 80:80 image x": "run image",
	} {
		c, _ := surveyed(t, line, nil)
		got := ""
		if c != nil {
			got = c.Verb + " " + c.Word
			if words := strings.Fields(line); c.At < 0 || words[c.At] != c.Verb[strings.LastIndexByte(c.Verb, ' ')+1:] {
				t.Errorf("%s: the subcommand is not at %d", line, c.At)
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

func TestOutOfReach(t *testing.T) {
	sum := sha256.Sum256([]byte("far"))
	far := map[string]string{
		"/home/.docker/contexts/meta/" + hex.EncodeToString(sum[:]) + "/meta.json": `{"Endpoints":{"docker":{"Host":"tcp://far.test:2376"}}}`,
		"/home/.docker/config.json": `{"currentContext":"far"}`,
	}
	buildx := t.TempDir()
	for _, name := range []string{"instances", "defaults"} {
		if err := os.Mkdir(filepath.Join(buildx, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"current":           `{"Key":"unix:///var/run/docker.sock","Name":"boxed"}`,
		"instances/boxed":   `{"Name":"boxed","Driver":"docker-container","Nodes":[{"Endpoint":"unix:///var/run/docker.sock"}]}`,
		"instances/hosted":  `{"Name":"hosted","Driver":"docker-container","Nodes":[{"Endpoint":"default","DriverOpts":{"network":"host"}}]}`,
		"instances/cluster": `{"Name":"cluster","Driver":"kubernetes","Nodes":[{}]}`,
		"instances/remote":  `{"Name":"remote","Driver":"remote","Nodes":[{"Endpoint":"unix:///run/buildkit/buildkitd.sock"}]}`,
	} {
		if err := os.WriteFile(filepath.Join(buildx, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		line    string
		files   map[string]string
		environ string
		want    string
	}{
		{"docker run x", nil, "", ""},
		{"docker run x", far, "", "tcp://far.test:2376"},
		{"docker run x", far, "DOCKER_HOST=unix:///var/run/docker.sock", ""},
		{"docker --context far run x", far, "DOCKER_HOST=unix:///var/run/docker.sock", "tcp://far.test:2376"},
		{"docker --context default run x", far, "", ""},
		{"docker run x", nil, "DOCKER_CONTEXT=gone", `"gone" names`},
		{"docker run x", nil, "DOCKER_HOST=unix:///run/user/1000/docker.sock", "network of its own"},
		{"docker run x", nil, "DOCKER_HOST=unix:///home/.docker/desktop/docker.sock", "virtual machine"},
		{"docker run -c 512 x", nil, "", ""},
		{"docker build .", nil, "", ""},
		{"docker buildx build .", nil, "", `builder "boxed" is a container`},
		{"docker buildx build .", nil, "DOCKER_HOST=unix:///other.sock", ""},
		{"docker buildx build --builder default .", nil, "", ""},
		{"docker build .", nil, "BUILDX_BUILDER=boxed", "use --builder=default"},
		{"docker buildx --builder Hosted build .", nil, "", ""},
		{"docker build --builder=cluster .", nil, "", "(kubernetes) is not on this machine"},
		{"docker build --builder remote .", nil, "", ""},
		{"docker build --builder far .", far, "", "tcp://far.test:2376"},
		{"docker run --builder boxed x", nil, "", ""},
		{"podman run x", nil, "CONTAINER_HOST=ssh://core:secret@localhost:1/run/podman.sock", "ssh://localhost:1/"},
		{"podman run x", nil, "CONTAINER_HOST=unix:///run/user/1000/podman/podman.sock", ""},
		{"podman --connection vm run x", nil, "", `"vm" names`},
	} {
		contained, w := surveyed(t, c.line, c.files, c.environ, "BUILDX_CONFIG="+buildx)
		_, got := reach(contained, w)
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) || strings.Contains(got, "secret") {
			t.Errorf("%s, %s: %q, want %q", c.line, c.environ, got, c.want)
		}
	}
}

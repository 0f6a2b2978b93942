package wrap

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/profiles"
	"github.com/agentproxy/agentproxy/profiles/env"
	"github.com/agentproxy/agentproxy/wrap/gitenv"
	"github.com/google/go-cmp/cmp"
)

var tunnel = env.Tunnel{URL: "http://127.0.0.1:4711", Host: "127.0.0.1", Port: "4711", StateDir: "/s", CA: "/s/ca.crt", Bundle: "/s/bundle.crt",
	JavaStore: "/s/java.p12", JavaStorePassword: "changeit", Run: "R"}

// imagined is a machine with these files and versions, and every program in /bin.
func imagined(environ []string, files, versions map[string]string) profiles.World {
	return profiles.World{
		Environ: environ, Home: "/home", Dir: "/home/project",
		LookPath: func(name string) string { return "/bin/" + filepath.Base(name) },
		Exists:   func(path string) bool { _, ok := files[path]; return ok },
		ReadFile: func(path string) ([]byte, error) {
			if text, ok := files[path]; ok {
				return []byte(text), nil
			}
			return nil, fs.ErrNotExist
		},
		Version: func(program string, _ profiles.Probe) string { return versions[filepath.Base(program)] },
	}
}

func planned(t *testing.T, argv []string, w profiles.World) Plan {
	t.Helper()
	survey, err := profiles.Open("").Survey(argv, w)
	if err != nil {
		t.Fatal(err)
	}
	git := gitenv.Survey(gitenv.World{World: w, Config: func() []byte { return nil }}, nil)
	return NewPlan(Input{Argv: argv, Environ: w.Environ, Tunnel: tunnel, Survey: survey, Git: git})
}

func TestPlanOfUnknownCommand(t *testing.T) {
	before := []string{"PATH=/bin", "http_proxy=http://elsewhere:1", "ALL_PROXY=socks5://x", "NO_PROXY=corp.test", "no_proxy=low.test", "NODE_EXTRA_CA_CERTS=/mine.pem", "JAVA_TOOL_OPTIONS=-Xmx1g", "GIT_SSL_NO_VERIFY=0"}
	p := planned(t, []string{"unknown"}, imagined(before, nil, nil))
	for name, want := range map[string]string{
		"PATH": "/bin", "HTTPS_PROXY": tunnel.URL, "https_proxy": tunnel.URL, "http_proxy": "", "ALL_PROXY": "",
		"NO_PROXY": "localhost,127.0.0.1,::1,corp.test,.corp.test,low.test,.low.test", "SSL_CERT_FILE": tunnel.Bundle,
		"NODE_EXTRA_CA_CERTS": tunnel.Bundle, // the user's own is in the bundle
		"DENO_CERT":           tunnel.CA,     // adds to the tool's roots
		"AGENT_PROXY_PORT":    "4711", "AGENT_PROXY_RUN": "R", "HTTP_PROXY": "", "GIT_SSL_NO_VERIFY": "", "HTTPS_CA_FILE": "", "NODE_OPTIONS": "",
	} {
		if got := env.Get(p.Environ, name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if _, set := env.Lookup(p.Environ, "GIT_SSL_NO_VERIFY"); set {
		t.Error("GIT_SSL_NO_VERIFY switches verification off, whatever its value")
	}
	java := env.Get(p.Environ, "JAVA_TOOL_OPTIONS")
	if !strings.HasPrefix(java, "-Xmx1g ") || !strings.Contains(java, "-Dhttps.proxyPort=4711") {
		t.Errorf("JAVA_TOOL_OPTIONS = %q", java)
	}
	for _, c := range p.Changes {
		if c.Reason == "" {
			t.Errorf("%s is changed without a reason", c.Name)
		}
	}
	again := planned(t, []string{"unknown"}, imagined(p.Environ, nil, nil))
	if diff := cmp.Diff(p.Environ, again.Environ); diff != "" {
		t.Errorf("an exec in an exec (-once +twice):\n%s", diff)
	}
}

func TestUsersTrustStoreStays(t *testing.T) {
	p := planned(t, []string{"unknown"}, imagined([]string{"JAVA_TOOL_OPTIONS=-Djavax.net.ssl.trustStore=/mine.jks"}, nil, nil))
	java := env.Get(p.Environ, "JAVA_TOOL_OPTIONS")
	if strings.Count(java, "trustStore=") != 1 || !strings.Contains(java, "/mine.jks") {
		t.Errorf("got %q", java)
	}
}

func TestFilesKeepWhatTheUserHas(t *testing.T) {
	system := map[string]string{"/etc/wgetrc": "tries = 3\n", "/mine": "tries = 4\n",
		"/s/files/x/wgetrc": "tries = 5\nca_certificate = /s/bundle.crt\n"} // an outer exec's
	for variable, want := range map[string]string{"PATH=/bin": "tries = 3\n", "SYSTEM_WGETRC=/mine": "tries = 4\n", "SYSTEM_WGETRC=/s/files/x/wgetrc": "tries = 5\n"} {
		p := planned(t, []string{"unknown"}, imagined([]string{variable}, system, nil))
		path := env.Get(p.Environ, "SYSTEM_WGETRC")
		if len(p.Files) != 1 || p.Files[0].Path != path || !strings.HasPrefix(path, "/s/files/") {
			t.Fatalf("files %v, variable %s", p.Files, path)
		}
		if got := string(p.Files[0].Content); got != want+"ca_certificate = /s/bundle.crt\n" {
			t.Errorf("%s: got %q", variable, got)
		}
	}
}

func TestWriteFilesOnce(t *testing.T) {
	p := Plan{Files: []File{{filepath.Join(t.TempDir(), "files", "hash", "rc"), []byte("x\n")}}}
	for range 2 {
		if err := p.Write(); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(p.Files[0].Path); err != nil || string(got) != "x\n" {
		t.Errorf("%q, %v", got, err)
	}
	p.Files[0].Path = filepath.Join(p.Files[0].Path, "below-a-file")
	if err := p.Write(); !errors.Is(err, fs.ErrExist) && err == nil {
		t.Error("an unwritable place is no error")
	}
}

func TestCAs(t *testing.T) {
	environ := []string{"SSL_CERT_FILE=/a", "CURL_CA_BUNDLE=/a", "SSL_CERT_DIR=/d1:/d2", "PIP_CERT=", "AGENT_PROXY_CA_BUNDLE_PATH=/outer"}
	survey, err := profiles.Open("").Survey([]string{"unknown"}, imagined(environ, nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"/a", "/d1", "/d2", "/outer"}, CAs(survey, &gitenv.Git{}, tunnel, environ)); diff != "" {
		t.Error(diff)
	}
}

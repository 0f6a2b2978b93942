package gitenv

import (
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/profiles/detect"
	"github.com/agentproxy/agentproxy/profiles/env"
	"github.com/agentproxy/agentproxy/profiles/probe"
	"github.com/agentproxy/agentproxy/proxy/proxytest/leftout"
	"github.com/google/go-cmp/cmp"
)

const url = "http://127.0.0.1:4711"

func ours(value string) bool { return value == url }

// imagined is a machine with these files, and git's settings as pairs of origin
// and "key\nvalue".
func imagined(environ []string, files map[string]string, config ...string) System {
	return System{
		System: detect.System{
			Environ: environ, Home: "/home", Dir: "/home/project",
			LookPath: func(name string) string { return "/bin/" + name },
			Exists:   func(path string) bool { _, ok := files[path]; return ok },
			ReadFile: func(path string) ([]byte, error) {
				if text, ok := files[path]; ok {
					return []byte(text), nil
				}
				return nil, fs.ErrNotExist
			},
		},
		Config:    func() []byte { return []byte(strings.Join(config, "\x00") + "\x00") },
		AgentKeys: func(socket string) int { return len(socket) - len("/agent") },
	}
}

func edited(environ []string, g *Git) map[string]string {
	out := map[string]string{}
	for _, entry := range env.Apply(environ, g.Edits(url, environ)) {
		name, value, _ := strings.Cut(entry, "=")
		out[name] = value
	}
	return out
}

func TestRewritesUnlessTheUserHasSSH(t *testing.T) {
	for name, c := range map[string]struct {
		environ []string
		files   map[string]string
		config  []string
		own     string
	}{
		"nothing of the user's": {},
		"known_hosts alone":     {files: map[string]string{"/home/.ssh/known_hosts": ""}},
		"a key file":            {files: map[string]string{"/home/.ssh/id_ed25519": ""}, own: "~/.ssh/id_ed25519 exists"},
		"GIT_SSH_COMMAND":       {environ: []string{"GIT_SSH_COMMAND=ssh -v"}, own: "GIT_SSH_COMMAND is set"},
		"a sandbox's":           {environ: []string{"GIT_SSH_COMMAND=ssh -o ProxyCommand='nc -X 5 -x localhost:1080 %h %p'"}},
		"core.sshCommand": {files: map[string]string{"/home/.gitconfig": "[core]\nsshCommand=x\n"},
			config: []string{"file:/home/.gitconfig", "core.sshcommand\nx"}, own: "core.sshCommand is set"},
		"an entry for the host":   {files: map[string]string{"/home/.ssh/config": "Host corp git*.com\n"}, own: "~/.ssh/config has an entry for github.com"},
		"an entry for everything": {files: map[string]string{"/home/.ssh/config": "Host *\n  User me\nHost=other.test\n"}},
		"an agent with keys":      {environ: []string{"SSH_AUTH_SOCK=/agent.2"}, own: "the SSH agent has keys"},
		"an agent without keys":   {environ: []string{"SSH_AUTH_SOCK=/agent"}},
		"settings of the user's":  {environ: []string{"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=a.b", "GIT_CONFIG_VALUE_0=c"}, own: "GIT_CONFIG_COUNT is set"},
	} {
		g := Detect(imagined(c.environ, c.files, c.config...), nil)
		if g.OwnSSH != c.own {
			t.Errorf("%s: %q, want %q", name, g.OwnSSH, c.own)
		}
		_, rewritten := edited(c.environ, g)["CARGO_NET_GIT_FETCH_WITH_CLI"]
		if rewritten != (c.own == "") {
			t.Errorf("%s: rewriting is %v", name, rewritten)
		}
	}
}

func TestContinuesTheUsersSettings(t *testing.T) {
	environ := []string{"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http.proxy", "GIT_CONFIG_VALUE_0=http://past:1"}
	g := Detect(imagined(environ, nil, "command line:", "http.proxy\nhttp://past:1"), nil)
	got := edited(environ, g)
	want := map[string]string{"GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_0": "http.proxy", "GIT_CONFIG_VALUE_0": "http://past:1",
		"GIT_CONFIG_KEY_1": "http.proxy", "GIT_CONFIG_VALUE_1": url}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	broken := []string{"GIT_CONFIG_COUNT=2", "GIT_CONFIG_KEY_0=a.b", "GIT_CONFIG_VALUE_0=c"}
	if edits := Detect(imagined(broken, nil), nil).Edits(url, broken); len(edits) > 0 {
		t.Errorf("settings that git refuses were mended: %v", edits)
	}
}

// What only begins like this machine is another.
func TestLoopbackURLs(t *testing.T) {
	for url, want := range map[string]bool{
		"http://localhost:3000/": true, "https://u@127.0.0.2/x@y": true, "http://[::1]:80/": true, "http://[::1]": true, "https://git.localhost": true,
		"https://localhost.corp.example/": false, "https://127.corp.example/": false, "https://localhost@git.corp.example": false,
		"https://*.corp.example/": false, "https://git.corp.example:127/localhost": false, "": false,
	} {
		if got := loopback(url); got != want {
			t.Errorf("%q: %v", url, got)
		}
	}
}

func TestConflicts(t *testing.T) {
	file := "[http]\n\tproxy = \n\tsslVerify = false\n\tsslCAInfo = ~/corp.pem\n"
	config := []string{
		"file:/home/.gitconfig", "http.proxy\n",
		"file:/home/.gitconfig", "http.sslverify\nfalse",
		"file:/home/.gitconfig", "http.sslcainfo\n~/corp.pem",
		"file:.git/config", "http.https://git.test/.proxy\nhttp://past:1",
		"file:.git/config", "http.http://localhost:3000/.proxy\n",
		"file:.git/config", "http.https://localhost.corp.example/.proxy\nhttp://past:1",
		"file:.git/config", "remote.origin.proxy\n",
		"file:.git/config", "url.git@github.com:.insteadof\nhttps://github.com/",
		"file:.git/config", "url.https://mirror.test/.insteadof\nhttps://github.com/",
		"file:.git/config", "core.bare\nfalse",
	}
	g := Detect(imagined(nil, map[string]string{"/home/.gitconfig": file}, config...), nil)
	var got []string
	for _, c := range g.Conflicts(ours) {
		got = append(got, c.Code+" "+c.Is+" "+filepath.Base(c.File))
		if c.Overruled == (c.Code == CodeHTTPToSSH) || !c.Overruled && c.Advice == "" {
			t.Errorf("%+v", c)
		}
		if c.Code == CodeCA && (c.Value != "/home/corp.pem" || c.Line != 4) {
			t.Errorf("%+v", c)
		}
	}
	want := []string{"git_http_proxy proxy .gitconfig", "git_http_ssl_verify insecure .gitconfig", "git_http_ssl_ca_info ca .gitconfig",
		"git_http_url_proxy proxy config", "git_http_url_proxy proxy config", "git_remote_proxy proxy config", "git_https_to_ssh_instead_of other config"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	after := edited(nil, g)
	if after["GIT_CONFIG_KEY_0"] != "http.proxy" || after["GIT_CONFIG_VALUE_0"] != url || after["GIT_CONFIG_KEY_1"] != "http.sslverify" || after["GIT_CONFIG_VALUE_1"] != "true" {
		t.Errorf("%v", after)
	}
}

// The real git takes what we set, beside the user's own settings.
func TestRealGit(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		leftout.Note(t, "git's own reading of our settings: git is not installed")
		return
	}
	home := t.TempDir()
	environ := []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1"}
	config := "[http]\n\tproxy = http://past.test:1\n[http \"https://git.test/\"]\n\tproxy =\n\tsslVerify = no\n"
	if err := os.WriteFile(filepath.Join(home, ".gitconfig"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	ask := func(environ []string, args ...string) string {
		t.Helper()
		cmd := exec.Command(git, args...)
		cmd.Env, cmd.Dir = environ, home
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	machine := Machine(t.Context(), probe.Open(environ, "").System(t.Context(), home, home))
	g := Detect(machine, []string{"git.corp.test"})
	after := env.Apply(environ, g.Edits(url, environ))
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"config", "--get", "http.proxy"}, url},
		{[]string{"config", "--get-urlmatch", "http.proxy", "https://git.test/x"}, url},
		{[]string{"config", "--type=bool", "--get-urlmatch", "http.sslVerify", "https://git.test/x"}, "true"},
		{[]string{"ls-remote", "--get-url", "git@github.com:o/r"}, "https://github.com/o/r"},
		{[]string{"ls-remote", "--get-url", "ssh://git@gitlab.com/o/r"}, "https://gitlab.com/o/r"},
		{[]string{"ls-remote", "--get-url", "ssh://git@bitbucket.org:22/o/r"}, "https://bitbucket.org/o/r"},
		{[]string{"ls-remote", "--get-url", "git@git.corp.test:o/r"}, "https://git.corp.test/o/r"},
		{[]string{"ls-remote", "--get-url", "git@other.test:o/r"}, "git@other.test:o/r"},
	} {
		if got := ask(after, c.args...); got != c.want {
			t.Errorf("git %v says %q, want %q", c.args, got, c.want)
		}
	}
	// An exec in an exec adds nothing.
	inner := Detect(Machine(t.Context(), probe.Open(after, "").System(t.Context(), home, home)), []string{"git.corp.test"})
	if edits := inner.Edits(url, after); len(edits) > 0 {
		t.Errorf("twice: %v", edits)
	}
}

func TestAgentKeys(t *testing.T) {
	for answer, want := range map[string]int{
		"\x00\x00\x00\x05\x0c\x00\x00\x00\x02": 2, "\x00\x00\x00\x05\x0c\x00\x00\x00\x00": 0, "\x00\x00\x00\x01\x05zzzz": 0, "": 0,
	} {
		socket := filepath.Join(t.TempDir(), "s")
		l, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			if conn, err := l.Accept(); err == nil {
				conn.Read(make([]byte, 5))
				conn.Write([]byte(answer))
				conn.Close()
			}
		}()
		if got := agentKeys(socket); got != want {
			t.Errorf("%q: %d keys", answer, got)
		}
		l.Close()
		if agentKeys(socket) != 0 {
			t.Error("an agent that is gone has no keys")
		}
	}
}

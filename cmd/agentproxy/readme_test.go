package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/proxy/proxytest"
	"github.com/agentproxy/agentproxy/proxy/proxytest/leftout"
)

// readmeConfigs are the configurations that README's dialogs are held with, by what
// they begin with.
var readmeConfigs = map[string]string{
	"$ agentproxy exec -- npm view": "[policy]\ndefault = \"deny\"\nallow = [\"registry.example\"]\n",
	"$ agentproxy exec -- true":     "[policy]\nalow = [\"registry.example\"]\n",
}

// readmeLeftOut are README's command lines that this walk does not type, and who does.
var readmeLeftOut = map[string]string{
	"CGO_ENABLED=0 go build":  ".ci/run",
	".ci/":                    ".ci/run",
	"agentproxy log -f":       "testdata/script/log.txtar",
	"agentproxy doctor":       "testdata/script/doctor.txtar",
	"agentproxy ca adopt api": "testdata/script/exec_behind_upstream.txtar",
	"agentproxy ca lint api":  "testdata/script/exec_behind_upstream.txtar",
}

// walker types README's lines with a fresh home, and stand-ins for tools that would
// want the network.
type walker struct {
	t         *testing.T
	dir, home string
	environ   []string
}

func newWalker(t *testing.T) *walker {
	w := &walker{t: t, dir: t.TempDir(), environ: sandbox(t)}
	for _, e := range w.environ {
		if home, ok := strings.CutPrefix(e, "HOME="); ok {
			w.home = home
		}
	}
	for name, text := range map[string]string{"npm": "echo 7.0.0", "pip": ":", "docker": ":", "make": "echo all well", "build.sh": ":"} {
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(w.dir, "corp-root.pem"), proxytest.NewCA(t, "corp").PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	w.environ = append(w.environ, "PATH="+w.dir+":"+os.Getenv("PATH"), "GITHUB_ENV="+filepath.Join(w.dir, "github"), "URL=https://a.invalid/")
	return w
}

func (w *walker) configure(text string) {
	dir := filepath.Join(w.home, ".config", "agentproxy")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.toml"), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *walker) enter(line string) (output string, err error) {
	cmd := within(w.t, w.environ, "sh", "-c", line)
	cmd.Dir = w.dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// What README shows is what is printed, apart from times, numbers and names of this run.
func TestReadmeDialogs(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		leftout.Note(t, "README's dialogs, for want of curl")
		t.Skip()
	}
	plain := func(w *walker, text string) string {
		text = strings.ReplaceAll(text, w.home, "/home/me")
		text = regexp.MustCompile(`\(\d+\)|run [A-Z0-9]{8}|\d{4}-\d\d-\d\d|\d\d:\d\d:\d\d`).ReplaceAllString(text, "…")
		return strings.TrimSpace(text)
	}
	dialogs := regexp.MustCompile("(?ms)^```console\n(.*?)^```$").FindAllStringSubmatch(read(t, "../../README.md"), -1)
	if len(dialogs) != 4 {
		t.Fatalf("there are %d dialogs", len(dialogs))
	}
	for _, d := range dialogs {
		w := newWalker(t)
		for begin, text := range readmeConfigs {
			if strings.HasPrefix(d[1], begin) {
				w.configure(text)
			}
		}
		for _, part := range strings.Split("\n"+d[1], "\n$ ")[1:] {
			line, want, _ := strings.Cut(part, "\n")
			if strings.Contains(line, " log ") { // the audit log is written behind the answer
				w.enter(`for i in 1 2 3 4 5 6 7 8 9; do test -n "$(agentproxy log --host evil.example)" && break; sleep 0.2; done`)
			}
			if got, _ := w.enter(line); plain(w, got) != plain(w, want) {
				t.Errorf("%s prints\n%s\nREADME says\n%s", line, plain(w, got), plain(w, want))
			}
		}
	}
}

// Every other line of README can be typed, one after the other.
func TestReadmeLines(t *testing.T) {
	w := newWalker(t)
	w.configure("[policy]\ndeny = [\"evil.example\"]\n")
	typed := 0
	for _, block := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(read(t, "../../README.md"), -1) {
		for line := range strings.Lines(block[1]) {
			left := false
			for begin := range readmeLeftOut {
				left = left || strings.HasPrefix(line, begin)
			}
			if left {
				continue
			}
			if strings.Contains(line, "--isolate") {
				if exec.Command("unshare", "-Urnm", "true").Run() != nil {
					leftout.Note(t, "README's line with --isolate, for want of the right to make namespaces")
					continue
				}
			}
			if strings.HasPrefix(line, "agentproxy uninstall ") && !strings.Contains(line, "--dry-run") {
				line = strings.Replace(line, "uninstall", "uninstall --yes", 1) // nobody is here to answer
			}
			typed++
			if out, err := w.enter(line); err != nil && !strings.Contains(line, "curl") {
				t.Errorf("%s ends with %v: %s", strings.TrimSpace(line), err, out)
			}
		}
	}
	if typed < 15 {
		t.Errorf("only %d lines were typed", typed)
	}
	left, err := os.ReadDir(w.home)
	for _, e := range left {
		if e.Name() != ".config" { // the configuration is the user's
			t.Errorf("%s is left in the home directory, %v", e.Name(), err)
		}
	}
}

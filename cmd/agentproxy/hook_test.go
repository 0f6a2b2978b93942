package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/profiles/env"
	"github.com/agentproxy/agentproxy/proxy/proxytest/leftout"
	"github.com/google/go-cmp/cmp"
)

// interactiveShells are how each one is started with the file "rc" alone, and
// its own words for what the dialog below types.
var interactiveShells = []struct {
	name, load, status string
	start              []string
}{
	{"bash", `eval "$(agentproxy hook bash)"`, "$?", []string{"bash", "--noprofile", "--rcfile", "rc", "-i"}},
	{"bash posix", `eval "$(agentproxy hook bash)"`, "$?", []string{"bash", "--noprofile", "--posix", "-i"}},
	{"zsh", `eval "$(agentproxy hook zsh)"`, "$?", []string{"zsh", "-d", "-i"}},
	{"fish", "agentproxy hook fish | source", "$status", []string{"fish", "--no-config", "--private", "--init-command", "source rc"}},
	{"sh", `eval "$(agentproxy hook sh)"`, "$?", []string{"dash", "-i"}},
}

// The environment follows the tunnel from prompt to prompt, a failure is told of
// once, and afterwards everything is as it was.
func TestHookAtPrompt(t *testing.T) {
	for _, sh := range interactiveShells {
		t.Run(sh.name, func(t *testing.T) {
			if _, err := exec.LookPath(sh.start[0]); err != nil {
				leftout.Note(t, "the hook in "+sh.start[0]+", which is not installed")
				t.Skip()
			}
			env := append(sandbox(t), "TERM=dumb", "http_proxy=http://it's \"$x\".test")
			dir := t.TempDir()
			write := func(name, text string) {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			write("rc", "env | sort >before\n"+sh.load+"\n"+sh.load+"\n")
			write(".zshrc", ". ./rc\n")
			write("config.toml", "[policy]\ndeny = [\"evil.example\"]\n")
			env = append(env, "ZDOTDIR="+dir, "ENV="+filepath.Join(dir, "rc"), "AGENTPROXY_CONFIG="+filepath.Join(dir, "config.toml"))
			cmd := within(t, env, sh.start[0], sh.start[1:]...)
			cmd.Dir = dir
			// The shell reads line after line of what is typed ahead.
			screen := dialog{{"", typing(strings.ReplaceAll(typedAtPrompts, "STATUS", sh.status))}}.play(t, cmd)
			read := func(name string) string {
				data, _ := os.ReadFile(filepath.Join(dir, name)) // a missing one is an empty one
				return string(data)
			}
			atPrompt := sh.name != "sh" // which cannot look there
			follows := map[bool]string{true: "0\n", false: "1\n"}[atPrompt]
			for name, want := range map[string]string{"on": "1\n", "status": "1\n", "gone": follows, "again": "1\n"} {
				if got := read(name); got != want {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
			if before, after := read("before"), read("after"); before == "" || before != after {
				t.Errorf("the environment was\n%sand is\n%s", before, after)
			}
			if told := strings.Count(screen, "(seen by the tunnel)"); atPrompt && told != 1 {
				t.Errorf("a failure was told of %d times", told)
			}
			if t.Failed() {
				t.Logf("screen: %s", screen)
			}
		})
	}
}

const typedAtPrompts = `env | grep -c ^HTTPS_PROXY= >on
false
echo STATUS >status
fetch https://evil.example/
false
agentproxy down
env | grep -c ^HTTPS_PROXY= >gone
agentproxy up
env | grep -c ^HTTPS_PROXY= >again
agentproxy_off
env | sort >after
exit
`

// A shell that was hooked notices at its next prompt that the configuration was
// written, edited, broken, mended or removed. One line says that it goes past the
// tunnel, when that begins and never again; agentproxy_on fails then.
func TestHookFollowsTheConfiguration(t *testing.T) {
	for _, sh := range interactiveShells {
		if sh.name == "sh" {
			continue // it looks at nothing before a prompt
		}
		t.Run(sh.name, func(t *testing.T) {
			if _, err := exec.LookPath(sh.start[0]); err != nil {
				leftout.Note(t, "the hook in "+sh.start[0]+", which is not installed")
				return
			}
			dir := t.TempDir()
			env := append(sandbox(t), "TERM=dumb", "ZDOTDIR="+dir, "ENV="+filepath.Join(dir, "rc"), "XDG_CONFIG_HOME="+filepath.Join(dir, "config"))
			for name, text := range map[string]string{
				"rc": sh.load + "\n", ".zshrc": ". ./rc\n",
				"deny.toml": "[policy]\ndeny = [\"evil.example\"]\n", "broken.toml": "[policy\n",
			} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.MkdirAll(filepath.Join(dir, "config", "agentproxy"), 0o755); err != nil {
				t.Fatal(err)
			}
			cmd := within(t, env, sh.start[0], sh.start[1:]...)
			cmd.Dir = dir
			screen := dialog{{"", typing(strings.ReplaceAll(typedAtEdits, "STATUS", sh.status))}}.play(t, cmd)
			urls := map[string]string{}
			for _, name := range []string{"none", "written", "broken", "still", "on", "mended", "removed", "down"} {
				data, err := os.ReadFile(filepath.Join(dir, name))
				if err != nil {
					t.Errorf("%v", err)
				}
				urls[name] = strings.TrimSpace(string(data))
			}
			if urls["none"] == "" || urls["written"] == "" || urls["written"] == urls["none"] {
				t.Errorf("after it was written: %q, before %q", urls["written"], urls["none"])
			}
			if urls["broken"] != "" || urls["still"] != "" || urls["on"] != "125" {
				t.Errorf("broken: %q, %q, agentproxy_on %q", urls["broken"], urls["still"], urls["on"])
			}
			if urls["mended"] != urls["written"] || urls["removed"] != urls["none"] || urls["down"] != "" {
				t.Errorf("mended: %q, removed %q, down %q", urls["mended"], urls["removed"], urls["down"])
			}
			// Once when it broke, once more for agentproxy_on.
			if said := strings.Count(screen, "agentproxy: this shell goes past the tunnel: "); said != 2 {
				t.Errorf("said %d times that it goes past the tunnel", said)
			}
			if said := strings.Count(screen, "agentproxy: the tunnel has left, and this shell goes past it now"); said != 1 {
				t.Errorf("said %d times that the tunnel has left", said)
			}
			if t.Failed() {
				t.Logf("screen: %s", screen)
			}
		})
	}
}

const typedAtEdits = `echo "$HTTPS_PROXY" >none
cp deny.toml config/agentproxy/config.toml
echo "$HTTPS_PROXY" >written
cp broken.toml config/agentproxy/config.toml
echo "$HTTPS_PROXY" >broken
echo "$HTTPS_PROXY" >still
agentproxy_on
echo STATUS >on
cp deny.toml config/agentproxy/config.toml
echo "$HTTPS_PROXY" >mended
rm config/agentproxy/config.toml
echo "$HTTPS_PROXY" >removed
agentproxy down
echo "$HTTPS_PROXY" >down
echo "$HTTPS_PROXY" >down
exit
`

// In bash others find before their prompt what the command has left, and the
// next command, too, in both forms of PROMPT_COMMAND. Nothing ends a shell that
// ends at the first error.
func TestHookLeavesStatus(t *testing.T) {
	for _, others := range []string{`PROMPT_COMMAND='seen="${PIPESTATUS[*]}";'`, `PROMPT_COMMAND=('seen="${PIPESTATUS[*]}"' :)`} {
		dir := t.TempDir()
		rc := filepath.Join(dir, "rc")
		text := others + "\neval \"$(agentproxy hook bash)\"\ntrap 'echo leaving >trapped' EXIT\n"
		if err := os.WriteFile(rc, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := within(t, append(sandbox(t), "TERM=dumb"), "bash", "--noprofile", "--rcfile", rc, "-i")
		cmd.Dir = dir
		screen := dialog{{"", typing(`! true | false | true
echo ${PIPESTATUS[*]} and $seen >pipe
set -eu
true
! true
echo alive >>pipe
exit
`)}}.play(t, cmd)
		got, err := os.ReadFile(filepath.Join(dir, "pipe"))
		if want := "0 1 0 and 0 1 0\nalive\n"; err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v; want %q; screen: %s", others, got, err, want, screen)
		}
		if _, err := os.Stat(filepath.Join(dir, "trapped")); err != nil {
			t.Errorf("the user's trap is gone: %v", err)
		}
	}
}

// What an outer hook has made is undone, what somebody has set since is not, and
// no credentials are handed on.
func TestUndo(t *testing.T) {
	change := []env.Edit{{Name: "HTTPS_PROXY", Value: "ours"}, {Name: "NO_PROXY", Value: "merged"}, {Name: "PIP_CERT", Value: "bundle"}}
	outside := &process{Environ: []string{"NO_PROXY=corp.test", "HTTPS_PROXY=http://corp.test:3128"}}
	value, ok := undo(outside, change)
	if !ok {
		t.Error("nothing is handed on")
	}
	inside := &process{Environ: []string{undoVariable + "=" + value, "HTTPS_PROXY=ours", "NO_PROXY=mine", "PIP_CERT=bundle"}}
	inside.Environ = env.Apply(inside.Environ, takeBack(inside))
	if want := []string{"HTTPS_PROXY=http://corp.test:3128", "NO_PROXY=mine"}; !cmp.Equal(inside.Environ, want) {
		t.Errorf("taken back to %q, want %q", inside.Environ, want)
	}
	if again := takeBack(inside); again != nil {
		t.Errorf("taken back twice: %v", again)
	}
	outside.Environ = []string{"HTTPS_PROXY=me:secret@corp.test:3128"}
	if value, ok := undo(outside, change); ok {
		t.Errorf("handed on: %s", value)
	}
}

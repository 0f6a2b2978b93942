package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/agentproxy/agentproxy/proxy/proxytest/leftout"
	screens "github.com/agentproxy/agentproxy/proxy/proxytest/process"
)

// What is typed into a real shell, with Tab where the line is to be completed, and the
// words that agentproxy gets then.
var completions = []struct{ keys, words string }{
	{"unin\t", "uninstall"},
	{"trust inst\t--sto\tfire\t", "trust install --store firefox"},
	{"exec --retr\tsa\t-- true", "exec --retry safe -- true"},
	{"exec --capture=alw\t-- true", "exec --capture=always -- true"},
	{"env --form\tdock\t", "env --format docker"},
	{"hook install --mod\tshi\tzs\t", "hook install --mode shims zsh"},
	{"profile show pipx\t", "profile show pipx"},
	{"ca lint ./corp-r\t", "ca lint ./corp-root.pem"},
	{"log --host evil.exam\t", "log --host evil.example:443"},
	{"why evil.exam\t", "why evil.example"},
}

// The completions are driven in real shells, which run a function in place of the program.
func TestCompletionInShells(t *testing.T) {
	for _, sh := range []struct {
		name  string
		start []string
		rc    string
	}{
		{"bash", []string{"bash", "--noprofile", "--rcfile", "rc", "-i"}, "bind 'set bell-style none'; PS1='ready> '\neval \"$(agentproxy completion bash)\"\nagentproxy() { echo \"words: $*.\"; }\n"},
		{"zsh", []string{"zsh", "-d", "-i"}, "PS1='ready> '; unsetopt beep; autoload -Uz compinit; compinit -D\neval \"$(agentproxy completion zsh)\"\nagentproxy() { echo \"words: $*.\" }\n"},
		{"fish", []string{"fish", "--no-config", "--private", "--init-command", "source rc"}, "set -g fish_autosuggestion_enabled 0; function fish_prompt; echo -n 'ready> '; end\nagentproxy completion fish | source\nfunction agentproxy; echo \"words: $argv.\"; end\n"},
	} {
		t.Run(sh.name, func(t *testing.T) {
			if _, err := exec.LookPath(sh.name); err != nil {
				leftout.Note(t, "completion in "+sh.name+", which is not installed")
				t.Skip()
			}
			t.Parallel()
			dir := t.TempDir()
			env := append(sandbox(t), "TERM=dumb", "ZDOTDIR="+dir, "AGENTPROXY_CONFIG="+filepath.Join(dir, "config.toml"))
			for name, text := range map[string]string{"rc": sh.rc, ".zshrc": ". ./rc\n", "corp-root.pem": "", "config.toml": "[policy]\ndeny = [\"evil.example\"]\n"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_ = agentproxy(t, env, "exec", "--", "fetch", "https://evil.example/").Run() // is refused, and in the log
			cmd := within(t, env, sh.start[0], sh.start[1:]...)
			cmd.Dir = dir
			screen := screens.OnTerminal(t, cmd)
			for _, c := range completions {
				screen.Await("ready> ")
				screen.Type("agentproxy " + c.keys + "\r")
				screen.Await("words: " + c.words + ".")
			}
			screen.Await("ready> ")
			screen.Type("exit\r")
			screen.End()
		})
	}
}

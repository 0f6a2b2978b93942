package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/shell"
	"github.com/spf13/pflag"
)

func hookCommand() *command {
	return &command{
		name:  "hook",
		args:  strings.Join(shell.Names(), " | ") + " | install [shell] | remove [shell] | <agent>",
		short: "Make the tunnel a part of your shell",
		examples: `
  eval "$(agentproxy hook bash)"                 # in ~/.bashrc: what you type goes through the tunnel
  agentproxy hook fish | source                  # in config.fish
  agentproxy hook install zsh                    # writes that line to ~/.zshrc; "remove" takes it out again
  agentproxy hook claude-code                    # for ~/.claude/settings.json: the agent's commands run through exec
  agentproxy hook opencode >~/.config/opencode/plugin/agentproxy.js`,
		long: `
--mode env (default) sets the shell's environment. It follows the tunnel: refreshed
when the port changes, taken back when the tunnel is gone. agentproxy_off undoes it
exactly, agentproxy_on does it again. When a command fails and the tunnel saw why,
one line says so. At a prompt nothing is started when nothing has happened. An sh
has no hook before its prompt: there, agentproxy_on refreshes.

--mode wrap leaves the environment alone: commands that have a profile run through
"agentproxy exec --", by functions. Your own aliases and functions win, and
"command npm" is npm itself.

--mode shims does so by a directory in front of PATH, for what functions do not
reach: scripts, Makefiles, agents. Inside exec the directory is left out. It is made
for the commands that are installed when the hook is printed.

An agent's name prints what makes its shell commands run through exec:

  claude-code   a setting for ~/.claude/settings.json
  codex         a hook for ~/.codex/config.toml; it asks you once to trust it: /hooks
  gemini        a hook for ~/.gemini/settings.json
  opencode      a plugin: ~/.config/opencode/plugin/agentproxy.js

Other agents take the shims: start them in a shell that has them. On Linux,
AGENTPROXY_CAPTURE=always in an agent's environment gives each of its commands a
network of its own, all of which leads into the tunnel.`,
		define: func(flags *pflag.FlagSet) action {
			var f hookFlags
			flags.StringVar(&f.mode, "mode", "env", "env: the shell's environment; wrap: commands that have a profile, by functions; shims: by a directory on PATH")
			flags.StringVar(&f.rc, "rc", "", "with install and remove: edit this `file` instead of the shell's own")
			return func(_ context.Context, proc *process, args []string) error { return runHook(proc, f, args) }
		},
		values: func(_ *process, words []string) []string {
			switch {
			case len(words) == 0:
				return append(append(shell.Names(), "install", "remove"), agentNames()...)
			case len(words) == 1 && (words[0] == "install" || words[0] == "remove"):
				return shell.Names()
			}
			return nil
		},
	}
}

type hookFlags struct{ mode, rc string }

func runHook(proc *process, f hookFlags, args []string) error {
	if !slices.Contains([]string{"env", "wrap", "shims"}, f.mode) {
		return hint(fmt.Errorf("--mode is env, wrap or shims, not %q", f.mode), "agentproxy hook --help")
	}
	if len(args) > 0 && (args[0] == "install" || args[0] == "remove") {
		return editRC(proc, f, args[0], args[1:])
	}
	if len(args) != 1 {
		return hint(errors.New("hook needs a shell or an agent, install or remove"), "agentproxy hook install bash")
	}
	exe, err := ownPath()
	if err != nil {
		return err
	}
	if a, ok := agentNamed(args[0]); ok {
		return printAgent(proc, a, exe)
	}
	sh, ok := shell.Named(args[0])
	if !ok {
		return hint(fmt.Errorf("there is no hook for %q; there are %s", args[0], strings.Join(append(shell.Names(), agentNames()...), ", ")), "agentproxy hook --help")
	}
	switch f.mode {
	case "env":
		fmt.Fprint(proc.Out, sh.Hook(exe))
		return nil
	case "shims":
		dir, err := writeShims(proc, exe)
		if err == nil {
			fmt.Fprint(proc.Out, sh.Prepend(dir))
		}
		return err
	}
	if !sh.Wraps() {
		return noWrap(sh)
	}
	fmt.Fprint(proc.Out, sh.Wrap(exe, wrappable(proc)))
	return nil
}

// ownPath is this program's, as it can be called from anywhere.
func ownPath() (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("the path of this program: %w", err)
	}
	return exe, nil
}

// editRC puts the line that loads the hook into an rc file, or takes it out. A
// file that is named needs no shell for the latter.
func editRC(proc *process, f hookFlags, verb string, args []string) error {
	if verb == "remove" && f.rc != "" && len(args) == 0 {
		changed, err := shell.RemoveHook(f.rc)
		return sayRC(proc, verb, f.rc, changed, err)
	}
	sh, err := shellToEdit(proc, verb, args)
	if err != nil {
		return err
	}
	path := f.rc
	if path == "" {
		home, err := rundir.Home(proc.Getenv)
		if err != nil {
			return err
		}
		path = sh.RCPath(home, proc.Getenv)
	}
	if verb == "remove" {
		changed, err := shell.RemoveHook(path)
		return sayRC(proc, verb, path, changed, err)
	}
	if f.mode == "wrap" && !sh.Wraps() {
		return noWrap(sh)
	}
	exe, err := ownPath()
	if err != nil {
		return err
	}
	changed, err := sh.InstallHook(path, exe, "hook "+sh.Name+" --mode "+f.mode)
	return sayRC(proc, verb, path, changed, err)
}

// shellToEdit is the shell that was named, else the user's own.
func shellToEdit(proc *process, verb string, args []string) (shell.Shell, error) {
	switch own := proc.Getenv("SHELL"); {
	case len(args) > 1:
		return shell.Shell{}, hint(fmt.Errorf("hook %s takes one shell, not %d", verb, len(args)), "agentproxy hook %s %s", verb, args[0])
	case len(args) == 1:
		return namedShell(args[0])
	case own != "":
		return namedShell(filepath.Base(own))
	}
	return shell.Shell{}, hint(errors.New("$SHELL does not say which shell"), "agentproxy hook %s bash", verb)
}

func sayRC(proc *process, verb, path string, changed bool, err error) error {
	if err == nil {
		fmt.Fprintln(proc.Out, rcSentence(verb, path, changed))
	}
	return err
}

func noWrap(sh shell.Shell) error {
	return hint(fmt.Errorf("there is no wrap mode for %s", sh.Name), "agentproxy hook %s", sh.Name)
}

// wrappable are the commands that have a profile and are installed.
func wrappable(proc *process) []string {
	var found []string
	for _, name := range library(proc).Commands() {
		if isInstalled(name) {
			found = append(found, name)
		}
	}
	return found
}

func isInstalled(name string) bool {
	_, err := exec.LookPath(name)
	return (err == nil || errors.Is(err, exec.ErrDot)) && !strings.Contains(name, "/")
}

// rcSentence tells what "hook install" or "hook remove" came to.
func rcSentence(verb, path string, changed bool) string {
	switch {
	case verb == "install" && changed:
		return "the hook is in " + path + "; a new shell has it"
	case verb == "install":
		return "the hook is in " + path + " already"
	case changed:
		return "the hook is out of " + path
	}
	return "there is no hook of ours in " + path
}

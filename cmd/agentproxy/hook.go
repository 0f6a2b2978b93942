package main

import (
	"cmp"
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
		args:  "[FLAG...] {" + strings.Join(append(shell.Names(), agentNames()...), " | ") + "}",
		short: "Make the tunnel a part of your shell, or of a coding agent",
		examples: `
  agentproxy hook install zsh           # loads the hook in ~/.zshrc; "hook remove zsh" takes it out again
  agentproxy hook install claude-code   # the agent's shell commands run through exec
  eval "$(agentproxy hook bash)"        # this shell only
  agentproxy hook fish | source         # the same in fish`,
		long: `
For a shell, hook prints what the shell is to evaluate. --mode says what that does:

  env    (default) sets the shell's environment and follows the tunnel: refreshed when
         the port changes, taken back when the tunnel is gone. agentproxy_off undoes
         it exactly, agentproxy_on does it again. When a command fails and the tunnel
         saw why, one line says so. An sh has no hook before its prompt; there,
         agentproxy_on refreshes.
  wrap   leaves the environment alone and makes functions of the commands that have a
         profile: they run through "agentproxy exec --". Your own aliases and
         functions win, and "command npm" is npm itself.
  shims  does the same by a directory in front of PATH, which also reaches scripts,
         Makefiles and agents. It holds the commands that are installed now.

For an agent, hook prints what belongs in its settings; install puts it there.

  claude-code   ~/.claude/settings.json
  codex         ~/.codex/config.toml; Codex asks you once to trust the hook (/hooks)
  gemini        ~/.gemini/settings.json
  opencode      ~/.config/opencode/plugins/agentproxy.js

Other agents take the shims: start them in a shell that has them. On Linux,
AGENTPROXY_CAPTURE=always in an agent's environment gives each of its commands a
network of its own.`,
		define: func(flags *pflag.FlagSet) action {
			var f hookFlags
			f.defineMode(flags)
			return func(_ context.Context, proc *process, args []string) error { return runHook(proc, f, args) }
		},
		verbs: []*command{
			{
				name:  "hook install",
				args:  "[FLAG...] [SHELL | AGENT]",
				short: "Load the hook in a shell's rc file, or put it into an agent's settings",
				examples: `
  agentproxy hook install                    # for your own shell ($SHELL)
  agentproxy hook install bash --mode shims  # by a directory on PATH
  agentproxy hook install codex              # for this agent`,
				long: `
A marked block in the rc file loads the hook. In an agent's settings our entry joins
yours. A copy of the file from before lies beside it, with the ending
.agentproxy-backup, until the hook is removed.`,
				define: func(flags *pflag.FlagSet) action {
					var f hookFlags
					f.defineMode(flags)
					f.defineFile(flags)
					return func(_ context.Context, proc *process, args []string) error { return installHook(proc, f, args) }
				},
				values: hookNames, flagValues: modeValues,
			},
			{
				name:  "hook remove",
				args:  "[FLAG...] [SHELL | AGENT]",
				short: "Take the hook out again",
				examples: `
  agentproxy hook remove                # from your own shell's rc file
  agentproxy hook remove claude-code    # from this agent's settings`,
				long:     "Everything else in the file stays. A file that the hook alone was in goes.",
				destroys: true,
				define: func(flags *pflag.FlagSet) action {
					var f hookFlags
					f.defineFile(flags)
					return func(_ context.Context, proc *process, args []string) error { return removeHook(proc, f, args) }
				},
				values: hookNames,
			},
		},
		values:     func(p *process, words []string) []string { return hookNames(p, words) },
		flagValues: modeValues,
	}
}

func hookNames(_ *process, words []string) []string {
	if len(words) > 0 {
		return nil
	}
	return append(shell.Names(), agentNames()...)
}

var (
	modes      = []string{"env", "wrap", "shims"}
	modeValues = map[string]func(*process) []string{"mode": values(modes...)}
)

type hookFlags struct{ mode, rc string }

func (f *hookFlags) defineMode(flags *pflag.FlagSet) {
	flags.StringVar(&f.mode, "mode", "", "the `MODE` of a shell's hook: env, wrap or shims (default: env)")
}

func (f *hookFlags) defineFile(flags *pflag.FlagSet) {
	flags.StringVar(&f.rc, "rc", "", "edit this `FILE` instead of the shell's or the agent's own")
}

func (f *hookFlags) checkMode() error {
	if f.mode != "" && !slices.Contains(modes, f.mode) {
		return hint(fmt.Errorf("--mode is env, wrap or shims, not %q", f.mode), "agentproxy hook --help")
	}
	return nil
}

func runHook(proc *process, f hookFlags, args []string) error {
	if err := f.checkMode(); err != nil {
		return err
	}
	if len(args) == 2 { // as others have it: hook codex install
		switch args[1] {
		case "install":
			return installHook(proc, f, args[:1])
		case "remove":
			return removeHook(proc, f, args[:1])
		}
	}
	if len(args) != 1 {
		return hint(errors.New("hook needs a shell or an agent, install or remove"), "agentproxy hook install bash")
	}
	exe, err := ownPath()
	if err != nil {
		return err
	}
	if a, ok := agentNamed(args[0]); ok {
		if f.mode != "" {
			return noMode(a)
		}
		return printAgent(proc, a, exe)
	}
	sh, ok := shell.Named(args[0])
	if !ok {
		return hint(fmt.Errorf("there is no hook for %q; there are %s", args[0], strings.Join(append(shell.Names(), agentNames()...), ", ")), "agentproxy hook --help")
	}
	switch f.mode {
	case "", "env":
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

func noMode(a codingAgent) error {
	return hint(fmt.Errorf("--mode is for shells, and %s is an agent", a.name), "agentproxy hook install %s", a.name)
}

// installHook puts the line that loads the hook into a shell's rc file, or the hook
// into an agent's settings.
func installHook(proc *process, f hookFlags, args []string) error {
	if err := f.checkMode(); err != nil {
		return err
	}
	exe, err := ownPath()
	if err != nil {
		return err
	}
	if len(args) == 1 {
		if a, ok := agentNamed(args[0]); ok {
			if f.mode != "" {
				return noMode(a)
			}
			return installAgent(proc, a, exe, f.rc)
		}
	}
	sh, err := shellToEdit(proc, "install", args)
	if err != nil {
		return err
	}
	if f.mode == "wrap" && !sh.Wraps() {
		return noWrap(sh)
	}
	path, err := rcFileOf(proc, sh, f.rc)
	if err != nil {
		return err
	}
	changed, err := sh.InstallHook(path, exe, "hook "+sh.Name+" --mode "+cmp.Or(f.mode, "env"))
	return sayRC(proc, "install", path, changed, err)
}

// removeHook takes it out. A file that is named needs no shell for that.
func removeHook(proc *process, f hookFlags, args []string) error {
	if len(args) == 1 {
		if a, ok := agentNamed(args[0]); ok {
			return removeAgent(proc, a, f.rc)
		}
	}
	path := f.rc
	if path == "" || len(args) > 0 {
		sh, err := shellToEdit(proc, "remove", args)
		if err != nil {
			return err
		}
		if path, err = rcFileOf(proc, sh, f.rc); err != nil {
			return err
		}
	}
	changed, err := shell.RemoveHook(path)
	if err == nil {
		tidy(proc, filepath.Dir(path))
	}
	return sayRC(proc, "remove", path, changed, err)
}

// rcFileOf is the file that was named, else the shell's own.
func rcFileOf(proc *process, sh shell.Shell, named string) (string, error) {
	if named != "" {
		return named, nil
	}
	home, err := rundir.Home(proc.Getenv)
	if err != nil {
		return "", err
	}
	return sh.RCPath(home, proc.Getenv), nil
}

// tidy removes the directory, and those above it below the home directory, as far
// as they are empty.
func tidy(proc *process, dir string) {
	home, err := rundir.Home(proc.Getenv)
	for err == nil && strings.HasPrefix(dir, filepath.Clean(home)+"/") {
		err = os.Remove(dir)
		dir = filepath.Dir(dir)
	}
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
		return "the hook is in " + path + "; what starts from now on has it"
	case verb == "install":
		return "the hook is in " + path + " already"
	case changed:
		return "the hook is out of " + path
	}
	return "there is no hook of ours in " + path
}

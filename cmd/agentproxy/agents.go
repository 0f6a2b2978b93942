package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/shell"
	"github.com/pelletier/go-toml/v2"
)

// The scripts that run an agent's command lines are in the directory of the
// configuration, which stays when the state goes (a cleaner, shared memory after a
// reboot): settings of agents name them, and without one every command of an agent's
// would fail. The first is named by what "hook" prints, and stays for ever, as nobody
// knows where that went; the second by what "hook install" manages.
const (
	agentShellName     = "agent-shell"
	installedShellName = "agent-run"
)

// codingAgent is an agent that lets others have a say in the shell commands that
// it runs.
type codingAgent struct {
	name string
	// home is its directory: what a variable names, else below another one, which a
	// variable may name, too. file is below it.
	variable, base, directory, file string
	// settings prints what belongs into the agent's settings; script runs a command
	// line, hook answers the agent's own hook.
	settings func(w io.Writer, script, hook string) error
	// insert merges that into the file's text; remove takes it out again, and returns
	// nil when nothing is left.
	insert func(text []byte, script, hook string) ([]byte, error)
	remove func(text []byte, mine mine) ([]byte, error)
	// answer is what the agent's hook says to a call of its shell tool that is to
	// run another command; nil for an agent that calls no hook of ours.
	answer func(call toolCall, command string) any
}

// mine tells our entries in settings from others: scripts are ours by their path,
// hooks by what they call.
type mine struct{ scripts []string }

// script reports whether the JSON text is the path of a script of ours.
func (m mine) script(value string) bool {
	var path string
	return json.Unmarshal([]byte(value), &path) == nil && slices.Contains(m.scripts, path)
}

// hookOf reports whether a text calls our answer to the agent's hook.
func hookOf(agent string) func(text string) bool {
	return func(text string) bool { return strings.Contains(text, " __hook tool "+agent) }
}

// toolCall is what agents tell their hooks on stdin.
type toolCall struct {
	Event string         `json:"hook_event_name"`
	Input map[string]any `json:"tool_input"`
}

// with is the call's input with another command.
func (c toolCall) with(command string) map[string]any {
	c.Input["command"] = command
	return c.Input
}

var codingAgents = []codingAgent{
	// CLAUDE_CODE_SHELL_PREFIX and CLAUDE_CONFIG_DIR in Claude Code's documentation of
	// environment variables: the first is a program that gets each command line as one
	// argument.
	{name: "claude-code", variable: "CLAUDE_CONFIG_DIR", directory: ".claude", file: "settings.json", settings: func(w io.Writer, script, _ string) error {
		return printSettings(w, map[string]any{"env": map[string]string{"CLAUDE_CODE_SHELL_PREFIX": script}})
	}, insert: func(text []byte, script, _ string) ([]byte, error) {
		return shell.InsertJSON(text, quoted(script), "env", "CLAUDE_CODE_SHELL_PREFIX")
	}, remove: func(text []byte, mine mine) ([]byte, error) {
		return shell.RemoveJSON(text, mine.script, "env", "CLAUDE_CODE_SHELL_PREFIX")
	}},
	// Codex's documentation of hooks, which are on by default since 0.124: what they
	// change they must allow, which takes nothing from its questions to the user.
	{name: "codex", variable: "CODEX_HOME", directory: ".codex", file: "config.toml", settings: func(w io.Writer, _, hook string) error {
		_, err := fmt.Fprintln(w, codexHook(hook))
		return err
	}, insert: func(text []byte, _, hook string) ([]byte, error) {
		return insertCodex(text, codexHook(hook))
	}, remove: func(text []byte, _ mine) ([]byte, error) {
		return shell.RemoveBlock(text), nil
	}, answer: func(call toolCall, command string) any {
		return map[string]any{"hookEventName": call.Event, "permissionDecision": "allow", "updatedInput": call.with(command)}
	}},
	// Gemini CLI's reference of hooks: tool_input is merged into the call's.
	{name: "gemini", directory: ".gemini", file: "settings.json", settings: func(w io.Writer, _, hook string) error {
		return printSettings(w, map[string]any{"hooks": map[string]any{"BeforeTool": []any{geminiHook(hook)}}})
	}, insert: func(text []byte, _, hook string) ([]byte, error) {
		return shell.InsertJSON(text, compactJSON(geminiHook(hook)), "hooks", "BeforeTool", "")
	}, remove: func(text []byte, _ mine) ([]byte, error) {
		return shell.RemoveJSON(text, hookOf("gemini"), "hooks", "BeforeTool", "")
	}, answer: func(_ toolCall, command string) any {
		return map[string]any{"tool_input": map[string]any{"command": command}}
	}},
	// OpenCode's documentation of plugins: tool.execute.before may change the
	// arguments.
	{name: "opencode", variable: "OPENCODE_CONFIG_DIR", base: "XDG_CONFIG_HOME", directory: ".config/opencode", file: "plugins/agentproxy.js", settings: func(w io.Writer, script, _ string) error {
		_, err := io.WriteString(w, shell.OpenCodePlugin(script))
		return err
	}, insert: func(text []byte, script, _ string) ([]byte, error) {
		if len(text) > 0 {
			return nil, errors.New("it is there, and not ours")
		}
		return []byte(shell.OpenCodePlugin(script)), nil
	}, remove: func(text []byte, _ mine) ([]byte, error) {
		if shell.IsOpenCodePlugin(text) {
			return nil, nil
		}
		return text, nil
	}},
}

func geminiHook(hook string) map[string]any {
	return map[string]any{"matcher": "^run_shell_command$", "hooks": []any{map[string]any{"type": "command", "name": "agentproxy", "command": hook}}}
}

func codexHook(hook string) string {
	return "[[hooks.PreToolUse]]\nmatcher = \"^Bash$\"\n\n[[hooks.PreToolUse.hooks]]\ntype = \"command\"\ncommand = " + quoted(hook)
}

// insertCodex puts the tables at the end of the file, unless Codex would not read them
// there.
func insertCodex(text []byte, tables string) ([]byte, error) {
	added := shell.InsertBlock(text, tables)
	var is struct {
		Features struct {
			Hooks *bool `toml:"hooks"`
		} `toml:"features"`
	}
	if err := toml.Unmarshal(added, &is); err != nil {
		return nil, fmt.Errorf("with the hook in it, it is not TOML any more: %w", err)
	}
	if is.Features.Hooks != nil && !*is.Features.Hooks {
		return nil, errors.New("features.hooks = false switches hooks off")
	}
	return added, nil
}

// path is where the agent's settings are.
func (a codingAgent) path(proc *process) (string, error) {
	if dir := proc.Getenv(a.variable); a.variable != "" && filepath.IsAbs(dir) {
		return filepath.Join(dir, a.file), nil
	}
	directory := a.directory
	home := ""
	if a.base != "" {
		home = proc.Getenv(a.base)
	}
	if filepath.IsAbs(home) {
		directory = filepath.Base(directory)
	} else {
		var err error
		if home, err = rundir.Home(proc.Getenv); err != nil {
			return "", err
		}
	}
	return filepath.Join(home, directory, a.file), nil
}

func agentNames() []string {
	var names []string
	for _, a := range codingAgents {
		names = append(names, a.name)
	}
	return names
}

func agentNamed(name string) (codingAgent, bool) {
	i := slices.IndexFunc(codingAgents, func(a codingAgent) bool { return a.name == name })
	if i < 0 {
		return codingAgent{}, false
	}
	return codingAgents[i], true
}

// agentScript is where one of the scripts is.
func agentScript(proc *process, name string) (string, error) {
	dir, err := config.Dir(proc.Getenv)
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, name), nil
}

// writeAgentScript makes sure that the script is there and right, and returns where.
func writeAgentScript(proc *process, name, exe string) (string, error) {
	script, err := agentScript(proc, name)
	if err != nil {
		return "", err
	}
	return script, rundir.Ensure(script, []byte(shell.AgentShell(exe)), 0o755)
}

// ownEntries are how our entries in agents' settings are known.
func ownEntries(proc *process) (m mine) {
	for _, name := range []string{agentShellName, installedShellName} {
		if script, err := agentScript(proc, name); err == nil {
			m.scripts = append(m.scripts, script)
		}
	}
	return m
}

// agentHook is the command that an agent calls before its shell tool. Without
// agentproxy it changes nothing: an agent never loses its shell.
func agentHook(a codingAgent, exe string) string {
	return fmt.Sprintf("if [ -x %[1]s ]; then %[1]s __hook tool %[2]s; else echo '{}'; fi", shell.QuotePOSIX(exe), a.name)
}

// printAgent prints what belongs into an agent's settings, and writes the script
// that they name.
func printAgent(proc *process, a codingAgent, exe string) error {
	script, err := writeAgentScript(proc, agentShellName, exe)
	if err != nil {
		return err
	}
	return a.settings(proc.Out, script, agentHook(a, exe))
}

// installAgent merges that into the agent's own file, or the named one.
func installAgent(proc *process, a codingAgent, exe, file string) error {
	path, err := a.settingsFile(proc, file)
	if err != nil {
		return err
	}
	script, err := writeAgentScript(proc, installedShellName, exe)
	if err != nil {
		return err
	}
	changed, err := shell.Edit(path, func(old []byte) ([]byte, error) {
		text, err := a.remove(old, ownEntries(proc))
		if old == nil || err != nil && len(bytes.TrimSpace(old)) == 0 {
			text, err = old, nil
		}
		if err != nil {
			return nil, err
		}
		return a.insert(text, script, agentHook(a, exe))
	})
	if err != nil {
		return hint(fmt.Errorf("%s: %w", path, err), "agentproxy hook %s, and put what it prints there by hand", a.name)
	}
	return sayRC(proc, "install", path, changed, nil)
}

// removeAgent takes it out again.
func removeAgent(proc *process, a codingAgent, file string) error {
	path, err := a.settingsFile(proc, file)
	if err != nil {
		return err
	}
	changed, err := shell.Undo(path, func(old []byte) ([]byte, error) { return a.remove(old, ownEntries(proc)) })
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	tidy(proc, filepath.Dir(path))
	return sayRC(proc, "remove", path, changed, nil)
}

// holds reports whether our entry is in the agent's settings.
func (a codingAgent) holds(proc *process, path string) bool {
	old, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	text, err := a.remove(old, ownEntries(proc))
	return err == nil && !bytes.Equal(text, old)
}

// settingsFile is the file that was named, else the agent's own.
func (a codingAgent) settingsFile(proc *process, named string) (string, error) {
	if named != "" {
		return named, nil
	}
	return a.path(proc)
}

// answerAgent puts the script before a command that an agent is about to run, as
// its hook. A call that has none passes as it is.
func answerAgent(proc *process, a codingAgent) error {
	var call toolCall
	if err := json.NewDecoder(proc.In).Decode(&call); err != nil {
		return fmt.Errorf("what the agent says of its tool: %w", err)
	}
	exe, err := ownPath()
	if err != nil {
		return err
	}
	script, err := writeAgentScript(proc, installedShellName, exe)
	if err != nil {
		proc.say("the agent's command runs without agentproxy: %s", err)
		return printJSON(proc.Out, map[string]any{})
	}
	prefix := shell.QuotePOSIX(script) + " "
	command, ok := call.Input["command"].(string)
	if !ok || strings.HasPrefix(command, prefix) {
		return printJSON(proc.Out, map[string]any{})
	}
	return printJSON(proc.Out, map[string]any{"hookSpecificOutput": a.answer(call, prefix+shell.QuotePOSIX(command))})
}

// quoted is a JSON string, which is one of TOML's as well.
func quoted(s string) string { return compactJSON(s) }

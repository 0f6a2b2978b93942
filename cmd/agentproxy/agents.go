package main

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/shell"
)

// agentShellName is the script that runs an agent's command lines. It is in the
// directory of the configuration, which stays when the state goes (uninstall,
// a cleaner, shared memory after a reboot): settings of agents name it, and without
// it every command of theirs would fail.
const agentShellName = "agent-shell"

// codingAgent is an agent that lets others have a say in the shell commands that
// it runs.
type codingAgent struct {
	name string
	// settings prints what belongs into the agent's settings; script runs a command
	// line, hook answers the agent's own hook.
	settings func(w io.Writer, script, hook string) error
	// answer is what the agent's hook says to a call of its shell tool that is to
	// run another command; nil for an agent that calls no hook of ours.
	answer func(call toolCall, command string) any
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
	// CLAUDE_CODE_SHELL_PREFIX in Claude Code's documentation of environment
	// variables: a program that gets each command line as one argument.
	{name: "claude-code", settings: func(w io.Writer, script, _ string) error {
		return printJSON(w, map[string]any{"env": map[string]string{"CLAUDE_CODE_SHELL_PREFIX": script}})
	}},
	// Codex's documentation of hooks: what they change they must allow, which
	// takes nothing from its questions to the user.
	{name: "codex", settings: func(w io.Writer, _, hook string) error {
		_, err := fmt.Fprintf(w, "[features]\nhooks = true\n\n[[hooks.PreToolUse]]\nmatcher = \"^Bash$\"\n\n[[hooks.PreToolUse.hooks]]\ntype = \"command\"\ncommand = %s\n", tomlString(hook))
		return err
	}, answer: func(call toolCall, command string) any {
		return map[string]any{"hookEventName": call.Event, "permissionDecision": "allow", "updatedInput": call.with(command)}
	}},
	// Gemini CLI's reference of hooks: tool_input is merged into the call's.
	{name: "gemini", settings: func(w io.Writer, _, hook string) error {
		return printJSON(w, map[string]any{"hooks": map[string]any{"BeforeTool": []any{map[string]any{
			"matcher": "^run_shell_command$", "hooks": []any{map[string]any{"type": "command", "name": "agentproxy", "command": hook}},
		}}}})
	}, answer: func(_ toolCall, command string) any {
		return map[string]any{"tool_input": map[string]any{"command": command}}
	}},
	// OpenCode's documentation of plugins: tool.execute.before may change the
	// arguments.
	{name: "opencode", settings: func(w io.Writer, script, _ string) error {
		_, err := io.WriteString(w, shell.OpenCodePlugin(script))
		return err
	}},
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

// agentShell is where the script is.
func agentShell(proc *process) (string, error) {
	dir, err := config.Dir(proc.Getenv)
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, agentShellName), nil
}

// writeAgentShell makes sure that the script is there and right, and returns where.
func writeAgentShell(proc *process, exe string) (string, error) {
	script, err := agentShell(proc)
	if err != nil {
		return "", err
	}
	return script, rundir.Ensure(script, []byte(shell.AgentShell(exe)), 0o755)
}

// printAgent prints what belongs into an agent's settings, and writes the script
// that they name.
func printAgent(proc *process, a codingAgent, exe string) error {
	script, err := writeAgentShell(proc, exe)
	if err != nil {
		return err
	}
	return a.settings(proc.Out, script, shell.QuotePOSIX(exe)+" __hook tool "+a.name)
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
	script, err := writeAgentShell(proc, exe)
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

func printJSON(w io.Writer, document any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(document)
}

// tomlString quotes for TOML, in which a JSON string is one as well.
func tomlString(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.Encode(s)
	return strings.TrimSuffix(b.String(), "\n")
}

// Package shell is what lives in the user's interactive shell: the hooks, which
// are files in the shells' own languages, and how values are quoted for them.
package shell

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/profiles/env"
)

//go:embed hook.bash hook.zsh hook.fish hook.sh wrap.sh wrap.fish shim.sh agent.sh opencode.js complete.bash complete.zsh complete.fish
var files embed.FS

// Shell is one that there is a hook for.
type Shell struct {
	Name string
	// rc is the file that an interactive shell reads, below the home directory.
	rc string
	// source is a line of that file which loads what a command prints.
	source func(exe, arguments string) string
	quote  func(string) string
	// Wraps tells that functions can stand before commands, Completes that the
	// shell completes.
	Wraps, Completes bool
}

// Shells are all of them.
func Shells() []Shell {
	return []Shell{
		{Name: "bash", rc: ".bashrc", source: posixSource, quote: QuotePOSIX, Wraps: true, Completes: true},
		{Name: "zsh", rc: ".zshrc", source: posixSource, quote: QuotePOSIX, Wraps: true, Completes: true},
		{Name: "fish", rc: ".config/fish/config.fish", source: fishSource, quote: quoteFish, Wraps: true, Completes: true},
		{Name: "sh", rc: ".profile", source: posixSource, quote: QuotePOSIX},
	}
}

// Names are the shells' names.
func Names() []string {
	var names []string
	for _, s := range Shells() {
		names = append(names, s.Name)
	}
	return names
}

// Named returns the shell of that name; dash is an sh.
func Named(name string) (Shell, bool) {
	if name == "dash" {
		name = "sh"
	}
	all := Shells()
	i := slices.IndexFunc(all, func(s Shell) bool { return s.Name == name })
	if i < 0 {
		return Shell{}, false
	}
	return all[i], true
}

// Quote makes one word of the value, whatever is in it.
func (s Shell) Quote(value string) string { return s.quote(value) }

// QuotePOSIX makes one word of the value for POSIX shells, and is right under zsh's RC_QUOTES, too: within the quotes there is
// never a second one behind the first.
func QuotePOSIX(value string) string {
	return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}

func quoteFish(value string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(value) + "'"
}

// Assignments are the edits as commands of the shell.
func (s Shell) Assignments(edits []env.Edit) string {
	set, unset := "export %s=%s\n", "unset %s\n"
	if s.Name == "fish" {
		set, unset = "set -gx %s %s\n", "set -e %s\n"
	}
	var b strings.Builder
	for _, e := range edits {
		if e.Unset {
			fmt.Fprintf(&b, unset, e.Name)
		} else {
			fmt.Fprintf(&b, set, e.Name, s.quote(e.Value))
		}
	}
	return b.String()
}

// State is what a hook is told when its shell is to go through the tunnel.
type State struct {
	Edits []env.Edit
	// Exported tells of a variable that the shell hands on already; what it keeps
	// to itself we do not see.
	Exported func(name string) bool
	// Pulse is the file to look at before a prompt.
	Pulse string
}

// Enter is the state as calls of the hook's functions, which remember what was
// there before.
func (s Shell) Enter(state State) string {
	var b strings.Builder
	for _, e := range state.Edits {
		was := "plain"
		if state.Exported(e.Name) {
			was = "exported"
		}
		if e.Unset {
			fmt.Fprintf(&b, "__agentproxy_drop %s %s\n", e.Name, was)
		} else {
			fmt.Fprintf(&b, "__agentproxy_put %s %s %s\n", e.Name, was, s.quote(e.Value))
		}
	}
	fmt.Fprintf(&b, "__agentproxy_watch %s\n", s.quote(state.Pulse))
	return b.String()
}

// Hook is the shell's hook for the program at exe: its environment goes through
// the tunnel.
func (s Shell) Hook(exe string) string { return s.preamble(exe) + text("hook."+s.Name) }

// Wrap makes functions of the commands: they run through exec.
func (s Shell) Wrap(exe string, commands []string) string {
	file := "wrap.sh"
	if s.Name == "fish" {
		file = "wrap.fish"
	}
	var b strings.Builder
	b.WriteString(s.preamble(exe) + text(file))
	for _, c := range commands {
		fmt.Fprintf(&b, "__agentproxy_wrap %s\n", s.quote(c))
	}
	return b.String()
}

// Completion teaches the shell to complete our command line.
func (s Shell) Completion(exe string) string { return s.preamble(exe) + text("complete."+s.Name) }

// preamble hands the program's path on.
func (s Shell) preamble(exe string) string {
	if s.Name == "fish" {
		return "set -g __agentproxy_bin " + s.quote(exe) + "\n"
	}
	return "__agentproxy_bin=" + s.quote(exe) + "\n"
}

func text(name string) string {
	data, err := files.ReadFile(name)
	if err != nil {
		panic(err) // every shell in the table has its files
	}
	return string(data)
}

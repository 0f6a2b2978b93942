// Package shell is what lives in the user's interactive shell: the hooks, which
// are files in the shells' own languages, and how values are quoted for them.
package shell

import (
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/profiles/env"
)

// Each shell has its hook in hook.NAME, and one that completes complete.NAME.
//
//go:embed hook.* wrap.* complete.* shim.sh agent.sh opencode.js
var files embed.FS

// Shell is one that there is a hook for.
type Shell struct {
	Name string
	rc   rcFile
	*dialect
	// wrap is the file with the function that makes functions of commands, "" where
	// none can stand before a command.
	wrap string
}

// dialect is what shells of one kind have in common.
type dialect struct {
	quote func(string) string
	// source is a line of an rc file which loads what a command prints.
	source func(exe, arguments string) string
	// set keeps a variable in the shell, export hands it on and unset drops it:
	// formats for its name and the quoted value.
	set, export, unset string
	// prepend is the format of a line that puts a quoted directory in front of PATH.
	prepend string
}

var posix = &dialect{
	quote: QuotePOSIX, source: posixSource,
	set: "%s=%s\n", export: "export %s=%s\n", unset: "unset %s\n",
	prepend: "case :$PATH: in *:%[1]s:*) ;; *) export PATH=%[1]s:$PATH ;; esac\n",
}

var fish = &dialect{
	quote: quoteFish, source: fishSource,
	set: "set -g %s %s\n", export: "set -gx %s %s\n", unset: "set -e %s\n",
	prepend: "contains -- %[1]s $PATH; or set -gx PATH %[1]s $PATH\n",
}

// shells is the table.
var shells = []Shell{
	{Name: "bash", rc: rcFile{name: ".bashrc"}, dialect: posix, wrap: "wrap.sh"},
	{Name: "zsh", rc: rcFile{variable: "ZDOTDIR", name: ".zshrc"}, dialect: posix, wrap: "wrap.sh"},
	{Name: "fish", rc: rcFile{variable: "XDG_CONFIG_HOME", otherwise: ".config", name: "fish/config.fish"}, dialect: fish, wrap: "wrap.fish"},
	{Name: "sh", rc: rcFile{name: ".profile"}, dialect: posix},
}

// Shells are all of them.
func Shells() []Shell { return slices.Clone(shells) }

// Wraps reports whether functions can stand before commands.
func (s Shell) Wraps() bool { return s.wrap != "" }

// Completes reports whether the shell completes our command line.
func (s Shell) Completes() bool {
	_, err := fs.Stat(files, "complete."+s.Name)
	return err == nil
}

// Names are the shells' names.
func Names() []string { return names(func(Shell) bool { return true }) }

// Completing are the names of those that complete.
func Completing() []string { return names(Shell.Completes) }

func names(of func(Shell) bool) []string {
	var list []string
	for _, s := range shells {
		if of(s) {
			list = append(list, s.Name)
		}
	}
	return list
}

// Named returns the shell of that name; dash is an sh.
func Named(name string) (Shell, bool) {
	if name == "dash" {
		name = "sh"
	}
	i := slices.IndexFunc(shells, func(s Shell) bool { return s.Name == name })
	if i < 0 {
		return Shell{}, false
	}
	return shells[i], true
}

// QuotePOSIX makes one word of the value for POSIX shells, and is right under zsh's RC_QUOTES, too: within the quotes there is
// never a second one behind the first.
func QuotePOSIX(value string) string {
	return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}

// Word is the value as a word of POSIX shells, quoted where it needs to be.
func Word(value string) string {
	if value != "" && strings.Trim(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+@:=,%") == "" {
		return value
	}
	return QuotePOSIX(value)
}

func quoteFish(value string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(value) + "'"
}

// Assignments are the edits as commands of the shell.
func (s Shell) Assignments(edits []env.Edit) string {
	var b strings.Builder
	for _, e := range edits {
		if e.Unset {
			fmt.Fprintf(&b, s.unset, e.Name)
		} else {
			fmt.Fprintf(&b, s.export, e.Name, s.quote(e.Value))
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
	// File is the file to look at before a prompt, "" when there is no tunnel.
	File string
	// Config is the configuration file, which need not exist. Seen is a file that is
	// as old as what the hook knows of it.
	Config, Seen string
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
	fmt.Fprintf(&b, "__agentproxy_watch %s %s %s\n", s.quote(state.File), s.quote(state.Config), s.quote(state.Seen))
	return b.String()
}

// Hook is the shell's hook for the program at exe: its environment goes through
// the tunnel.
func (s Shell) Hook(exe string) string { return s.preamble(exe) + text("hook."+s.Name) }

// Wrap makes functions of the commands: they run through exec.
func (s Shell) Wrap(exe string, commands []string) string {
	var b strings.Builder
	b.WriteString(s.preamble(exe) + text(s.wrap))
	for _, c := range commands {
		fmt.Fprintf(&b, "__agentproxy_wrap %s\n", s.quote(c))
	}
	return b.String()
}

// Completion teaches the shell to complete our command line.
func (s Shell) Completion(exe string) string { return s.preamble(exe) + text("complete."+s.Name) }

// preamble hands the program's path on.
func (s Shell) preamble(exe string) string {
	return fmt.Sprintf(s.set, "__agentproxy_bin", s.quote(exe))
}

func text(name string) string {
	data, err := files.ReadFile(name)
	if err != nil {
		panic(err) // every shell in the table has its files
	}
	return string(data)
}

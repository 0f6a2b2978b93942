package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/agentproxy/agentproxy/profiles/env"
	"github.com/agentproxy/agentproxy/proxy/atomicfile"
	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/peer"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/shell"
	"github.com/spf13/pflag"
)

// hookedCommand is what the shells' hooks call.
func hookedCommand() *command {
	return &command{
		name: "__hook", hidden: true, short: "Answer a shell's hook",
		args: "enter SHELL PID | failures PID SINCE | tool AGENT",
		define: func(*pflag.FlagSet) action {
			return func(ctx context.Context, proc *process, args []string) error {
				if len(args) == 2 && args[0] == "tool" {
					if a, ok := agentNamed(args[1]); ok && a.answer != nil {
						return answerAgent(proc, a)
					}
				}
				inherited := takeBack(proc)
				proc.Environ = env.Apply(proc.Environ, inherited)
				switch {
				case len(args) == 3 && args[0] == "enter":
					return enterShell(ctx, proc, args[1], args[2], inherited)
				case len(args) == 3 && args[0] == "failures":
					return shellFailures(ctx, proc, args[1], args[2])
				}
				return errors.New("__hook is called by the hooks")
			}
		},
	}
}

// enterShell prints what leads the shell through the tunnel, from what the
// environment was without a hook, and what the hook is to look at. When it cannot
// be led there, one line says why, and the hook looks at the configuration alone.
func enterShell(ctx context.Context, proc *process, name, pid string, inherited []env.Edit) error {
	sh, err := namedShell(name)
	if err != nil {
		return err
	}
	shellPID, err := strconv.Atoi(pid)
	if err != nil {
		return err
	}
	var state shell.State
	// The file's time is taken before the configuration is read, so that no edit
	// falls between them.
	if state.Seen, err = seen(proc, shellPID); err == nil {
		err = lead(ctx, proc, shellPID, &state)
	}
	if state.Config, _ = config.Path("", proc.Getenv); state.Seen == "" {
		state.Config = "" // there is nothing to hold it against
	}
	fmt.Fprint(proc.Out, sh.Assignments(inherited))
	fmt.Fprint(proc.Out, sh.Enter(state))
	if err != nil {
		proc.say("this shell goes past the tunnel: %s", err)
		return errSilent
	}
	return nil
}

// lead says what leads a shell through the tunnel.
func lead(ctx context.Context, proc *process, shellPID int, state *shell.State) error {
	options, err := (&tunnelFlags{anywhere: true}).options(proc)
	if err != nil {
		return err
	}
	tunnel, planned, err := shellPlan(ctx, proc, options)
	if err != nil {
		return err
	}
	if err := rundir.KeepFor(tunnel.Dir, tunnel.Record.Key, shellPID); err != nil {
		return err
	}
	list := append(edits(planned.Changes), env.Edit{Name: contract.ShellVariable, Value: strconv.Itoa(shellPID)})
	if value, ok := undo(proc, list); ok {
		list = append(list, env.Edit{Name: undoVariable, Value: value})
	}
	state.Edits, state.File = list, rundir.ShellFilePath(tunnel.Dir, tunnel.Record.Key)
	state.Exported = func(name string) bool { _, ok := proc.LookupEnv(name); return ok }
	return nil
}

// hookedName is a directory in the state directory with a file for each hooked
// shell, by its process number.
const hookedName = "hooked"

var _ = rundir.Register(hookedName)

// seen makes the shell's file, and forgets those of shells that have ended.
func seen(proc *process, shellPID int) (string, error) {
	state, err := rundir.Open(proc.Getenv)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(state.Path, hookedName)
	if err := rundir.MakeDir(dir); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && peer.Started(pid) == "" {
			os.Remove(filepath.Join(dir, e.Name()))
		}
	}
	file := filepath.Join(dir, strconv.Itoa(shellPID))
	return file, atomicfile.Write(file, nil, 0o600)
}

// undoVariable tells a shell that is started in a hooked one, as in tmux, what the
// environment was: its hook goes back to that first, and takes nothing of the
// outer one's for the user's.
const undoVariable = "AGENT_PROXY_SHELL_UNDO"

// undone is what a variable was before, nil for not set. Set is a checksum of what
// it became: when it has another value since, it is the user's.
type undone struct {
	Set uint32  `json:"set"`
	Was *string `json:"was,omitempty"`
}

// undo is the value of undoVariable for the edits. There is none where it could
// hand a proxy's credentials on.
func undo(proc *process, edits []env.Edit) (value string, ok bool) {
	all := make(map[string]undone)
	for _, e := range edits {
		u := undone{Set: crc32.ChecksumIEEE([]byte(e.Value))}
		if was, ok := proc.LookupEnv(e.Name); ok {
			if strings.Contains(was, "@") {
				return "", false
			}
			u.Was = &was
		}
		all[e.Name] = u
	}
	data, err := json.Marshal(all)
	return string(data), err == nil
}

// takeBack returns what undoes in our environment what the hook of an outer shell has
// made of it.
func takeBack(proc *process) []env.Edit {
	var all map[string]undone
	if json.Unmarshal([]byte(proc.Getenv(undoVariable)), &all) != nil {
		return nil
	}
	all[undoVariable] = undone{Set: crc32.ChecksumIEEE([]byte(proc.Getenv(undoVariable)))}
	var list []env.Edit
	for _, name := range slices.Sorted(maps.Keys(all)) {
		switch u := all[name]; {
		case crc32.ChecksumIEEE([]byte(proc.Getenv(name))) != u.Set:
		case u.Was == nil:
			list = append(list, env.Edit{Name: name, Unset: true})
		default:
			list = append(list, env.Edit{Name: name, Value: *u.Was})
		}
	}
	return list
}

// shellFailures says what went wrong since then in what the shell has started
// itself. An exec has said its own.
func shellFailures(ctx context.Context, proc *process, shellPID, since string) error {
	options, err := (&tunnelFlags{anywhere: true}).options(proc)
	if err != nil {
		return err
	}
	after, err := strconv.ParseInt(since, 10, 64)
	if err != nil {
		return err
	}
	tunnel, err := attach.Find(ctx, options)
	if err != nil {
		return nil // gone: the next prompt notices
	}
	doc, err := tunnel.Status(ctx)
	if err != nil {
		return nil
	}
	var last *status.Failure
	for _, f := range doc.RecentRelayFailures {
		unknown := f.PID == 0 && f.Run == ""
		if f.TS.UnixMilli() > after && (f.Shell == shellPID && f.Run == "" || unknown) {
			last = f
		}
	}
	if last != nil {
		sayShellFailure(proc, last)
	}
	return nil
}

// sayShellFailure says in a line what the tunnel saw go wrong while a command
// of the shell ran. Its output was not seen, so no more is claimed.
func sayShellFailure(proc *process, f *status.Failure) {
	line := f.Error() + " (seen by the tunnel)"
	if f.Advice != "" {
		line += "; " + f.Advice
	}
	fmt.Fprintf(proc.Out, "agentproxy: %s\n", line)
}

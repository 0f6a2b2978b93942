package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/agentproxy/agentproxy/profiles/env"
	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/proxy/daemon"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/shell"
	"github.com/spf13/pflag"
)

// hookedCommand is what the shells' hooks call.
func hookedCommand() *command {
	return &command{
		name: "__hook", hidden: true, short: "Answer a shell's hook",
		args: "enter <shell> <pid> | failures <pid> <since> | tool <agent>",
		define: func(*pflag.FlagSet) action {
			return func(ctx context.Context, args []string) error {
				if len(args) == 2 && args[0] == "tool" {
					if a, ok := agentNamed(args[1]); ok && a.answer != nil {
						return answerAgent(a, os.Stdin, os.Stdout)
					}
				}
				inherited := takeBack()
				var t tunnelFlags
				options, err := t.options()
				if err != nil {
					return err
				}
				switch {
				case len(args) == 3 && args[0] == "enter":
					return enterShell(ctx, options, args[1], args[2], inherited)
				case len(args) == 3 && args[0] == "failures":
					return shellFailures(ctx, options, args[1], args[2])
				}
				return errors.New("__hook is called by the hooks")
			}
		},
	}
}

// enterShell prints what leads the shell through the tunnel, from what the
// environment was without a hook.
func enterShell(ctx context.Context, options attach.Options, name, pid string, inherited []env.Edit) error {
	sh, err := namedShell(name)
	if err != nil {
		return err
	}
	tunnel, plan, err := shellPlan(ctx, options)
	if err != nil {
		return err
	}
	shellPID, err := strconv.Atoi(pid)
	if err != nil {
		return err
	}
	if err := daemon.KeepFor(tunnel.Dir, tunnel.Record.Key, shellPID); err != nil {
		return err
	}
	list := append(edits(plan.Changes), env.Edit{Name: daemon.ShellVariable, Value: pid})
	if value, ok := undo(list); ok {
		list = append(list, env.Edit{Name: undoVariable, Value: value})
	}
	fmt.Print(sh.Assignments(inherited))
	fmt.Print(sh.Enter(shell.State{
		Edits:    list,
		Exported: func(name string) bool { _, ok := os.LookupEnv(name); return ok },
		Pulse:    rundir.PulsePath(tunnel.Dir, tunnel.Record.Key),
	}))
	return nil
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
func undo(edits []env.Edit) (value string, ok bool) {
	all := make(map[string]undone)
	for _, e := range edits {
		u := undone{Set: crc32.ChecksumIEEE([]byte(e.Value))}
		if was, ok := os.LookupEnv(e.Name); ok {
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

// takeBack undoes what the hook of an outer shell has made of our environment and
// returns the edits, which the shell needs as well.
func takeBack() []env.Edit {
	var all map[string]undone
	if json.Unmarshal([]byte(os.Getenv(undoVariable)), &all) != nil {
		return nil
	}
	all[undoVariable] = undone{Set: crc32.ChecksumIEEE([]byte(os.Getenv(undoVariable)))}
	var list []env.Edit
	for _, name := range slices.Sorted(maps.Keys(all)) {
		switch u := all[name]; {
		case crc32.ChecksumIEEE([]byte(os.Getenv(name))) != u.Set:
		case u.Was == nil:
			os.Unsetenv(name)
			list = append(list, env.Edit{Name: name, Unset: true})
		default:
			os.Setenv(name, *u.Was)
			list = append(list, env.Edit{Name: name, Value: *u.Was})
		}
	}
	return list
}

// shellFailures says what went wrong since then in what the shell has started
// itself. An exec has said its own.
func shellFailures(ctx context.Context, options attach.Options, shellPID, since string) error {
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
		sayShellFailure(last)
	}
	return nil
}

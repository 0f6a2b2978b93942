package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

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
				var t tunnelFlags
				options, err := t.options()
				if err != nil {
					return err
				}
				switch {
				case len(args) == 3 && args[0] == "enter":
					return enterShell(ctx, options, args[1], args[2])
				case len(args) == 3 && args[0] == "failures":
					return shellFailures(ctx, options, args[1], args[2])
				}
				return errors.New("__hook is called by the hooks")
			}
		},
	}
}

// enterShell prints what leads the shell through the tunnel.
func enterShell(ctx context.Context, options attach.Options, name, pid string) error {
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
	fmt.Print(sh.Enter(shell.State{
		Edits:    list,
		Exported: func(name string) bool { _, ok := os.LookupEnv(name); return ok },
		Pulse:    rundir.PulsePath(tunnel.Dir, tunnel.Record.Key),
	}))
	return nil
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

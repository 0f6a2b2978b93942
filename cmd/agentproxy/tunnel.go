package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/proxy/daemon"
	"github.com/agentproxy/agentproxy/wrap"
	"github.com/agentproxy/agentproxy/wrap/term"
	"github.com/spf13/pflag"
)

func upCommand() *command {
	return &command{
		name:  "up",
		short: "Start the tunnel, or say that it runs",
		examples: `
  agentproxy up                                  # prints http://127.0.0.1:PORT
  export HTTPS_PROXY=$(agentproxy up)            # by hand; "exec" sets this and the rest for you`,
		long: "Prints the tunnel's URL on stdout. exec starts the tunnel by itself; up is for looking at it first.",
		define: func(flags *pflag.FlagSet) action {
			var t tunnelFlags
			t.define(flags)
			return func(ctx context.Context, args []string) error {
				if err := noArgs("up", args); err != nil {
					return err
				}
				options, tunnel, err := t.attach(ctx)
				if err != nil {
					return err
				}
				// For who goes on by hand, with this environment's CA files.
				if _, err := planned(ctx, options, tunnel, plain); err != nil {
					return err
				}
				fmt.Println(tunnel.URL())
				return nil
			}
		},
	}
}

func downCommand() *command {
	return &command{
		name:  "down",
		short: "Stop the tunnels that run for you",
		examples: `
  agentproxy down                                # stops every tunnel of yours
  agentproxy down && agentproxy up               # a fresh one`,
		long: "Stops every tunnel in your state directory. Commands that run behind one lose their connections.",
		define: func(*pflag.FlagSet) action {
			return func(ctx context.Context, args []string) error {
				if err := noArgs("down", args); err != nil {
					return err
				}
				return stopTunnels(ctx)
			}
		},
	}
}

// stopTunnels stops the user's tunnels, and says so when there is none.
func stopTunnels(ctx context.Context) error {
	n, err := stopRunning(ctx)
	if err == nil && n == 0 {
		fmt.Println("no tunnel is running")
	}
	return err
}

// stopRunning stops the user's tunnels and returns how many there were.
func stopRunning(ctx context.Context) (int, error) {
	all, err := attach.All(ctx, os.Getenv)
	if err != nil {
		return 0, err
	}
	for _, t := range all {
		if err := t.Stop(ctx); err != nil {
			return len(all), err
		}
		fmt.Printf("stopped the tunnel on 127.0.0.1:%d\n", t.Record.Port)
	}
	return len(all), nil
}

func statusCommand() *command {
	return &command{
		name:  "status",
		short: "Show what the tunnel does and what failed lately",
		examples: `
  agentproxy status                              # for a person
  agentproxy status --json | jq .recentRelayFailures`,
		long: `
--json prints the document that the tunnel serves at /__agentproxy/status. Without
a tunnel the exit status is 1.`,
		define: func(flags *pflag.FlagSet) action {
			var t tunnelFlags
			t.define(flags)
			asJSON := flags.Bool("json", false, "print the status document")
			return func(ctx context.Context, args []string) error {
				if err := noArgs("status", args); err != nil {
					return err
				}
				return runStatus(ctx, t, *asJSON)
			}
		},
	}
}

func runStatus(ctx context.Context, flags tunnelFlags, asJSON bool) error {
	options, err := flags.options()
	if err != nil {
		return err
	}
	tunnel, err := attach.Find(ctx, options)
	if errors.Is(err, attach.ErrNone) {
		return downError(ctx, asJSON)
	}
	if err != nil {
		return err
	}
	doc, err := tunnel.Status(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(doc)
	}
	printStatus(os.Stdout, doc, time.Now())
	return nil
}

// notRunning is status without a tunnel: no failure of ours, so not 125.
type notRunning struct{ error }

// downError says that no tunnel runs, and names those that run for another
// configuration or build.
func downError(ctx context.Context, asJSON bool) error {
	if asJSON {
		fmt.Println(`{"enabled": false}`)
	}
	others, err := attach.All(ctx, os.Getenv)
	if err != nil {
		return err
	}
	text := "no tunnel is running for this configuration"
	if len(others) > 0 {
		text += fmt.Sprintf(" (%d for another one or by another build; \"agentproxy down\" stops them)", len(others))
	}
	return hint(&notRunning{errors.New(text)}, "agentproxy up")
}

func versionCommand() *command {
	return &command{
		name:  "version",
		short: "Print the version",
		examples: `
  agentproxy version                             # agentproxy v1.2.3
  agentproxy version --json                      # for programs`,
		define: func(flags *pflag.FlagSet) action {
			asJSON := flags.Bool("json", false, "print JSON")
			return func(_ context.Context, args []string) error {
				if err := noArgs("version", args); err != nil {
					return err
				}
				if *asJSON {
					return json.NewEncoder(os.Stdout).Encode(map[string]string{"version": buildVersion()})
				}
				fmt.Println("agentproxy", buildVersion())
				return nil
			}
		},
	}
}

func daemonCommand() *command {
	return &command{
		name: attach.SpawnedCommand, hidden: true, short: "Serve the tunnel (started by exec and up)",
		define: func(*pflag.FlagSet) action {
			return func(context.Context, []string) error {
				return attach.BecomeDaemon(func(o *daemon.Options) { o.Tools, o.Readme = toolsOf(o.Config), guideFor })
			}
		},
	}
}

func monitorCommand() *command {
	return &command{
		name: wrap.MonitorCommand, hidden: true, runs: true, short: "Run a command on a pseudo terminal (started by exec --pty)",
		define: func(*pflag.FlagSet) action {
			return func(_ context.Context, args []string) error { return wrap.Monitor(args) }
		},
	}
}

func passOnCommand() *command {
	return &command{
		name: term.PassOnCommand, hidden: true, runs: true, short: "Pass output on (started by exec for what a command leaves behind)",
		define: func(*pflag.FlagSet) action {
			return func(_ context.Context, args []string) error { return term.PassOn(args) }
		},
	}
}

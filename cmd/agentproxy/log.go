package main

import (
	"context"
	"encoding/json"
	"os"
	"os/signal"

	"github.com/agentproxy/agentproxy/proxy/audit"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/spf13/pflag"
)

func logCommand() *command {
	return &command{
		name:  "log",
		short: "Show what was let through, refused or failed",
		examples: `
  agentproxy log -f                              # each decision as it is made, until Ctrl-C
  agentproxy log --host evil.example --json      # all that is known of a host, for programs`,
		long: `
Every tunnel that was opened, refused or failed is one line, oldest first: when,
what, the host, the process, who decided, the run. The log holds hosts, never
paths or credentials; it is kept in the state directory, 32 MB at most.`,
		define: func(flags *pflag.FlagSet) action {
			var filter audit.Filter
			follow := flags.BoolP("follow", "f", false, "go on with what is to come")
			flags.StringVar(&filter.Run, "run", "", "only this run's, by its `ID` or the beginning of it")
			flags.StringVar(&filter.Host, "host", "", "only this `host`'s, on any port unless it names one")
			asJSON := flags.Bool("json", false, "print the lines as they are in the log, JSON each")
			return func(ctx context.Context, args []string) error {
				if err := noArgs("log", args); err != nil {
					return err
				}
				return runLog(ctx, filter, *follow, *asJSON)
			}
		},
	}
}

func runLog(ctx context.Context, filter audit.Filter, follow, asJSON bool) error {
	path, err := logPath()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	each := newEntryPrinter(os.Stdout).print
	if asJSON {
		lines := json.NewEncoder(os.Stdout)
		each = func(e status.Entry) error { return lines.Encode(e) }
	}
	return audit.Read(ctx, path, filter, follow, each)
}

// logPath is the log in the first state directory that has one, else in the
// wanted one.
func logPath() (string, error) {
	dirs, err := rundir.Candidates(os.Getenv)
	if err != nil {
		return "", err
	}
	for _, dir := range dirs {
		path := audit.Path(dir)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return audit.Path(dirs[0]), nil
}

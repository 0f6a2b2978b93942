package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

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
what, the host, the process, who decided, the run. The log holds hosts, and the
paths of requests that a rule on requests refused; never queries or credentials.
It is kept in the state directory, 32 MB at most.`,
		define: func(flags *pflag.FlagSet) action {
			var filter audit.Filter
			follow := flags.BoolP("follow", "f", false, "go on with what is to come")
			flags.StringVar(&filter.Run, "run", "", "only this run's, by its `ID` or the beginning of it")
			flags.StringVar(&filter.Host, "host", "", "only this `host`'s, on any port unless it names one")
			asJSON := flags.Bool("json", false, "print the lines as they are in the log, JSON each")
			return func(ctx context.Context, proc *process, args []string) error {
				if err := noArgs("log", args); err != nil {
					return err
				}
				return runLog(ctx, proc, filter, *follow, *asJSON)
			}
		},
	}
}

func runLog(ctx context.Context, proc *process, filter audit.Filter, follow, asJSON bool) error {
	path, err := logPath(proc)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	each := newEntryPrinter(proc).print
	if asJSON {
		lines := json.NewEncoder(proc.Out)
		each = func(e status.Entry) error { return lines.Encode(e) }
	}
	return audit.Read(ctx, path, filter, follow, each)
}

// logPath is the log in the first state directory that has one, else in the
// wanted one.
func logPath(proc *process) (string, error) {
	dirs, _, err := rundir.Usable(proc.Getenv)
	if err != nil {
		return "", err
	}
	for _, dir := range dirs {
		path := audit.Path(dir)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	wanted, err := rundir.Candidates(proc.Getenv)
	if err != nil {
		return "", err
	}
	return audit.Path(wanted[0]), nil // the next tunnel's
}

// entryPrinter prints the log for a person, a line each; the date where it
// changes.
type entryPrinter struct {
	w       io.Writer
	palette palette
	date    string
}

func newEntryPrinter(proc *process) *entryPrinter {
	return &entryPrinter{w: proc.Out, palette: proc.palette()}
}

func (p *entryPrinter) print(e status.Entry) error {
	e = e.Clean() // a file may hold anything, and this goes to a terminal
	at := e.TS.Local()
	if date := at.Format(time.DateOnly); date != p.date {
		p.date = date
		fmt.Fprintf(p.w, "%s\n", date)
	}
	what := fmt.Sprintf("%-8s", status.ASCII(string(e.Outcome), 20))
	if e.Outcome == status.Opened {
		what = p.palette.good(what)
	} else {
		what = p.palette.bad(what)
	}
	line := []string{at.Format(time.TimeOnly), what, e.Host}
	if e.Method != "" {
		line = append(line, "· "+e.Method+" "+e.Path)
	}
	if e.Kind != "" {
		line = append(line, "· "+status.ASCII(string(e.Kind), 40))
	}
	switch {
	case e.Rule != "":
		line = append(line, "· "+e.Rule)
	case e.By != "":
		line = append(line, "· by "+e.By)
	}
	if e.PID != 0 {
		line = append(line, fmt.Sprintf("· %s (%d)", e.Process, e.PID))
	}
	if e.Run != "" {
		line = append(line, "· run "+e.Run[:min(8, len(e.Run))])
	}
	_, err := fmt.Fprintln(p.w, strings.Join(line, " "))
	return err
}

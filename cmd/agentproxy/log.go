package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
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
  agentproxy log -f                          # the last ten decisions, then each as it is made
  agentproxy log --since 15m                 # of the last quarter of an hour
  agentproxy log -n 20 --host evil.example   # the last twenty about a host
  agentproxy log --json                      # for programs, a line each`,
		long: `
Every tunnel that was opened, refused or failed is one line, oldest first: when, what,
the host, the process, who decided, the run. The log holds hosts, and the paths of
requests that a rule on requests refused; never queries or credentials. It is kept in
the state directory, 32 MB at most.`,
		define: func(flags *pflag.FlagSet) action {
			f := logFlags{last: -1}
			flags.BoolVarP(&f.follow, "follow", "f", false, "go on with what is to come; begins with the last ten, unless -n or --since says otherwise")
			flags.IntVarP(&f.last, "lines", "n", -1, "begin with the last `N`")
			flags.StringVar(&f.since, "since", "", "begin at this `TIME`: how long ago (90s, 15m, 24h), or a date with or without a time (2026-11-24, 2026-11-24T13:39:20)")
			flags.StringVar(&f.filter.Run, "run", "", "only this run's, by its `ID` or the beginning of it")
			flags.StringVar(&f.filter.Host, "host", "", "only this `HOST`'s, on any port unless it names one")
			flags.BoolVar(&f.json, "json", false, "print the lines as they are in the log, JSON each")
			return func(ctx context.Context, proc *process, _ []string) error {
				return runLog(ctx, proc, f)
			}
		},
		flagValues: map[string]func(*process) []string{
			"host": seenIn(func(e status.Entry) string { return e.Host }),
			"run":  seenIn(func(e status.Entry) string { return e.Run }),
		},
	}
}

type logFlags struct {
	filter       audit.Filter
	follow, json bool
	last         int
	since        string
}

// followedFrom is how many entries a followed log begins with.
const followedFrom = 10

func runLog(ctx context.Context, proc *process, f logFlags) error {
	if f.since != "" {
		since, err := parseSince(f.since, time.Now())
		if err != nil {
			return err
		}
		f.filter.Since = since
	}
	if f.follow && f.last < 0 && f.since == "" {
		f.last = followedFrom
	}
	path, err := logPath(proc)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	each := newEntryPrinter(proc).print
	if f.json {
		each = func(e status.Entry) error { return printJSON(proc.Out, e) }
	}
	return audit.Read(ctx, path, audit.Wanted{Filter: f.filter, Last: f.last, Follow: f.follow}, each)
}

// parseSince takes how long ago, or a time in this machine's zone.
func parseSince(text string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil {
		return now.Add(-ago.Abs()), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateTime, "2006-01-02 15:04", time.DateOnly} {
		if at, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return at, nil
		}
	}
	return now, hint(fmt.Errorf("--since is how long ago (90s, 15m, 24h) or a time (2026-11-24T13:39:20), not %q", text), "agentproxy log --since 15m")
}

// seenIn is what the log has of one kind, the latest first.
func seenIn(of func(status.Entry) string) func(*process) []string {
	return func(proc *process) (list []string) {
		path, err := logPath(proc)
		if err != nil {
			return nil
		}
		seen := map[string]bool{}
		_ = audit.Read(context.Background(), path, audit.Wanted{Last: -1}, func(e status.Entry) error { // what can be read is offered
			if what := of(e.Clean()); what != "" && !seen[what] {
				seen[what] = true
				list = append(list, what)
			}
			return nil
		})
		slices.Reverse(list)
		return list[:min(len(list), maxOffered)]
	}
}

// maxOffered is how much of the log a completion offers.
const maxOffered = 50

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

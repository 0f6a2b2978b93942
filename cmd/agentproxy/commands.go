package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/wrap"
	"github.com/spf13/pflag"
)

// command is one row of the table of commands.
type command struct {
	name string
	// args follows the name in the usage line.
	args string
	// short is one line that begins with a verb.
	short string
	// examples come first in the help; each line is a real invocation and,
	// behind "#", its effect.
	examples string
	// long is what else there is to know.
	long string
	// define declares the flags and returns what runs once they are parsed.
	define func(*pflag.FlagSet) action
	// values are what may stand behind these words, which have no flags among
	// them; nil for nothing of ours. It serves completion.
	values func(words []string) []string
	hidden bool
	// runs is true when the arguments are a command line: its flags are not ours.
	runs bool
}

// action runs a command. Its error becomes one line and an exit status.
type action func(ctx context.Context, args []string) error

// commands is the table, in the order of the help.
func commands() []*command {
	return []*command{execCommand(), upCommand(), downCommand(), statusCommand(), envCommand(), hookCommand(), completionCommand(), logCommand(), whyCommand(), explainCommand(), reportCommand(), guideCommand(), doctorCommand(), containerArgsCommand(), profileCommand(), trustCommand(), caCommand(), serveCommand(), egressCommand(), uninstallCommand(), versionCommand(), daemonCommand(), monitorCommand(), passOnCommand(), hookedCommand(), completeCommand()}
}

// run dispatches and returns the exit status.
func run(args []string) int {
	if len(args) == 0 || args[0] == "help" && len(args) == 1 || args[0] == "-h" || args[0] == "--help" {
		printUsage(os.Stdout)
		return 0
	}
	if args[0] == "--version" {
		args[0] = "version"
	}
	if args[0] == "help" {
		args = []string{args[1], "--help"}
	}
	leaveShims()
	all := commands()
	i := slices.IndexFunc(all, func(c *command) bool { return c.name == args[0] })
	if i < 0 {
		return complain(unknownCommand(args[0], all))
	}
	return complain(all[i].run(args[1:]))
}

func (c *command) run(args []string) error {
	flags := pflag.NewFlagSet(c.name, pflag.ContinueOnError)
	flags.SetInterspersed(!c.runs)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	flags.SortFlags = false
	act := c.define(flags)
	err := flags.Parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		printHelp(os.Stdout, c, flags)
		return nil
	}
	if err != nil {
		return usageError(c, err)
	}
	return act(context.Background(), flags.Args())
}

func usageError(c *command, err error) error {
	return hint(err, "agentproxy %s --help", c.name)
}

// version is set by the linker for releases.
var version = ""

// buildVersion is the release, or the module's version, or "devel".
func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}

// tunnelFlags are the flags of every command that needs a tunnel.
type tunnelFlags struct{ config string }

func (f *tunnelFlags) define(flags *pflag.FlagSet) {
	flags.StringVar(&f.config, "config", "", "read this configuration `file` (default: $AGENTPROXY_CONFIG, then $XDG_CONFIG_HOME/agentproxy/config.toml)")
}

// options reads the configuration and says which tunnel is wanted.
func (f *tunnelFlags) options() (attach.Options, error) {
	cfg, err := config.Load(f.config, os.Getenv)
	if err != nil {
		return attach.Options{}, err
	}
	return attach.Options{Config: cfg, Getenv: os.Getenv, Version: attach.Build(buildVersion()), Progress: sayStarting}, nil
}

// attach returns the wanted tunnel, started if need be, and what it was found by.
func (f *tunnelFlags) attach(ctx context.Context) (attach.Options, *attach.Tunnel, error) {
	options, err := f.options()
	if err != nil {
		return options, nil, err
	}
	tunnel, err := attached(ctx, options)
	return options, tunnel, err
}

// attached returns the wanted tunnel, started if need be.
func attached(ctx context.Context, options attach.Options) (*attach.Tunnel, error) {
	tunnel, err := attach.Attach(ctx, options)
	if err != nil {
		return nil, err
	}
	sayNotice(tunnel)
	return tunnel, nil
}

// noArgs refuses arguments of a command that takes none.
func noArgs(c string, args []string) error {
	if len(args) > 0 {
		return hint(fmt.Errorf("%s takes no argument %q", c, args[0]), "agentproxy %s --help", c)
	}
	return nil
}

// exitStatus maps an error to our exit status.
func exitStatus(err error) int {
	var start *wrap.StartError
	if errors.As(err, &start) {
		return start.Status
	}
	var down *notRunning
	var defects *foundDefects
	if errors.As(err, &down) || errors.As(err, &defects) || errors.Is(err, errUnwell) {
		return 1
	}
	return wrap.StatusFailed
}

// unknownCommand offers the nearest name.
func unknownCommand(name string, all []*command) error {
	err := fmt.Errorf("unknown command %q", name)
	best, distance := "", 3
	for _, c := range all {
		if d := editDistance(name, c.name); d < distance && !c.hidden {
			best, distance = c.name, d
		}
	}
	if best == "" {
		return hint(err, "agentproxy --help")
	}
	return hint(fmt.Errorf("%w, did you mean %s?", err, best), "agentproxy %s --help", best)
}

// editDistance is Levenshtein's.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func printUsage(w io.Writer) {
	io.WriteString(w, usage)
	for _, c := range commands() {
		if !c.hidden {
			fmt.Fprintf(w, "  %-14s %s\n", c.name, c.short)
		}
	}
	io.WriteString(w, usageEnd)
}

func printHelp(w io.Writer, c *command, flags *pflag.FlagSet) {
	fmt.Fprintf(w, "%s\n\n%s\n\nUsage:\n  agentproxy %s\n", c.short, strings.TrimSpace(c.examples), strings.TrimSpace(c.name+" "+c.args))
	if c.long != "" {
		fmt.Fprintf(w, "\n%s\n", strings.TrimSpace(c.long))
	}
	if flags.HasAvailableFlags() {
		fmt.Fprintf(w, "\nFlags:\n%s", flags.FlagUsages())
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/guard"
	"github.com/agentproxy/agentproxy/wrap/child"
	"github.com/agentproxy/agentproxy/wrap/verdict"
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
	values func(proc *process, words []string) []string
	hidden bool
	// destroys is true for what takes something away: nobody is led to it by a slip.
	destroys bool
	// runs is true when the arguments are a command line: its flags are not ours.
	runs bool
}

// action runs a command. Its error becomes one line and an exit status.
type action func(ctx context.Context, proc *process, args []string) error

// commands is the table, in the order of the help.
func commands() []*command {
	return []*command{
		execCommand(),
		upCommand(),
		downCommand(),
		statusCommand(),
		envCommand(),
		hookCommand(),
		completionCommand(),
		logCommand(),
		whyCommand(),
		policyCommand(),
		explainCommand(),
		reportCommand(),
		guideCommand(),
		doctorCommand(),
		containerArgsCommand(),
		profileCommand(),
		trustCommand(),
		caCommand(),
		serveCommand(),
		egressCommand(),
		uninstallCommand(),
		versionCommand(),
		daemonCommand(),
		monitorCommand(),
		stageCommand(),
		passOnCommand(),
		hookedCommand(),
		completeCommand(),
	}
}

// run returns the exit status. A panic is a failure of ours like any other.
func run(proc *process, args []string) (status int) {
	if fault := guard.Do("agentproxy "+strings.Join(args[:min(1, len(args))], ""), func() { status = dispatch(proc, args) }); fault != nil {
		proc.say("%s", fault)
		guard.Do("writing a fault down", func() { _ = verdict.RememberFault(stateDir(proc), buildVersion(), fault) })
		return complain(proc, hint(errors.New("that is a fault of agentproxy's own"), "agentproxy report"))
	}
	return status
}

func dispatch(proc *process, args []string) int {
	if len(args) == 0 || args[0] == "help" && len(args) == 1 || args[0] == "-h" || args[0] == "--help" {
		printUsage(proc.Out)
		return 0
	}
	if args[0] == "--version" {
		args[0] = "version"
	}
	if args[0] == "help" {
		args = []string{args[1], "--help"}
	}
	all := commands()
	i := slices.IndexFunc(all, func(c *command) bool { return c.name == args[0] })
	if i < 0 {
		return complain(proc, unknownCommand(args, all))
	}
	return complain(proc, all[i].run(proc, args[1:]))
}

func (c *command) run(proc *process, args []string) error {
	flags := pflag.NewFlagSet(c.name, pflag.ContinueOnError)
	flags.SetInterspersed(!c.runs)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	flags.SortFlags = false
	act := c.define(flags)
	err := flags.Parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		printHelp(proc.Out, c, flags)
		return nil
	}
	if err != nil {
		return usageError(c, err)
	}
	return act(context.Background(), proc, flags.Args())
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

// build is what "version --json" prints.
type build struct {
	Version string `json:"version"`
	// Commit and Date are of the source (debug.BuildInfo), "" where it is not known;
	// Modified is true when it had changes beside them.
	Commit   string `json:"commit,omitempty"`
	Date     string `json:"date,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	System   string `json:"system"`
}

func thisBuild() build {
	b := build{Version: buildVersion(), Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Date = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// tunnelFlags are the flags of every command that needs a tunnel.
type tunnelFlags struct {
	config string
	// anywhere is true for what outlives the working directory: its project has no say.
	anywhere bool
}

func (f *tunnelFlags) define(flags *pflag.FlagSet) {
	flags.StringVar(&f.config, "config", "", "read this configuration `file` (default: $AGENTPROXY_CONFIG, then $XDG_CONFIG_HOME/agentproxy/config.toml)")
}

// options reads the configuration and says which tunnel is wanted.
func (f *tunnelFlags) options(proc *process) (attach.Options, error) {
	dir := workingDir()
	if f.anywhere {
		dir = ""
	}
	cfg, err := config.Load(f.config, proc.Getenv, dir)
	if err != nil {
		return attach.Options{}, err
	}
	return attach.Options{Config: cfg, Getenv: proc.Getenv, Version: attach.Build(buildVersion()), Progress: func() { onSlowStart(proc) }}, nil
}

// workingDir is "" where it has gone.
func workingDir() string {
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	return dir
}

// attach returns the wanted tunnel, started if need be, and what it was found by.
func (f *tunnelFlags) attach(ctx context.Context, proc *process) (attach.Options, *attach.Tunnel, error) {
	options, err := f.options(proc)
	if err != nil {
		return options, nil, err
	}
	tunnel, err := attached(ctx, proc, options)
	return options, tunnel, err
}

// attached returns the wanted tunnel, started if need be.
func attached(ctx context.Context, proc *process, options attach.Options) (*attach.Tunnel, error) {
	tunnel, err := attach.Attach(ctx, options)
	if err != nil {
		return nil, err
	}
	sayNotice(proc, tunnel)
	return tunnel, nil
}

// verbFlags are the flags that each verb of a command takes. A flag that says
// nothing there is refused: "trust remove --dry-run" once removed.
type verbFlags map[string][]string

func (v verbFlags) check(command, verb string, flags *pflag.FlagSet) (err error) {
	allowed, known := v[verb]
	flags.Visit(func(f *pflag.Flag) {
		if known && err == nil && !slices.Contains(allowed, f.Name) {
			err = hint(fmt.Errorf("%s %s takes no --%s", command, verb, f.Name), "agentproxy %s --help", command)
		}
	})
	return err
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
	var start *child.StartError
	if errors.As(err, &start) {
		return start.Status
	}
	var down *notRunning
	var defects *foundDefects
	if errors.As(err, &down) || errors.As(err, &defects) || errors.Is(err, errNo) {
		return 1
	}
	return child.StatusFailed
}

// unknownCommand says what may have been meant: a program that is to run behind the
// tunnel, or the nearest name. One that takes something away is never offered.
func unknownCommand(args []string, all []*command) error {
	name := args[0]
	err := fmt.Errorf("unknown command %q", name)
	if strings.HasPrefix(name, "-") {
		return hint(fmt.Errorf("%s stands before the command, where no flag goes", name), "agentproxy --help")
	}
	best, distance := "", max(2, len(name)/3+1)
	for _, c := range all {
		if d := editDistance(name, c.name); d < distance && !c.hidden && !c.destroys {
			best, distance = c.name, d
		}
	}
	switch {
	case best != "":
		return hint(fmt.Errorf("%w, did you mean %s?", err, best), "agentproxy %s --help", best)
	case isInstalled(name):
		return hint(fmt.Errorf("%w; %s is a program here", err, name), "agentproxy exec -- %s", strings.Join(args[:min(len(args), 4)], " "))
	}
	return hint(err, "agentproxy --help")
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

const usage = `agentproxy runs commands behind a TLS-re-terminating proxy so that their HTTPS works.

  agentproxy exec -- npm install          # through the tunnel, trusted, with npm's own exit status
  agentproxy exec -- git clone https://…  # the same for git, or for anything else
  agentproxy status                       # what the tunnel does and what failed lately

Usage:
  agentproxy <command> [flags]

Commands:
`

const usageEnd = `
Run "agentproxy <command> --help" for examples and flags.
`

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

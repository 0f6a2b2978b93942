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
	"github.com/agentproxy/agentproxy/wrap/capture"
	"github.com/agentproxy/agentproxy/wrap/child"
	"github.com/agentproxy/agentproxy/wrap/verdict"
	"github.com/spf13/pflag"
)

// command is one row of the table of commands, or a verb of one.
type command struct {
	// name is what stands behind "agentproxy"; a verb's has two words.
	name string
	// args follows the name in the usage line, with placeholders in capitals; "" is for
	// a command that takes none.
	args string
	// short is one line that begins with a verb.
	short string
	// examples come first in the help; each line is a real invocation and,
	// behind "  # ", its effect.
	examples string
	// long is what else there is to know.
	long string
	// define declares the flags and returns what runs once they are parsed; nil for
	// a command that its verbs alone make.
	define func(*pflag.FlagSet) action
	// verbs are commands below this one, each with flags and help of its own.
	verbs []*command
	// values are what may stand behind these words, which have no flags among
	// them; nil for nothing of ours. flagValues are those of flags, by name. Both
	// serve completion.
	values     func(proc *process, words []string) []string
	flagValues map[string]func(*process) []string
	hidden     bool
	// destroys is true for what takes something away: nobody is led to it by a slip.
	destroys bool
	// runs is true when the arguments are a command line: its flags are not ours.
	runs bool
}

// word is the last word of the name.
func (c *command) word() string { return c.name[strings.LastIndexByte(c.name, ' ')+1:] }

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
		askCommand(),
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
		superviseCommand(),
		passOnCommand(),
		hookedCommand(),
		completeCommand(),
		manualCommand(),
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
		return complain(proc, printTopic(proc, args[1:]))
	}
	all := commands()
	if c := named(all, args[0]); c != nil {
		return complain(proc, c.run(proc, args[1:]))
	}
	return complain(proc, unknownCommand(args, all))
}

// named returns the command whose last word this is, nil for none.
func named(list []*command, word string) *command {
	if i := slices.IndexFunc(list, func(c *command) bool { return c.word() == word }); i >= 0 {
		return list[i]
	}
	return nil
}

// flags is the command's own set of flags, and what runs once they are parsed.
func (c *command) flags() (*pflag.FlagSet, action) {
	flags := pflag.NewFlagSet(c.name, pflag.ContinueOnError)
	flags.SetInterspersed(!c.runs)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	flags.SortFlags = false
	if c.define == nil {
		return flags, nil
	}
	return flags, c.define(flags)
}

func (c *command) run(proc *process, args []string) error {
	if len(args) > 0 {
		if verb := named(c.verbs, args[0]); verb != nil {
			return verb.run(proc, args[1:])
		}
	}
	flags, act := c.flags()
	if act == nil {
		return c.withoutVerb(proc, args)
	}
	err := flags.Parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		printHelp(proc.Out, c)
		return nil
	}
	if err != nil {
		return c.usageError(flags, err)
	}
	if rest := flags.Args(); len(rest) > 0 && named(c.verbs, rest[0]) != nil {
		return hint(fmt.Errorf("flags of %s %s go behind it", c.name, rest[0]), "agentproxy %s %s --help", c.name, rest[0])
	}
	if rest := flags.Args(); len(rest) > 0 && c.args == "" && !c.hidden {
		return hint(fmt.Errorf("%s takes no argument %q", c.name, rest[0]), "agentproxy %s --help", c.name)
	}
	return act(context.Background(), proc, flags.Args())
}

// withoutVerb answers a command that is nothing without one of its verbs.
func (c *command) withoutVerb(proc *process, args []string) error {
	var words []string
	for _, v := range c.verbs {
		words = append(words, v.word())
	}
	either := strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
	switch {
	case len(args) == 0:
		return hint(fmt.Errorf("%s needs %s", c.name, either), "agentproxy %s --help", c.name)
	case args[0] == "-h" || args[0] == "--help":
		printHelp(proc.Out, c)
		return nil
	case strings.HasPrefix(args[0], "-"):
		return hint(fmt.Errorf("%s stands before %s, where no flag goes", args[0], either), "agentproxy %s --help", c.name)
	}
	err := fmt.Errorf("%s has no %q; it has %s", c.name, args[0], either)
	if near := config.Nearest(args[0], offered(c.verbs)); near != "" {
		err = fmt.Errorf("%s has no %q, did you mean %s?", c.name, args[0], near)
	}
	return hint(err, "agentproxy %s --help", c.name)
}

// usageError says what is wrong with flags, and which one may have been meant.
func (c *command) usageError(flags *pflag.FlagSet, err error) error {
	if unknown := new(pflag.NotExistError); errors.As(err, &unknown) && len(unknown.GetSpecifiedName()) > 1 {
		name := unknown.GetSpecifiedName()
		err = fmt.Errorf("%s takes no --%s", c.name, name)
		var all []string
		flags.VisitAll(func(f *pflag.Flag) { all = append(all, f.Name) })
		if near := config.Nearest(name, all); near != "" {
			err = fmt.Errorf("%w, did you mean --%s?", err, near)
		}
	}
	return hint(err, "agentproxy %s --help", c.name)
}

// version, commit and date are set by the linker for releases, which are the same
// bytes wherever they are built: what Go adds by itself is left out of them.
var version, commit, date string

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
	b := build{Version: buildVersion(), Commit: commit, Date: date, Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH}
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
	flags.StringVar(&f.config, "config", "", "read this configuration `FILE` (default: $AGENTPROXY_CONFIG, then $XDG_CONFIG_HOME/agentproxy/config.toml)")
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

// oneArg is the action of a command with one argument and no flags.
func oneArg(c, what, try string, act func(*process, string) error) action {
	return func(_ context.Context, proc *process, args []string) error {
		if len(args) != 1 {
			return hint(fmt.Errorf("%s needs %s", c, what), "%s", try)
		}
		return act(proc, args[0])
	}
}

// exitStatus maps an error to our exit status.
func exitStatus(err error) int {
	var start *child.StartError
	var refused *capture.Refused
	if errors.As(err, &start) && !errors.As(err, &refused) {
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
	best := config.Nearest(name, offered(all))
	switch {
	case best != "":
		return hint(fmt.Errorf("%w, did you mean %s?", err, best), "agentproxy %s --help", best)
	case isInstalled(name):
		return hint(fmt.Errorf("%w; %s is a program here", err, name), "agentproxy exec -- %s", strings.Join(args[:min(len(args), 4)], " "))
	}
	return hint(err, "agentproxy --help")
}

// offered are the commands that a slip may lead to.
func offered(list []*command) (names []string) {
	for _, c := range list {
		if !c.hidden && !c.destroys {
			names = append(names, c.word())
		}
	}
	return names
}

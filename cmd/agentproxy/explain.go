package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/agentproxy/agentproxy/profiles/rules"
	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/wrap/classify"
	"github.com/agentproxy/agentproxy/wrap/verdict"
	"github.com/spf13/pflag"
)

func explainCommand() *command {
	return &command{
		name:  "explain",
		args:  "[FLAG...] [FILE | -]",
		short: "Say why a command failed, from what it printed",
		examples: `
  npm install 2>&1 | agentproxy explain --tool npm       # the class of the failure, the line that shows it, what to do
  agentproxy explain --json --status 128 build.log       # one JSON object about a log, its command's exit status known`,
		long: `
This is the verdict of exec, from the output alone. It is less sure, and never claims
more than the words say. Output of a command that succeeded (--status 0) is no failure.

Exit status: 0 when there is an answer, "nothing of ours" (class none) among
them; 125 when the log cannot be read or a flag is wrong.`,
		define: func(flags *pflag.FlagSet) action {
			var f explainFlags
			flags.BoolVar(&f.json, "json", false, "print one JSON object")
			flags.BoolVar(&f.all, "all", false, "print every failure, the decisive one first")
			flags.StringVar(&f.tool, "tool", "", "the `NAME` of the command or profile that printed it")
			flags.StringVar(&f.command, "command", "", "the command `LINE` that printed it; its hosts and ports count")
			flags.IntVar(&f.status, "status", -1, "the command's exit `STATUS`")
			return func(_ context.Context, proc *process, args []string) error { return runExplain(proc, f, args) }
		},
	}
}

type explainFlags struct {
	json, all bool
	tool      string
	command   string
	status    int
}

// explained is what --json prints about one failure.
type explained struct {
	Class      rules.Class `json:"class"`
	Confidence float64     `json:"confidence"`
	Tool       string      `json:"tool"`
	Host       string      `json:"host"`
	Final      bool        `json:"final"`
	Container  bool        `json:"container"`
	Source     string      `json:"source"`
	Line       string      `json:"line"`
	Advice     string      `json:"advice"`
	// Unclear is true when there were words of failure, but none to rely on.
	Unclear bool `json:"unclear,omitempty"`
	// Failures are all of them, with --all.
	Failures []explained `json:"failures,omitempty"`
}

func runExplain(proc *process, f explainFlags, args []string) error {
	if len(args) > 1 {
		return hint(fmt.Errorf("explain reads one log, not %d", len(args)), "agentproxy explain --help")
	}
	options, err := explainOptions(proc, f.tool)
	if err != nil {
		return err
	}
	log, err := openLog(proc, args)
	if err != nil {
		return err
	}
	defer log.Close()
	c := classify.New(options)
	if _, err := io.Copy(viewing{c}, log); err != nil {
		return err
	}
	v, err := c.Result(classify.Status{Known: f.status >= 0, Code: f.status})
	if err != nil {
		return err
	}
	v = verdict.ReadCommandLine(strings.Fields(f.command)).Narrow(v)
	if proc.Getenv(contract.ShellVariable) != "" {
		for i := range v.Findings {
			v.Findings[i].Advice = verdict.InShell(v.Findings[i].Advice, func(variable string) bool { return proc.Getenv(variable) != "" })
		}
	}
	if f.json {
		return printJSON(proc.Out, asJSON(v, f.all))
	}
	printVerdict(proc.Out, v, f.all)
	return nil
}

// explainOptions puts a tool's rules in use, or those of all.
func explainOptions(proc *process, tool string) (classify.Options, error) {
	all := library(proc)
	if tool == "" {
		return classify.Options{Library: all, Profiles: all.Names()}, nil
	}
	p, err := all.Named(tool)
	if p == nil && err == nil {
		p, err = all.ForCommand(tool)
	}
	if err != nil {
		return classify.Options{}, err
	}
	if p == nil { // the generic rules hold for any tool
		return classify.Options{Library: all, Tool: tool}, nil
	}
	names := []string{p.Name}
	if p.Runtime != "" {
		names = append(names, p.Runtime)
	}
	return classify.Options{Library: all, Profiles: names, Tool: p.Name}, nil
}

func openLog(proc *process, args []string) (io.ReadCloser, error) {
	if len(args) == 1 && args[0] != "-" {
		return os.Open(args[0])
	}
	if len(args) == 0 && isTerminal(proc.In) {
		return nil, hint(errors.New("explain needs a log"), "agentproxy explain build.log")
	}
	return io.NopCloser(proc.In), nil
}

// viewing lets a log be copied to the classifier.
type viewing struct{ *classify.Classifier }

func (v viewing) Write(data []byte) (int, error) {
	v.View(1, data)
	return len(data), nil
}

func asJSON(v classify.Result, all bool) explained {
	none := explained{Class: rules.None, Source: "output", Unclear: v.Unclear}
	var list []explained
	for _, f := range v.Findings {
		list = append(list, explained{
			Class: f.Class, Confidence: f.Confidence, Tool: f.Tool, Host: f.Host, Final: f.Class.Final(),
			Container: v.Container, Source: "output", Line: f.Line, Advice: f.Advice,
		})
	}
	first := none
	switch {
	case v.Unclear:
		first.Line, first.Tool, first.Host, first.Confidence = list[0].Line, list[0].Tool, list[0].Host, list[0].Confidence
	case len(list) > 0:
		first = list[0]
	}
	if all {
		first.Failures = list
	}
	return first
}

// printVerdict says what explain found, in three lines at most for each
// failure: what it is, what shows it, what to do.
func printVerdict(w io.Writer, v classify.Result, all bool) {
	switch {
	case v.Unclear:
		f := v.Findings[0]
		fmt.Fprintf(w, "unclear · maybe %s, but its words do not tell (seen in the output)\n  %s\n", f.Class, f.Line)
		fmt.Fprintf(w, "  run it as agentproxy exec -- <command>: the tunnel sees what the output hides\n")
	case v.Class == rules.None:
		fmt.Fprintln(w, "none · nothing of ours in this output")
	}
	list := v.Findings
	if v.Class == rules.None && !all {
		return
	}
	if !all {
		list = list[:1]
	}
	for _, f := range list {
		what := []string{string(f.Class)}
		if f.Host != "" {
			what = append(what, f.Host)
		}
		what = append(what, f.Class.Meaning())
		if v.Container {
			what = append(what, "inside a container")
		}
		fmt.Fprintf(w, "%s (%d in 100, seen in the output)\n  %s\n", strings.Join(what, " · "), int(f.Confidence*100+0.5), f.Line)
		if f.Advice != "" {
			fmt.Fprintf(w, "  %s\n", f.Advice)
		}
	}
}

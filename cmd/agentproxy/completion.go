package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/agentproxy/agentproxy/shell"
	"github.com/spf13/pflag"
)

func completionCommand() *command {
	return &command{
		name:  "completion",
		args:  strings.Join(shell.Completing(), " | "),
		short: "Print the completion of this command line for your shell",
		examples: `
  eval "$(agentproxy completion bash)"           # in ~/.bashrc; zsh alike, after compinit
  agentproxy completion fish | source            # in config.fish`,
		define: func(*pflag.FlagSet) action {
			return func(_ context.Context, proc *process, args []string) error {
				if len(args) != 1 {
					return hint(errors.New("completion needs a shell"), "agentproxy completion bash")
				}
				sh, err := namedShell(args[0])
				if err != nil {
					return err
				}
				if !sh.Completes() {
					return hint(fmt.Errorf("%s does not complete", sh.Name), "agentproxy completion bash")
				}
				exe, err := ownPath()
				if err != nil {
					return err
				}
				fmt.Fprint(proc.Out, sh.Completion(exe))
				return nil
			}
		},
		values: firstWords(shell.Completing()...),
	}
}

// firstWords are the values of a command whose first word is one of a few.
func firstWords(list ...string) func(*process, []string) []string {
	return func(_ *process, words []string) []string {
		if len(words) > 0 {
			return nil
		}
		return list
	}
}

// completeCommand is what the completions call: the words behind "agentproxy", the
// last one unfinished. It prints what may stand there, a line each, with a
// description behind a tab.
func completeCommand() *command {
	return &command{
		name: "__complete", hidden: true, runs: true, short: "List what may stand at the end of a command line",
		args: "<words>",
		define: func(*pflag.FlagSet) action {
			return func(_ context.Context, proc *process, args []string) error {
				complete(proc, args)
				return nil
			}
		},
	}
}

func complete(proc *process, words []string) {
	if len(words) == 0 {
		words = []string{""}
	}
	last := words[len(words)-1]
	offer := func(word, description string) {
		if strings.HasPrefix(word, last) {
			fmt.Fprintf(proc.Out, "%s\t%s\n", word, description)
		}
	}
	if len(words) == 1 || words[0] == "help" && len(words) == 2 {
		for _, c := range commands() {
			if !c.hidden {
				offer(c.name, c.short)
			}
		}
		return
	}
	for _, c := range commands() {
		if c.name == words[0] && !c.hidden {
			c.complete(proc, words[1:], offer)
		}
	}
}

// complete offers the command's flags and values. Values of flags are the
// shell's to complete, as files.
func (c *command) complete(proc *process, words []string, offer func(word, description string)) {
	flags := pflag.NewFlagSet(c.name, pflag.ContinueOnError)
	c.define(flags)
	before, last := words[:len(words)-1], words[len(words)-1]
	var plain []string
	for i := 0; i < len(before); i++ {
		word := before[i]
		switch {
		case word == "--":
			return
		case takesNext(flags, word):
			if i++; i == len(before) {
				return
			}
		case !strings.HasPrefix(word, "-"):
			if c.runs {
				return // the command line of another
			}
			plain = append(plain, word)
		}
	}
	if strings.HasPrefix(last, "-") {
		flags.VisitAll(func(f *pflag.Flag) {
			_, usage := pflag.UnquoteUsage(f)
			offer("--"+f.Name, usage)
		})
		offer("--help", "show examples and flags")
		return
	}
	if c.values != nil {
		for _, value := range c.values(proc, plain) {
			offer(value, "")
		}
	}
}

// takesNext reports whether the word is a flag whose value is the next word.
func takesNext(flags *pflag.FlagSet, word string) bool {
	name, isLong := strings.CutPrefix(word, "--")
	if !isLong || strings.Contains(word, "=") {
		return false
	}
	f := flags.Lookup(name)
	return f != nil && f.NoOptDefVal == ""
}

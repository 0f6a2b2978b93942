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

// values are those of a flag that takes one of a few.
func values(list ...string) func(*process) []string {
	return func(*process) []string { return list }
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
		args: "WORD...",
		define: func(*pflag.FlagSet) action {
			return func(_ context.Context, proc *process, args []string) error {
				complete(proc, args)
				return nil
			}
		},
	}
}

func complete(proc *process, words []string) {
	words = withoutEquals(words)
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
	if c := named(commands(), words[0]); c != nil && !c.hidden {
		c.complete(proc, words[1:], offer)
	}
}

// withoutEquals makes one of how shells hand over "--flag=value": bash as three words.
func withoutEquals(words []string) (list []string) {
	for i, word := range words {
		switch {
		case word != "=" || i == 0 || !strings.HasPrefix(words[i-1], "--"):
			list = append(list, word)
		case i == len(words)-1: // the value is to be begun
			list = append(list, "")
		}
	}
	if list == nil {
		list = []string{""}
	}
	return list
}

// complete offers the command's verbs, flags and values, and those of its flags. Where
// nothing is offered the shell completes files.
func (c *command) complete(proc *process, words []string, offer func(word, description string)) {
	if len(words) > 1 {
		if verb := named(c.verbs, words[0]); verb != nil {
			verb.complete(proc, words[1:], offer)
			return
		}
	}
	flags, _ := c.flags()
	before, last := words[:len(words)-1], words[len(words)-1]
	var plain []string
	for i := 0; i < len(before); i++ {
		word := before[i]
		switch f := flagOf(flags, word); {
		case word == "--":
			return
		case f != nil && f.NoOptDefVal == "" && !strings.Contains(word, "="):
			if i++; i == len(before) {
				c.offerValues(proc, f, "", offer)
				return
			}
		case !strings.HasPrefix(word, "-"):
			if c.runs {
				return // the command line of another
			}
			plain = append(plain, word)
		}
	}
	if f := flagOf(flags, last); f != nil && strings.Contains(last, "=") {
		c.offerValues(proc, f, "--"+f.Name+"=", offer)
		return
	}
	if strings.HasPrefix(last, "-") {
		for _, o := range c.options() {
			offer("--"+o.long, o.text)
		}
		offer("--help", "show examples and flags")
		return
	}
	if len(plain) == 0 {
		for _, v := range c.verbs {
			offer(v.word(), v.short)
		}
	}
	if c.values != nil {
		for _, value := range c.values(proc, plain) {
			offer(value, "")
		}
	}
}

// offerValues offers what a flag may be.
func (c *command) offerValues(proc *process, f *pflag.Flag, prefix string, offer func(word, description string)) {
	if of := c.flagValues[f.Name]; of != nil {
		for _, value := range of(proc) {
			offer(prefix+value, "")
		}
	}
}

// flagOf is the flag that the word is, or begins, nil for none.
func flagOf(flags *pflag.FlagSet, word string) *pflag.Flag {
	name, isLong := strings.CutPrefix(word, "--")
	name, _, _ = strings.Cut(name, "=")
	switch {
	case isLong:
		return flags.Lookup(name)
	case len(word) == 2 && word[0] == '-':
		return flags.ShorthandLookup(word[1:])
	}
	return nil
}

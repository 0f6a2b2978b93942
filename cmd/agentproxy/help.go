package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"
)

const usage = `agentproxy runs commands behind a TLS-re-terminating proxy so that their HTTPS works.

  agentproxy exec -- npm install          # through the tunnel, trusted, with npm's own exit status
  agentproxy exec -- git clone https://…  # the same for git, or for anything else
  agentproxy status                       # what the tunnel does and what failed lately

Usage:
  agentproxy COMMAND [FLAG...]

Commands:
`

const usageEnd = `
Run "agentproxy COMMAND --help" for examples and flags,
"agentproxy help TOPIC" for more:
`

func printUsage(w io.Writer) {
	io.WriteString(w, usage)
	printList(w, commands())
	io.WriteString(w, usageEnd)
	for _, t := range topics() {
		fmt.Fprintf(w, "  %-14s %s\n", t.name, t.short)
	}
}

// printList is a line for each command of a list.
func printList(w io.Writer, list []*command) {
	for _, c := range list {
		if !c.hidden {
			fmt.Fprintf(w, "  %-14s %s\n", c.word(), c.short)
		}
	}
}

// printTopic prints the help of the command that the words name.
func printTopic(proc *process, words []string) error {
	for _, t := range topics() {
		if len(words) == 1 && words[0] == t.name {
			_, err := io.WriteString(proc.Out, t.text)
			return err
		}
	}
	c, list := (*command)(nil), commands()
	for i, word := range words {
		next := named(list, word)
		switch {
		case next == nil && i == 0:
			return unknownCommand(words[:1], list)
		case next == nil:
			return c.withoutVerb(proc, words[i:])
		}
		c, list = next, next.verbs
		if list == nil && i+1 < len(words) {
			return hint(fmt.Errorf("%s has no %q", c.name, words[i+1]), "agentproxy %s --help", c.name)
		}
	}
	if c == nil {
		return errors.New("help needs a command")
	}
	printHelp(proc.Out, c)
	return nil
}

// synopsis is the usage line.
func (c *command) synopsis() string {
	args := c.args
	if args == "" {
		flags, _ := c.flags()
		switch {
		case len(c.verbs) > 0:
			args = "COMMAND"
		case flags.HasFlags():
			args = "[FLAG...]"
		}
	}
	return strings.TrimSpace("agentproxy " + c.name + " " + args)
}

func printHelp(w io.Writer, c *command) {
	fmt.Fprintf(w, "%s\n\n%s\nUsage:\n  %s\n", c.short, alignedExamples(c.examples), c.synopsis())
	if c.long != "" {
		fmt.Fprintf(w, "\n%s\n", strings.TrimSpace(c.long))
	}
	if len(c.verbs) > 0 {
		fmt.Fprint(w, "\nCommands:\n")
		printList(w, c.verbs)
		fmt.Fprintf(w, "\nEach has flags of its own: agentproxy %s %s --help\n", c.name, c.verbs[0].word())
	}
	if list := c.options(); len(list) > 0 {
		fmt.Fprint(w, "\nFlags:\n")
		printOptions(w, list)
	}
}

// alignedExamples are the lines, indented, with their remarks below each other.
func alignedExamples(examples string) string {
	var lines [][2]string
	width := 0
	for line := range strings.Lines(strings.TrimSpace(examples)) {
		line, remark, _ := strings.Cut(strings.TrimSpace(line), "  # ")
		line = strings.TrimSpace(line)
		lines = append(lines, [2]string{line, remark})
		if remark != "" {
			width = max(width, len(line))
		}
	}
	var b strings.Builder
	for _, l := range lines {
		if l[1] == "" {
			fmt.Fprintf(&b, "  %s\n", l[0])
		} else {
			fmt.Fprintf(&b, "  %-*s  # %s\n", width, l[0], l[1])
		}
	}
	return b.String()
}

// option is a flag in the help.
type option struct{ long, short, placeholder, text string }

// String is how it is typed.
func (o option) String() string {
	s := "--" + o.long
	if o.short != "" {
		s = "-" + o.short + ", " + s
	}
	return strings.TrimSpace(s + " " + o.placeholder)
}

// options are the command's flags.
func (c *command) options() (list []option) {
	flags, _ := c.flags()
	flags.VisitAll(func(f *pflag.Flag) {
		placeholder, text := pflag.UnquoteUsage(f)
		if f.Value.Type() == "bool" {
			placeholder = ""
		}
		switch f.DefValue {
		case "", "false", "0", "-1", "[]":
		default:
			text += " (default: " + f.DefValue + ")"
		}
		list = append(list, option{f.Name, f.Shorthand, placeholder, text})
	})
	return list
}

// helpWidth is how wide help is.
const helpWidth = 88

// printOptions draws flags in two columns.
func printOptions(w io.Writer, list []option) {
	typed := func(o option) string {
		if o.short == "" {
			return "    " + o.String()
		}
		return o.String()
	}
	column := 0
	for _, o := range list {
		column = max(column, len(typed(o)))
	}
	for _, o := range list {
		fmt.Fprintf(w, "  %-*s   %s\n", column, typed(o), strings.Join(wrapped(o.text, helpWidth-column-5), "\n"+strings.Repeat(" ", column+5)))
	}
}

// wrapped is the text in lines of at most so many characters, as far as its words allow.
func wrapped(text string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len([]rune(line))+1+len([]rune(word)) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

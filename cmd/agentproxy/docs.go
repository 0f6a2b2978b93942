package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/agentproxy/agentproxy/profiles"
	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/spf13/pflag"
)

//go:generate env UPDATE_DOCS=yes go test -count=1 -run ^(TestGenerated|TestJSONForms)$ .

// topic is something to read about beside the commands.
type topic struct {
	name, page, short, text string
}

func topics() []topic {
	return []topic{
		{"config", "config", "the configuration file", config.Manual},
		{"profiles", "profile", "files that say what a tool needs", profiles.Manual},
	}
}

// exitStatuses are ours, and when.
var exitStatuses = [][2]string{
	{"the command's", "`exec` ran the command. When a signal killed it, the same signal kills `agentproxy`, so a shell shows 130, 137 or 143."},
	{"125", "agentproxy itself failed. stderr says why, and what to type."},
	{"126", "`exec` found the command and could not execute it."},
	{"127", "`exec` did not find the command."},
	{"1", "`status`: no tunnel runs. `doctor`: a tool does not work. `ca lint`: a client refuses what it found."},
}

// manualCommand writes the manual's pages, as Markdown for go-md2man.
func manualCommand() *command {
	return &command{
		name: "__manual", hidden: true, short: "Write the manual's pages", args: "DIRECTORY",
		define: func(*pflag.FlagSet) action {
			return oneArg("__manual", "a directory", "agentproxy __manual DIRECTORY", func(_ *process, dir string) error { return writeManual(dir) })
		},
	}
}

func outdented(text string) string {
	return strings.TrimPrefix(strings.ReplaceAll("\n"+text, "\n  ", "\n"), "\n")
}

// prose is the text of a help in Markdown: what is indented there stays as it is.
func prose(long string) string {
	var b strings.Builder
	for _, part := range strings.Split(strings.TrimSpace(long), "\n\n") {
		switch {
		case part == "":
		case strings.HasPrefix(part, "  "):
			fmt.Fprintf(&b, "\n```text\n%s\n```\n", outdented(part))
		default:
			fmt.Fprintf(&b, "\n%s\n", part)
		}
	}
	return b.String()
}

// writeManual writes the pages: one of the program, one a command, one a topic.
func writeManual(dir string) error {
	pages := map[string]string{"agentproxy.1.md": manualOfProgram()}
	for _, c := range commands() {
		if !c.hidden {
			pages["agentproxy-"+c.name+".1.md"] = manualOf(c)
		}
	}
	for _, t := range topics() {
		_, text, _ := strings.Cut(t.text, "\n")
		pages["agentproxy-"+t.page+".5.md"] = manualHead("agentproxy-"+t.page, 5, t.short) +
			"# DESCRIPTION\n" + strings.ReplaceAll(text, "\n## ", "\n# ") + "\n# SEE ALSO\n\nagentproxy(1)\n"
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, text := range pages {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func manualHead(name string, section int, short string) string {
	return fmt.Sprintf("%% %s %d \"\" \"agentproxy %s\"\n\n# NAME\n\n%s - %s\n\n", name, section, buildVersion(), name, strings.ToLower(short[:1])+short[1:])
}

func manualOfProgram() string {
	var b strings.Builder
	b.WriteString(manualHead("agentproxy", 1, "Run commands so that their HTTPS works behind a proxy that re-terminates TLS"))
	b.WriteString("# SYNOPSIS\n\n**agentproxy** COMMAND [FLAG...]\n\n# DESCRIPTION\n\n")
	b.WriteString("The commands are below, each with a page of its own, such as agentproxy-exec(1).\n\n# COMMANDS\n\n")
	for _, c := range commands() {
		if !c.hidden {
			fmt.Fprintf(&b, "**%s**\n: %s\n\n", c.name, c.short)
		}
	}
	b.WriteString("# EXIT STATUS\n\n")
	for _, e := range exitStatuses {
		fmt.Fprintf(&b, "**%s**\n: %s\n\n", e[0], e[1])
	}
	b.WriteString("# SEE ALSO\n\nagentproxy-exec(1)")
	for _, t := range topics() {
		fmt.Fprintf(&b, ", agentproxy-%s(5)", t.page)
	}
	return b.String() + "\n"
}

func manualOf(c *command) string {
	var b strings.Builder
	b.WriteString(manualHead("agentproxy-"+c.name, 1, c.short))
	fmt.Fprintf(&b, "# SYNOPSIS\n\n`%s`\n\n# DESCRIPTION\n\n%s.\n%s\n", c.synopsis(), c.short, prose(c.long))
	manualOptions(&b, c)
	fmt.Fprintf(&b, "# EXAMPLES\n\n```\n%s```\n\n", outdented(alignedExamples(c.examples)))
	for _, v := range c.verbs {
		fmt.Fprintf(&b, "# %s\n\n`%s`\n\n%s.\n%s\n```\n%s```\n\n", strings.ToUpper(v.name), v.synopsis(), v.short, prose(v.long),
			outdented(alignedExamples(v.examples)))
		manualOptions(&b, v)
	}
	b.WriteString("# SEE ALSO\n\nagentproxy(1)\n")
	return b.String()
}

func manualOptions(b *strings.Builder, c *command) {
	list := c.options()
	if len(list) > 0 && !strings.Contains(c.name, " ") {
		b.WriteString("# OPTIONS\n\n")
	}
	for _, o := range list {
		fmt.Fprintf(b, "**%s**\n: %s\n\n", o, o.text)
	}
}

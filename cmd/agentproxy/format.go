package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/profiles/env"
	"github.com/agentproxy/agentproxy/shell"
)

// envFormat is a form in which env prints the environment, beside those of shells.
type envFormat struct {
	name string
	// write prints one edit; left says why it cannot.
	write func(w io.Writer, e env.Edit) (left string)
}

var envFormats = []envFormat{
	{"github", writeGitHub},
	{"dotenv", writeDotenv},
	{"docker", writeDocker},
	{"json", nil}, // one object
}

// formatNames are the values of --format.
func formatNames() []string {
	names := shell.Names()
	for _, f := range envFormats {
		names = append(names, f.name)
	}
	return names
}

// printEnvironment prints the edits. What the format cannot hold is left out, with a word.
func printEnvironment(proc *process, f envFormat, edits []env.Edit) {
	if f.write == nil {
		all := make(map[string]*string, len(edits))
		for _, e := range edits {
			all[e.Name] = nil
			if !e.Unset {
				all[e.Name] = &e.Value
			}
		}
		_ = printJSON(proc.Out, all) // a map of strings has always a form
		return
	}
	for _, e := range edits {
		if e.Unset {
			e.Value = ""
		}
		if left := f.write(proc.Out, e); left != "" {
			proc.say("left out %s: %s", e.Name, left)
		}
	}
}

// writeGitHub is a line of the file that $GITHUB_ENV names (GitHub's documentation of
// workflow commands), which takes no NODE_OPTIONS.
func writeGitHub(w io.Writer, e env.Edit) (left string) {
	switch {
	case e.Name == "NODE_OPTIONS":
		return "GITHUB_ENV does not take it; run Node's commands through agentproxy exec"
	case strings.ContainsAny(e.Value, "\r\n"):
		end := "END_OF_" + e.Name
		for slices.Contains(strings.Split(e.Value, "\n"), end) {
			end += "_"
		}
		fmt.Fprintf(w, "%s<<%s\n%s\n%s\n", e.Name, end, e.Value, end)
	default:
		fmt.Fprintf(w, "%s=%s\n", e.Name, e.Value)
	}
	return ""
}

// writeDotenv quotes as the dotenv libraries of Node, Python, Ruby and Go read it, and a
// POSIX shell, too: in single quotes nothing is special.
func writeDotenv(w io.Writer, e env.Edit) (left string) {
	if strings.ContainsAny(e.Value, "'\r\n") {
		return "no quoting of it is the same to all readers"
	}
	fmt.Fprintf(w, "%s='%s'\n", e.Name, e.Value)
	return ""
}

// writeDocker is a line for --env-file, in which nothing is quoted.
func writeDocker(w io.Writer, e env.Edit) (left string) {
	if strings.ContainsAny(e.Value, "\r\n") {
		return "a line cannot hold it"
	}
	fmt.Fprintf(w, "%s=%s\n", e.Name, e.Value)
	return ""
}

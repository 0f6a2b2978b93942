package main

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/agentproxy/agentproxy/profiles"
	"github.com/agentproxy/agentproxy/profiles/rules"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/wrap/classify"
	"github.com/spf13/pflag"
)

//go:embed guide.md
var guideText string

func guideCommand() *command {
	return &command{
		name:  "guide",
		short: "Print the troubleshooting guide for this tunnel",
		examples: `
  agentproxy guide                               # for a person or an agent: addresses, paths, each class with its fix
  agentproxy guide > CLAUDE.local.md             # where an agent reads it`,
		long: "The state directory holds the same text as README.md (readmePath in the status document).",
		define: func(flags *pflag.FlagSet) action {
			var t tunnelFlags
			t.define(flags)
			return func(ctx context.Context, proc *process, _ []string) error {
				_, tunnel, err := t.attach(ctx, proc)
				if err != nil {
					return err
				}
				doc, err := tunnel.Status(ctx)
				if err != nil {
					return err
				}
				text, err := guideFor(library(proc), doc)
				if err == nil {
					_, err = io.WriteString(proc.Out, text)
				}
				return err
			}
		},
	}
}

// guide is what the text names.
type guide struct {
	URL, Upstream, CA, Bundle, JavaStore, StateDir string
	SSHRewrite                                     bool
	Conflicts                                      []string
	Classes                                        []guideClass
}

type guideClass struct {
	Class   rules.Class
	Final   bool
	Meaning string
	Advice  string
}

// readme writes the guide into the state directory.
func readme(proc *process) func(*status.Document) (string, error) {
	return func(doc *status.Document) (string, error) { return guideFor(library(proc), doc) }
}

// guideFor writes the guide for the tunnel that the document is of.
func guideFor(library *profiles.Library, doc *status.Document) (string, error) {
	g := guide{
		URL: fmt.Sprintf("http://127.0.0.1:%d", doc.Port), Upstream: doc.Upstream, CA: filepath.Join(doc.StateDir, rundir.CertFile),
		Bundle: doc.CABundlePath, JavaStore: doc.JavaTrustStorePath, StateDir: doc.StateDir, SSHRewrite: doc.GitSSHRewrite,
	}
	for _, code := range doc.GitConfigConflicts {
		g.Conflicts = append(g.Conflicts, "git: "+code+" is overruled for runs, where that can be done")
	}
	for _, c := range doc.ToolConflicts {
		if !c.Overruled {
			g.Conflicts = append(g.Conflicts, fmt.Sprintf("%s: %s in %s; %s", c.Tool, c.Code, c.File, c.Advice))
		}
	}
	reader := classify.New(classify.Options{Library: library})
	for _, c := range rules.Classes() {
		if c != rules.None {
			g.Classes = append(g.Classes, guideClass{c, c.Final(), c.Meaning(), sentence(reader.Advice("", c))})
		}
	}
	text, err := template.New("guide").Parse(guideText)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = text.Execute(&b, g)
	return b.String(), err
}

// sentence makes one of an advice.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

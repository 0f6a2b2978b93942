package session

import (
	"context"
	"os"
	"path/filepath"
	"slices"

	"github.com/agentproxy/agentproxy/profiles"
	"github.com/agentproxy/agentproxy/profiles/detect"
	"github.com/agentproxy/agentproxy/profiles/env"
	"github.com/agentproxy/agentproxy/profiles/probe"
	"github.com/agentproxy/agentproxy/profiles/rules"
	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/guard"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/wrap/gitenv"
	"github.com/agentproxy/agentproxy/wrap/learned"
	"github.com/mitchellh/go-homedir"
)

// Library is the profiles: the user's own, and ours.
func Library(getenv func(string) string) *profiles.Library {
	dir := ""
	if path, err := config.Dir(getenv); err == nil {
		dir = filepath.Join(path, "profiles")
	}
	return profiles.Open(dir)
}

// System is the machine as seen from here.
func System(ctx context.Context, m *probe.Machine) detect.System {
	home, err := homedir.Dir()
	if err != nil {
		home = "" // then there is no configuration in it
	}
	dir, err := os.Getwd()
	if err != nil {
		dir = "/"
	}
	return m.System(ctx, home, dir)
}

// detection is what is known about a command before it runs.
type detection struct {
	tools   *detect.Detection
	git     *gitenv.Git
	system  detect.System
	machine *probe.Machine
	err     error
	// faults are of ours: the command gets less then, and runs all the same.
	faults []*guard.Fault
	// captureHelps is true where a network of its own has helped the command before.
	captureHelps bool
}

// try does a part of the detection, or where that panics what stands for it.
func (d *detection) try(doing string, part, instead func()) {
	if f := guard.Do(doing, part); f != nil {
		d.faults = append(d.faults, f)
		instead()
	}
}

// detect looks at the command and the machine while something else goes on; the
// result is received.
func (s *session) detect(ctx context.Context) <-chan *detection {
	done := make(chan *detection, 1)
	go func() {
		machine := probe.Open(s.Environ, versionsIn(StateDir(s.Tunnel.Getenv)))
		system, project := System(ctx, machine), ""
		system.Remedied = func(tool, version string, class rules.Class) bool {
			if project == "" {
				project = learned.Project(system.Dir)
			}
			return class == s.cured || s.Memory.Has(learned.Fix{Tool: tool, Version: version, Project: project, Class: class})
		}
		d := &detection{system: system, machine: machine, captureHelps: s.captureHelps(system.Dir)}
		d.try("looking at the command", func() { d.tools, d.err = detect.Command(s.Library, s.Argv, system) },
			func() { d.tools, d.err = detect.Command(s.Library, nil, system) })
		d.try("looking at git", func() { d.git = gitenv.Detect(gitenv.Machine(ctx, system), s.Tunnel.Config.Git.RewriteHosts) },
			func() { d.git = &gitenv.Git{} })
		d.try("remembering versions", machine.Save, func() {})
		done <- d
	}()
	return done
}

// Describe adds to a status document what is known about git and the other tools
// of this user.
func Describe(ctx context.Context, environ []string, doc *status.Document, cfg *config.Config, library *profiles.Library) {
	system := System(ctx, probe.Open(environ, ""))
	git := gitenv.Detect(gitenv.Machine(ctx, system), cfg.Git.RewriteHosts)
	doc.GitConfigInjection, doc.GitSSHRewrite = true, git.Rewrites()
	// What "trust install" has set leads into the state directory, and is none.
	ours := env.Tunnel{StateDir: doc.StateDir, PublicDir: rundir.Public(doc.StateDir)}.Ours
	for _, c := range git.Conflicts(ours) {
		doc.GitConfigConflicts = append(doc.GitConfigConflicts, c.Code)
	}
	conflicts, err := detect.Settings(library, system)
	if err != nil {
		doc.ToolTrustFailureCodes = append(doc.ToolTrustFailureCodes, "profile_unreadable")
	}
	for _, c := range slices.DeleteFunc(conflicts, func(c detect.Conflict) bool { return ours(c.Value) }) {
		doc.ToolConflicts = append(doc.ToolConflicts, status.Conflict{Code: c.Code, Tool: c.Tool, File: c.File, Overruled: c.Overruled, Advice: c.Advice})
	}
}

package main

import (
	"os"
	"path/filepath"
	"slices"

	"github.com/agentproxy/agentproxy/profiles"
	"github.com/agentproxy/agentproxy/profiles/env"
	"github.com/agentproxy/agentproxy/profiles/probe"
	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/wrap/gitenv"
	"github.com/agentproxy/agentproxy/wrap/learned"
	"github.com/mitchellh/go-homedir"
)

// library is the profiles: the user's own, and ours.
func library() *profiles.Library {
	dir := ""
	if path, err := config.Dir(os.Getenv); err == nil {
		dir = filepath.Join(path, "profiles")
	}
	return profiles.Open(dir)
}

// worldOf is the machine as seen from here.
func worldOf(m *probe.Machine) profiles.World {
	home, err := homedir.Dir()
	if err != nil {
		home = "" // then there is no configuration in it
	}
	dir, err := os.Getwd()
	if err != nil {
		dir = "/"
	}
	return m.World(home, dir)
}

// surveyed is what is known about a command before it runs.
type surveyed struct {
	tools   *profiles.Survey
	git     *gitenv.Git
	world   profiles.World
	machine *probe.Machine
	err     error
}

// versionsFile remembers the versions of programs, in the state directory.
const versionsFile = "versions.json"

// look surveys the command and the machine while something else goes on; the
// result is received.
func (r *execution) look() <-chan surveyed {
	done := make(chan surveyed, 1)
	go func() {
		dir := stateDir()
		machine := probe.Open(r.environ, filepath.Join(dir, versionsFile))
		world := worldOf(machine)
		memory, project := learned.Open(dir), ""
		world.Remedied = func(tool, version string, class profiles.Class) bool {
			if project == "" {
				project = learned.Project(world.Dir)
			}
			return class == r.remedied || memory.Has(learned.Fix{Tool: tool, Version: version, Project: project, Class: class})
		}
		s := surveyed{world: world, machine: machine}
		s.tools, s.err = library().Survey(r.argv, world)
		s.git = gitenv.Survey(gitenv.Machine(world), r.options.Config.Git.RewriteHosts)
		machine.Save()
		done <- s
	}()
	return done
}

// stateDir is where we remember things, before there is a tunnel; "" when there
// is no such place.
func stateDir() string {
	dirs, err := rundir.Candidates(os.Getenv)
	if err != nil || len(dirs) == 0 {
		return ""
	}
	return dirs[0]
}

// toolsOf returns what adds to a status document what is known about git and
// the other tools of this user.
func toolsOf(cfg *config.Config) func(*status.Document) {
	return func(doc *status.Document) {
		world := worldOf(probe.Open(os.Environ(), ""))
		git := gitenv.Survey(gitenv.Machine(world), cfg.Git.RewriteHosts)
		doc.GitConfigInjection, doc.GitSSHRewrite = true, git.Rewrites()
		// What "trust install" has set leads into the state directory, and is none.
		ours := env.Tunnel{StateDir: doc.StateDir}.Ours
		for _, c := range git.Conflicts(ours) {
			doc.GitConfigConflicts = append(doc.GitConfigConflicts, c.Code)
		}
		conflicts, err := library().Conflicts(world)
		if err != nil {
			doc.ToolTrustFailureCodes = append(doc.ToolTrustFailureCodes, "profile_unreadable")
		}
		for _, c := range slices.DeleteFunc(conflicts, func(c profiles.Conflict) bool { return ours(c.Value) }) {
			doc.ToolConflicts = append(doc.ToolConflicts, status.Conflict{Code: c.Code, Tool: c.Tool, File: c.File, Overruled: c.Overruled, Advice: c.Advice})
		}
	}
}

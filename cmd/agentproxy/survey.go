package main

import (
	"os"
	"path/filepath"

	"github.com/agentproxy/agentproxy/profiles"
	"github.com/agentproxy/agentproxy/profiles/probe"
	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/wrap/gitenv"
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

// toolsOf returns what adds to a status document what is known about git and
// the other tools of this user.
func toolsOf(cfg *config.Config) func(*status.Document) {
	return func(doc *status.Document) {
		world := worldOf(probe.Open(os.Environ(), ""))
		theirs := func(string) bool { return false }
		git := gitenv.Survey(gitenv.Machine(world), cfg.Git.RewriteHosts, theirs)
		doc.GitConfigInjection, doc.GitSSHRewrite = true, git.Rewrites()
		for _, c := range git.Conflicts {
			doc.GitConfigConflicts = append(doc.GitConfigConflicts, c.Code)
		}
		conflicts, err := library().Conflicts(world, theirs)
		if err != nil {
			doc.ToolTrustFailureCodes = append(doc.ToolTrustFailureCodes, "profile_unreadable")
		}
		for _, c := range conflicts {
			doc.ToolConflicts = append(doc.ToolConflicts, status.Conflict{Code: c.Code, Tool: c.Tool, File: c.File, Overruled: c.Overruled, Advice: c.Advice})
		}
	}
}

package session

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/agentproxy/agentproxy/profiles/detect"
	"github.com/agentproxy/agentproxy/profiles/env"
	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/proxy/trust"
	"github.com/agentproxy/agentproxy/wrap/container"
	"github.com/agentproxy/agentproxy/wrap/plan"
	"github.com/agentproxy/agentproxy/wrap/preload"
	"github.com/agentproxy/agentproxy/wrap/verdict"
	"github.com/mitchellh/go-homedir"
)

// Plan is what Run would do for the options with this tunnel, without a run. The
// plan's files are written; Clean removes those that are for the command alone.
// Of the ports only Console and Memory are used.
func Plan(ctx context.Context, o Options, p Ports, t *attach.Tunnel) (plan.Plan, error) {
	s := newSession(o, p)
	s.detecting = s.detect(ctx)
	return s.plan(ctx, t)
}

// plan makes the files that the command is pointed at, where they are not up to
// date, and plans.
func (s *session) plan(ctx context.Context, t *attach.Tunnel) (plan.Plan, error) {
	s.known = <-s.detecting
	if s.known.err != nil {
		return plan.Plan{}, s.known.err
	}
	tools := s.known.tools
	s.choose()
	leaveLocked(tools.Conflicts)
	in := plan.Input{Argv: s.Argv, Environ: s.Environ, Detected: tools, Git: s.known.git, Uses: s.Uses, Tunnel: s.described(t)}
	if err := roots(t, plan.CAs(tools, s.known.git, in.Tunnel, s.Environ), &in.Tunnel); err != nil {
		return plan.Plan{}, err
	}
	var err error
	if in.Facts, err = s.facts(t, tools); err != nil {
		return plan.Plan{}, err
	}
	if tools.Contained != nil {
		if in.Container, err = s.share(ctx, in.Tunnel); err != nil {
			return plan.Plan{}, err
		}
	}
	made := plan.New(in)
	if line := verdict.ReadCommandLine(s.Argv); line.Loopback && len(line.Remote) == 0 {
		// A server of the user's own may well have a certificate that nobody signed.
		made.Insecure = slices.DeleteFunc(made.Insecure, func(i detect.Switch) bool { return i.Variable == "" })
	}
	if profile := in.Facts[firefoxProfile]; profile != "" {
		made.Temporary = append(made.Temporary, profile)
	}
	return made, write(made)
}

// described is the tunnel in the words of templates; its roots are still to come.
func (s *session) described(t *attach.Tunnel) env.Tunnel {
	d := env.Tunnel{
		URL: t.URL(), Host: "127.0.0.1", Port: strconv.Itoa(t.Record.Port), StateDir: t.Dir, PublicDir: rundir.Public(t.Dir),
		JavaStorePassword: trust.JVMPassword, Run: s.ID,
	}
	if s.Tunnel.Config.Named {
		d.Config = s.Tunnel.Config.Path
	}
	if t.Record.Inherited {
		d.Upstream = t.Record.Upstream
	}
	return d
}

// write makes sure that the plan's files are there and hold what they should.
func write(p plan.Plan) error {
	for _, f := range p.Files {
		if err := rundir.Ensure(f.Path, f.Content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Clean removes what was made for the planned command alone.
func Clean(p plan.Plan) {
	for _, dir := range p.Temporary {
		os.RemoveAll(dir)
	}
}

// leaveLocked leaves roots of the user's alone that cannot be merged into ours.
func leaveLocked(conflicts []detect.Conflict) {
	for i, c := range conflicts {
		if c.Is == "ca" && c.Overruled && ca.Locked(c.Value) {
			conflicts[i].Env, conflicts[i].Argv, conflicts[i].Overruled = nil, nil, false
		}
	}
}

// roots builds the bundle and the truststore, and says where they are.
func roots(t *attach.Tunnel, users []string, described *env.Tunnel) error {
	bundle, err := ca.BuildBundle(t.Dir, described.PublicDir, append(users, t.Record.CAs...)...)
	if err != nil {
		return err
	}
	described.Bundle = bundle.Path
	// What is added to a tool's own roots: our certificate alone, unless others
	// sign as well (an upstream, or origins that are passed through).
	if described.CA, err = ca.Publish(t.Dir, described.PublicDir); err != nil {
		return err
	}
	if len(t.Record.CAs) > 0 {
		described.CA = bundle.Path
	}
	described.JavaStore, err = trust.JVMTrustStore(bundle.Path)
	return err
}

const firefoxProfile = "firefox.profile"

// facts makes what only some commands need, and says where it is.
func (s *session) facts(t *attach.Tunnel, tools *detect.Detection) (map[string]string, error) {
	home, err := homedir.Dir()
	if err != nil {
		home = t.Dir // nothing of the user's is there
	}
	facts := map[string]string{"home": home}
	if s.capturing {
		facts[plan.CapturedFact] = "1"
	}
	if !s.NoPreload && plan.Needs(tools, "preload.") {
		hooks, err := preload.Write(filepath.Join(rundir.Public(t.Dir), hooksDir))
		if err != nil {
			return nil, err
		}
		facts["preload.node"], facts["preload.python"] = hooks.Node, hooks.Python
		facts["preload.php"] = hooks.PHP
		if !strings.ContainsAny(hooks.Ruby, " \t") { // RUBYOPT quotes nothing
			facts["preload.ruby"] = hooks.Ruby
		}
	}
	authorities := append([]string{filepath.Join(t.Dir, rundir.CertFile)}, t.Record.CAs...)
	for fact, make := range map[string]func() (string, error){
		"chromium.home": func() (string, error) {
			return trust.ChromiumHome(t.Dir, filepath.Join(home, ".pki", "nssdb"), authorities...)
		},
		firefoxProfile: func() (string, error) { return trust.FirefoxProfile(t.Dir, s.ID, authorities...) },
	} {
		if !plan.Needs(tools, fact) {
			continue
		}
		path, err := make()
		switch {
		case errors.Is(err, trust.ErrNoCertutil):
			s.Console.Say("the browser will not trust the CA: %s", err)
		case err != nil:
			return nil, err
		default:
			facts[fact] = path
		}
	}
	return facts, nil
}

// share is what a container that the command starts gets.
func (s *session) share(ctx context.Context, t env.Tunnel) (*plan.Container, error) {
	share, err := container.Prepare(ctx, container.Input{
		Contained: s.known.tools.Contained, Library: s.Library, System: s.known.system, Tunnel: t,
	})
	if err != nil {
		return nil, err
	}
	s.known.machine.Save() // the engine may have been asked for its version
	s.steps = share.Tools
	return &share.Edits, nil
}

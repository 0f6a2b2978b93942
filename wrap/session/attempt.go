package session

import (
	"context"
	"net/url"
	"slices"
	"strconv"

	"github.com/agentproxy/agentproxy/profiles"
	"github.com/agentproxy/agentproxy/profiles/env"
	"github.com/agentproxy/agentproxy/profiles/rules"
	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/proxy/guard"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/wrap/child"
	"github.com/agentproxy/agentproxy/wrap/classify"
	"github.com/agentproxy/agentproxy/wrap/plan"
	"github.com/agentproxy/agentproxy/wrap/term"
	"github.com/agentproxy/agentproxy/wrap/verdict"
	"golang.org/x/net/http/httpproxy"
)

// attempt is one run of the command, and why it failed.
type attempt struct {
	plan    plan.Plan
	result  child.Result
	seen    *status.Evidence
	output  *child.Output
	verdict verdict.Verdict
	faults  []*guard.Fault
	// tunnel is the one that it ran behind, opaque with an upstream egress.
	tunnel *attach.Tunnel
	opaque bool
}

// note keeps a fault of ours for the end of the run; nil is none.
func (a *attempt) note(f *guard.Fault) {
	if f != nil {
		a.faults = append(a.faults, f)
	}
}

// attempt runs the command once.
func (s *session) attempt(ctx context.Context) (attempt, error) {
	tunnel, attachment, err := s.Acquire(ctx, s.Tunnel, s.ID)
	if err != nil {
		return attempt{}, err
	}
	defer attachment.Close()
	s.Console.Notices(tunnel)
	planned, err := s.plan(ctx, tunnel)
	if err != nil {
		return attempt{}, err
	}
	defer Clean(planned)
	if !s.again {
		s.Console.Plan(planned)
	}
	network, err := s.network(planned, tunnel, attachment)
	if err != nil {
		return attempt{}, err
	}
	reader := classify.New(s.reading())
	a := attempt{plan: planned, output: &child.Output{Then: reader}, tunnel: tunnel, opaque: tunnel.Record.Upstream != ""}
	a.result, err = s.Run(child.Command{Argv: planned.Argv, Env: planned.Environ}, child.Options{
		Output: a.output, Terminal: s.terminal(), Again: s.mayBeAgain(), Capture: network,
	})
	if err != nil && s.mayGoOn(err) {
		s.begin(ctx)
		return s.attempt(ctx)
	}
	if err != nil {
		return a, err
	}
	a.note(a.output.Fault())
	if !a.result.OK() {
		a.note(guard.Do("judging the failure", func() { s.judge(ctx, &a, reader, attachment) }))
	} else if s.Tunnel.Config.Policy.Reports() {
		a.seen, _ = attachment.Evidence(ctx) // what cannot be found out is left out
	}
	return a, nil
}

// terminal says how a terminal is treated: a tool that may fail for a reason of
// ours is read there, too.
func (s *session) terminal() term.Mode {
	if s.PTY || s.known.tools.Known && !s.NoPTY {
		return term.Relay
	}
	return term.Inherit
}

// judge says why the command failed. What cannot be found out is left out: it
// would only distract from the command's own failure.
func (s *session) judge(ctx context.Context, a *attempt, reader *classify.Classifier, attachment Attachment) {
	a.seen, _ = attachment.Evidence(ctx)
	found := classify.Result{Class: rules.None}
	if a.output.Fault() == nil {
		a.output.Replay()
		var err error
		if found, err = reader.Result(classify.Status{Known: true, Code: a.result.Code}); err != nil {
			s.Console.Say("%s", err)
		}
	}
	line := verdict.ReadCommandLine(s.Argv)
	line.ProxyPorts = append(line.ProxyPorts, strconv.Itoa(a.tunnel.Record.Port))
	a.verdict = verdict.Of(verdict.Input{
		Failed: true, Output: found, Seen: a.seen, Tool: s.tool(), Conflicts: a.plan.Conflicts, Never: a.plan.Never, Resets: a.plan.Resets, OwnSSH: s.known.git.OwnSSH, Advice: reader.Advice,
		CommandLine: line, Opaque: a.opaque,
		Direct: direct(a.plan), Given: given(a.plan), Mute: a.output.Empty(), TellsOther: reader.TellsOther, Names: func(host string) bool { return !a.output.Omits(host) },
	})
	s.adviseCapture(&a.verdict)
	s.lookBehind(ctx, a)
}

// reading says which profiles' words to look for.
func (s *session) reading() classify.Options {
	o := classify.Options{Library: s.Library, Tool: s.tool()}
	for _, t := range slices.Backward(slices.Concat(s.known.tools.Tools, s.steps)) {
		o.Profiles = append(o.Profiles, t.Name)
	}
	return o
}

// tool is the profile of the innermost command, "" when none is known.
func (s *session) tool() string {
	tools := s.known.tools.Tools
	if len(tools) == 0 || tools[len(tools)-1].Name == profiles.BaseName {
		return ""
	}
	return tools[len(tools)-1].Name
}

// direct reports of hosts whether a command goes to them past any proxy, by what it was
// given in NO_PROXY.
func direct(p plan.Plan) func(host string) bool {
	c := httpproxy.Config{HTTPSProxy: "http://proxy.invalid", NoProxy: env.Get(p.Environ, "NO_PROXY")}
	proxyFor := c.ProxyFunc()
	return func(host string) bool {
		proxy, err := proxyFor(&url.URL{Scheme: "https", Host: host})
		return env.IsLoopback(host) || err == nil && proxy == nil
	}
}

// given reports of variables whether the plan sets them.
func given(p plan.Plan) func(variable string) bool {
	return func(variable string) bool {
		return slices.ContainsFunc(p.Changes, func(c plan.Change) bool { return c.Name == variable && c.Action != "remove" })
	}
}

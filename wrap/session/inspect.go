package session

import (
	"context"
	"net"
	"slices"

	"github.com/agentproxy/agentproxy/profiles/rules"
	"github.com/agentproxy/agentproxy/wrap/inspect"
	"github.com/agentproxy/agentproxy/wrap/verdict"
)

// lookBehind says more of a failure of TLS where the tunnel cannot look inside: what
// the host presents through the upstream egress, held against the roots that the
// command was given.
func (s *session) lookBehind(ctx context.Context, a *attempt) {
	v := &a.verdict
	if !a.opaque || v.Container || v.Class != rules.TLSTrust && v.Class != rules.TLSOther {
		return
	}
	authority := suspect(v, a, verdict.ReadCommandLine(s.Argv).Remote)
	if authority == "" {
		return
	}
	report, err := inspect.Host(ctx, a.tunnel.Dial, authority, a.plan.Fact("bundle"))
	if err != nil {
		return // then the words must do
	}
	explain(v, report)
}

// suspect is the host whose certificate the command did not take: the one that the
// verdict names, else the command line, else the only one that was tried.
func suspect(v *verdict.Verdict, a *attempt, remote []string) string {
	hosts := remote
	if v.Host != "" {
		hosts = []string{v.Host}
	}
	for _, h := range a.seen.Hosts {
		name, _, err := net.SplitHostPort(h.Host)
		if err == nil && (slices.Contains(hosts, name) || slices.Contains(hosts, h.Host) || len(hosts) == 0 && len(a.seen.Hosts) == 1) {
			return h.Host
		}
	}
	return ""
}

// explain puts what a host presents into a verdict.
func explain(v *verdict.Verdict, r *inspect.Report) {
	v.Host = r.Host
	switch {
	case !r.Trusted():
		v.Source, v.Confidence, v.Line, v.Advice = verdict.Both, 0.97, r.Detail, r.Advice
		v.Class = rules.TLSOther
		if r.Code == "unknown_root" || r.Code == "self_signed" || r.Code == "incomplete_chain" {
			v.Class = rules.TLSTrust
		}
	case len(r.Defects) > 0:
		d := r.Defects[0]
		v.Line = d.Subject + ": " + d.Detail + "; refused by " + r.Refused()
		v.Advice = d.Fix
	}
}

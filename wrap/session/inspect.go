package session

import (
	"cmp"
	"context"
	"net"
	"slices"

	"github.com/agentproxy/agentproxy/profiles/rules"
	"github.com/agentproxy/agentproxy/wrap/classify"
	"github.com/agentproxy/agentproxy/wrap/inspect"
	"github.com/agentproxy/agentproxy/wrap/verdict"
)

// lookBehind says more of a failure where the tunnel cannot look inside: of one of TLS
// what the host presents through the upstream egress, held against the roots that the
// command was given; of an answer that the command could do nothing with, whether it is
// a refusal of somebody on the way.
func (s *session) lookBehind(ctx context.Context, a *attempt) {
	v := &a.verdict
	if !a.opaque || v.Container || a.seen == nil {
		return
	}
	remote := verdict.ReadCommandLine(s.Argv).Remote
	authority := suspect(v, a, remote)
	switch {
	case v.Class == rules.TLSTrust || v.Class == rules.TLSOther:
		if authority == "" {
			return
		}
		if report, err := inspect.Host(ctx, a.tunnel.Dial, authority, a.plan.Fact("bundle")); err == nil { // else the words must do
			explain(v, report)
		}
	case v.Class == rules.PolicyDenied && v.Source == verdict.Output, v.Class == rules.None && tellsOfAnswer(a.output):
		authority = cmp.Or(authority, suspect(&verdict.Verdict{}, a, remote)) // its page may name another
		if line := s.refusal(ctx, a, authority); line != "" {
			refused(v, authority, line)
		} else if v.Class == rules.PolicyDenied {
			v.Line += " (the tunnel cannot look inside what the upstream egress answers)"
		}
	}
}

// answers are words by which a command tells of an answer that it could do nothing
// with: a refusal, or a page in place of data.
var answers = []string{
	"403", "451", "forbidden", "<html", "<!doctype", "text/html", "unexpected token '<'", "unexpected token <", "invalid character '<'", "not valid json",
	"expecting value: line 1 column 1", "not in gzip format", "unexpected end of json", "is this a git repository?", "does not appear to be a", "bad zip", "not a zip",
}

func tellsOfAnswer(output interface{ Omits(string) bool }) bool {
	return slices.ContainsFunc(answers, func(words string) bool { return !output.Omits(words) })
}

// refusal asks a host through the upstream egress for its first page, and returns what
// says in the answer that it is refused; "" for nothing.
func (s *session) refusal(ctx context.Context, a *attempt, authority string) string {
	if authority == "" {
		return ""
	}
	answer, err := inspect.Ask(ctx, a.tunnel.Dial, authority, a.plan.Fact("bundle"))
	if err != nil {
		return ""
	}
	line, err := classify.Refusal(s.Library, answer.Lines)
	if err != nil || line == "" {
		return ""
	}
	return answer.Status + ", " + line
}

// refused makes a verdict one of a refusal that comes inside of TLS.
func refused(v *verdict.Verdict, authority, line string) {
	*v = verdict.Verdict{
		Class: rules.PolicyDenied, Confidence: 0.9, Final: rules.PolicyDenied.Final(), Tool: v.Tool, Host: authority, Source: verdict.Asked, Also: v.Also,
		Line:   "inside of TLS, where the tunnel cannot look: " + line,
		Advice: verdict.DeniedAdvice,
	}
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

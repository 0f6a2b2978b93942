package policy

import (
	"context"

	"github.com/agentproxy/agentproxy/proxy/status"
)

// MayAllow reports whether somebody may let the target pass that the policy refuses:
// no rule denies it, and every layer that nothing widens allows it.
func (p *Policy) MayAllow(t Target) bool {
	if match(p.deny, t, false) != nil {
		return false
	}
	for i := range p.lists {
		if p.lists[i].fixed && !p.lists[i].decide(t).Allowed {
			return false
		}
	}
	return p.checkLiteral(t, Decision{Allowed: true}).Allowed
}

// MayAllow is Policy.MayAllow for a request to a target that may be reached. One that
// may be taken for others has too much to it for an answer.
func (rs *Requests) MayAllow(r Request, also []Request) bool {
	if len(also) > 0 {
		return false
	}
	loose := r.loose()
	for _, p := range rs.deny {
		if p.on.denies(r, loose) {
			return false
		}
	}
	for i := range rs.lists {
		if d := rs.lists[i].decide(r, rs.target); !d.Allowed && d.fixed {
			return false
		}
	}
	return true
}

// AllowEntry is an entry of policy.allow for a target, or with a method for a request
// in its normal form; "" where there is none that means just that.
func AllowEntry(t Target, method, path string) string {
	if method == "" {
		return t.entry()
	}
	e := status.Entry{Host: t.String(), Method: method, Path: path}
	entry := requestEntry(t, e)
	if _, err := parsePattern("allow", entry); err != nil || path == "*" || e.WasCut() {
		return ""
	}
	return entry
}

type grantKey struct{}

// Grant marks the opening of a tunnel that somebody has let pass although the policy
// refuses it; see Policy.MayAllow.
func Grant(ctx context.Context) context.Context { return context.WithValue(ctx, grantKey{}, true) }

// Granted reports whether somebody has.
func Granted(ctx context.Context) bool {
	granted, _ := ctx.Value(grantKey{}).(bool)
	return granted
}

package egress

import (
	"context"
	"net"
	"net/netip"

	"github.com/agentproxy/agentproxy/proxy/policy"
)

// Judged is an address that a name resolves to, with the policy's decision on it.
type Judged struct {
	Address  netip.Addr
	Decision policy.Decision
}

// Resolve resolves the target's name as a dial does, and judges each address. The
// resolver may be nil, for the system's.
func Resolve(ctx context.Context, resolver *net.Resolver, p *policy.Policy, t policy.Target) ([]Judged, error) {
	var chain aliases
	addresses, err := chain.watch(resolver, p, t).LookupNetIP(ctx, "ip", t.Host.String())
	judged := make([]Judged, 0, len(addresses))
	for _, a := range addresses {
		a = a.Unmap()
		judged = append(judged, Judged{a, chain.judge(p, t, a)})
	}
	return judged, err
}

// watch returns the resolver that notes the aliases, where a rule asks for them.
func (a *aliases) watch(from *net.Resolver, p *policy.Policy, t policy.Target) *net.Resolver {
	if p.SeesAliases() && !t.Host.IsIP() {
		return a.resolver(from)
	}
	return from
}

// judge decides on an address that the name resolved to by way of its aliases.
func (a *aliases) judge(p *policy.Policy, t policy.Target, address netip.Addr) policy.Decision {
	if d := a.refusal(p, t); d != nil {
		return *d
	}
	return p.CheckAddr(t, address)
}

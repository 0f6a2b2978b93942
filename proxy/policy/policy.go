package policy

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/proxy/status"
)

// Rules is the policy as the configuration words it. A pattern is
// "example.com" (that host), "*.example.com" (its subdomains), "*" (any host),
// an IP address or a CIDR prefix (literal addresses, and for deny also what a
// name resolves to), each with an optional ":port". A pattern without a port
// means port 443 when it allows and every port when it denies. "cname:" before a
// name denies the names that are aliases of it as well (RFC 1034 §3.6.2).
type Rules struct {
	// Default is "allow" or "deny": what happens to a host that no pattern names.
	Default     string
	Allow       []string
	Deny        []string
	Passthrough []string
	// Private lists addresses and CIDR prefixes that may be reached although
	// they are not public. A metadata address must be listed by itself.
	Private []string
	// Lab is set on a machine whose own addresses come from the documentation
	// ranges (LabNetwork); Local are the prefixes of its interfaces.
	Lab   bool
	Local []netip.Prefix
}

// Decision is the answer to "may it go there", with its grounds.
type Decision struct {
	Allowed bool
	// Kind is the failure kind when not allowed.
	Kind status.Kind
	// Rule is the configuration entry that decided, such as `deny "evil.example"`.
	Rule string
	// Reason is a sentence for people.
	Reason string
	// Advice is what would change the decision, "" when nothing should.
	Advice string
}

// Failure is the refusal of a target that a client is answered with.
func (d Decision) Failure(t Target) *status.Failure {
	return &status.Failure{TS: status.Now(), Kind: d.Kind, Code: http.StatusForbidden, Host: t.String(),
		By: "policy", Rule: d.Rule, Detail: d.Reason, Advice: d.Advice}
}

// Policy is compiled Rules. It is immutable and safe for concurrent use.
type Policy struct {
	allowByDefault           bool
	allow, deny, passthrough []pattern
	private                  []netip.Prefix
	lab                      bool
	local                    []netip.Prefix
}

// New compiles rules; the error names the entry that cannot be read.
func New(r Rules) (*Policy, error) {
	p := &Policy{lab: r.Lab, local: r.Local}
	switch r.Default {
	case "", "allow":
		p.allowByDefault = true
	case "deny":
	default:
		return nil, fmt.Errorf(`policy.default must be "allow" or "deny", not %q`, r.Default)
	}
	for _, list := range []struct {
		name string
		from []string
		to   *[]pattern
	}{{"allow", r.Allow, &p.allow}, {"deny", r.Deny, &p.deny}, {"passthrough", r.Passthrough, &p.passthrough}} {
		for _, s := range list.from {
			pat, err := parsePattern(list.name, s)
			if err != nil {
				return nil, fmt.Errorf("policy.%s: %w", list.name, err)
			}
			*list.to = append(*list.to, pat)
		}
	}
	for _, s := range r.Private {
		prefix, err := parsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("policy.private: %q is not an address or CIDR prefix", s)
		}
		p.private = append(p.private, prefix)
	}
	return p, nil
}

// Decide decides on a target before its name is resolved. Deny wins.
func (p *Policy) Decide(t Target) Decision {
	if rule := match(p.deny, t, false); rule != "" {
		return Decision{Kind: status.PolicyDenied, Rule: rule, Reason: fmt.Sprintf("%s is denied by the rule %s", t, rule)}
	}
	if rule := match(p.allow, t, true); rule != "" {
		return p.checkLiteral(t, Decision{Allowed: true, Rule: rule, Reason: "allowed by the rule " + rule})
	}
	if t.Port != 443 {
		return Decision{Kind: status.PortNotAllowed, Rule: "port 443 only",
			Reason: fmt.Sprintf("port %d is not allowed for %s", t.Port, t.Host),
			Advice: fmt.Sprintf("to allow it, name it in the configuration: policy.allow = [%q]", t)}
	}
	if !p.allowByDefault {
		return Decision{Kind: status.PolicyDenied, Rule: `default = "deny"`,
			Reason: fmt.Sprintf(`%s is not on the allowlist (policy.default = "deny")`, t)}
	}
	return p.checkLiteral(t, Decision{Allowed: true, Rule: `default = "allow"`, Reason: "allowed by default"})
}

// checkLiteral refuses a literal address at once; a documentation address is
// never reached by a literal, lab or not.
func (p *Policy) checkLiteral(t Target, allowed Decision) Decision {
	if !t.Host.IsIP() {
		return allowed
	}
	if d := p.checkAddr(t, t.Host.Addr(), false); !d.Allowed {
		return d
	}
	return allowed
}

// CheckAddr decides on an address that the target's name resolved to.
func (p *Policy) CheckAddr(t Target, a netip.Addr) Decision {
	return p.checkAddr(t, a, p.lab && !t.Host.IsIP())
}

// checkAddr allows an address when all that it may stand for are allowed.
func (p *Policy) checkAddr(t Target, a netip.Addr, lab bool) (d Decision) {
	for _, reading := range readings(a) {
		if d = p.checkReading(t, reading, lab); !d.Allowed {
			return d
		}
	}
	return d
}

func (p *Policy) checkReading(t Target, a netip.Addr, lab bool) Decision {
	if rule := match(p.deny, Target{Host{addr: a}, t.Port}, false); rule != "" {
		return Decision{Kind: status.PolicyDenied, Rule: rule,
			Reason: fmt.Sprintf("%s is at %s, which is denied by the rule %s", t.Host, a, rule)}
	}
	class := classify(a)
	if class == classPublic {
		return Decision{Allowed: true, Rule: "public address"}
	}
	for _, prefix := range p.private {
		if prefix.Contains(a) && (class != classMetadata || prefix.IsSingleIP()) {
			return Decision{Allowed: true, Rule: fmt.Sprintf("private %q", prefix)}
		}
	}
	if lab && class == classDocumentation && !p.isLocal(a) {
		return Decision{Allowed: true, Rule: "documentation addresses are in use on this network"}
	}
	d := Decision{Kind: status.PolicyDenied, Rule: string(class) + " addresses",
		Reason: fmt.Sprintf("%s is a %s address", a, class),
		Advice: fmt.Sprintf("if it is meant to be reached, list it in the configuration: policy.private = [%q]", a)}
	if !t.Host.IsIP() {
		d.Reason = fmt.Sprintf("%s resolves to %s, a %s address", t.Host, a, class)
	}
	if class == classMetadata {
		d.Advice = ""
	}
	return d
}

func (p *Policy) isLocal(a netip.Addr) bool {
	for _, prefix := range p.local {
		if prefix.Contains(a) {
			return true
		}
	}
	return false
}

// SeesAliases reports whether a rule asks of which names a name is an alias.
func (p *Policy) SeesAliases() bool {
	return slices.ContainsFunc(p.deny, func(d pattern) bool { return d.aliases })
}

// CheckAlias decides on a name that the target's name is an alias of.
func (p *Policy) CheckAlias(t Target, of string) Decision {
	host, err := ParseHost(of)
	if err != nil {
		return Decision{Allowed: true}
	}
	for i := range p.deny {
		d := &p.deny[i]
		if d.aliases && (d.port == 0 || d.port == t.Port) && d.matchesHost(host) {
			return Decision{Kind: status.PolicyDenied, Rule: d.rule,
				Reason: fmt.Sprintf("%s is an alias of %s, which is denied by the rule %s", t.Host, host, d.rule)}
		}
	}
	return Decision{Allowed: true}
}

// Passthrough reports whether the target is tunnelled without re-termination,
// and by which rule.
func (p *Policy) Passthrough(t Target) (rule string, ok bool) {
	rule = match(p.passthrough, t, false)
	return rule, rule != ""
}

// pattern is one compiled entry.
type pattern struct {
	rule    string // as shown to people: deny "x"
	any     bool
	exact   Host
	suffix  string // ".example.com"
	prefix  netip.Prefix
	port    uint16 // 0 when the entry names none
	anyPort bool
	aliases bool // names that lead to it by CNAME are meant, too
}

func parsePattern(list, s string) (pattern, error) {
	p := pattern{rule: fmt.Sprintf("%s %q", list, s)}
	whole := s
	if s, p.aliases = strings.CutPrefix(s, "cname:"); p.aliases && list != "deny" {
		return p, fmt.Errorf("%q: only deny takes aliases (cname:)", whole)
	}
	host := s
	if prefix, err := parsePrefix(s); err == nil && !p.aliases {
		p.prefix = prefix
		return p, nil
	}
	// A bracketed or unique colon is a port; CIDR prefixes carry it behind the length.
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		if s[i+1:] == "*" {
			p.anyPort = true
		} else {
			port, err := parsePort(s[i+1:])
			if err != nil {
				return p, fmt.Errorf("%q: %w", s, err)
			}
			p.port = port
		}
		host = s[:i]
	}
	if prefix, err := parsePrefix(strings.Trim(host, "[]")); err == nil {
		if p.aliases {
			return p, fmt.Errorf("%q: an address has no aliases", whole)
		}
		p.prefix = prefix
		return p, nil
	}
	if host == "*" {
		p.any = true
		return p, nil
	}
	base, wild := strings.CutPrefix(host, "*.")
	h, err := ParseHost(base)
	switch {
	case err != nil:
		return p, fmt.Errorf(`%q is not a pattern (want "example.com", "*.example.com", "host:port" or a CIDR prefix)`, s)
	case wild && h.IsIP():
		return p, fmt.Errorf("%q: a wildcard cannot stand before an address", s)
	case wild:
		p.suffix = "." + h.name
	default:
		p.exact = h
	}
	return p, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if prefix, err := netip.ParsePrefix(s); err == nil {
		return prefix.Masked(), nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	a = a.WithZone("").Unmap()
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// match returns the rule of the first pattern that names the target. Without a
// port of its own a pattern means port 443 when onlyHTTPS is set.
func match(patterns []pattern, t Target, onlyHTTPS bool) string {
	for i := range patterns {
		p := &patterns[i]
		switch {
		case p.port != 0 && p.port != t.Port:
			continue
		case p.port == 0 && !p.anyPort && onlyHTTPS && t.Port != 443:
			continue
		}
		if p.matchesHost(t.Host) {
			return p.rule
		}
	}
	return ""
}

func (p *pattern) matchesHost(h Host) bool {
	switch {
	case p.any:
		return true
	case p.prefix.IsValid():
		return h.IsIP() && slices.ContainsFunc(readings(h.addr), p.prefix.Contains)
	case p.suffix != "":
		return strings.HasSuffix(h.name, p.suffix)
	}
	return h == p.exact
}

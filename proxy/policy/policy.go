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
//
// An entry of Allow and Deny may name requests in place of a whole host: methods
// before it, a path behind it, "fetch" or "push" for one of git's services:
// "GET,HEAD api.example/repos/**", "git.example/org/*.git fetch".
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
	// Layers are further rules; the stricter of all decides.
	Layers []Layer
	// Report lets pass what the rules refuse, to be recorded. Addresses that must not be
	// reached stay refused.
	Report bool
}

// Layer is a set of rules beside the user's own.
type Layer struct {
	// Name tells people whose rules these are: "project", "run".
	Name string
	// Default "deny" leaves what Allow names; else the layer allows what the others do.
	Default     string
	Allow, Deny []string
	// Widens lets Allow pass what other layers merely do not list. What one of them
	// denies stays denied.
	Widens bool
	// Fixed is for a layer that no other widens, and that is enforced although the rest
	// only reports.
	Fixed bool
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
	// address is set for a decision about an address, not a name, fixed for one of a
	// layer that is enforced in any case.
	address, fixed bool
}

// Failure is the refusal of a target that a client is answered with.
func (d Decision) Failure(t Target) *status.Failure {
	return &status.Failure{TS: status.Now(), Kind: d.Kind, Code: http.StatusForbidden, Host: t.String(),
		By: "policy", Rule: d.Rule, Detail: d.Reason, Advice: d.Advice}
}

// RequestFailure is the refusal of one request to a target that may be reached.
func (d Decision) RequestFailure(t Target, r Request) *status.Failure {
	f := d.Failure(t)
	f.Method, f.Path = r.Method, r.Path
	return f
}

// Policy is compiled Rules. It is immutable and safe for concurrent use.
type Policy struct {
	deny, passthrough []pattern
	// lists are the user's allowlist, and those of the layers that have one: each must
	// allow what is to pass.
	lists   []list
	private []netip.Prefix
	lab     bool
	local   []netip.Prefix
	report  bool
}

// Lets reports whether a target or request passes by a decision: also by a refusal,
// when refusals are to be recorded only.
func (p *Policy) Lets(d Decision) bool { return d.Allowed || p.report && !d.address && !d.fixed }

// list is an allowlist.
type list struct {
	layer     string // "" is the user's own
	fixed     bool
	byDefault bool
	allow     []pattern
}

// New compiles rules; the error names the entry that cannot be read.
func New(r Rules) (*Policy, error) {
	p := &Policy{lab: r.Lab, local: r.Local, report: r.Report}
	var err error
	if p.passthrough, err = parseList("passthrough", Layer{}, r.Passthrough); err != nil {
		return nil, err
	}
	var widening []pattern
	for _, layer := range slices.Concat([]Layer{{Default: r.Default, Allow: r.Allow, Deny: r.Deny}}, r.Layers) {
		own, err := p.add(layer)
		if err != nil {
			return nil, err
		}
		if layer.Widens {
			widening = append(widening, own...)
		}
	}
	for i := range p.lists {
		if !p.lists[i].fixed {
			p.lists[i].allow = append(p.lists[i].allow, widening...)
		}
	}
	if err := p.checkPassthrough(); err != nil {
		return nil, err
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

// add compiles a layer, the user's own first, and returns what it allows.
func (p *Policy) add(layer Layer) (allow []pattern, err error) {
	if layer.Default != "" && layer.Default != "allow" && layer.Default != "deny" {
		return nil, fmt.Errorf(`policy.default must be "allow" or "deny", not %q`, layer.Default)
	}
	deny, err := parseList("deny", layer, layer.Deny)
	if err != nil {
		return nil, err
	}
	p.deny = append(p.deny, deny...)
	if allow, err = parseList("allow", layer, layer.Allow); err != nil {
		return nil, err
	}
	if byDefault := layer.Default != "deny"; layer.Name == "" || !byDefault {
		p.lists = append(p.lists, list{layer: layer.Name, fixed: layer.Fixed, byDefault: byDefault, allow: allow})
	}
	return allow, nil
}

func parseList(name string, layer Layer, entries []string) (patterns []pattern, err error) {
	for _, s := range entries {
		pat, err := parsePattern(name, s)
		if err != nil {
			return nil, fmt.Errorf("policy.%s: %w", name, err)
		}
		pat.rule += of(layer.Name)
		pat.layer, pat.fixed = layer.Name, layer.Fixed
		patterns = append(patterns, pat)
	}
	return patterns, nil
}

// changes says who can change what a layer refuses.
var changes = map[string]string{
	"organisation": "your organisation's policy says so; who keeps it can change that",
	"project":      "the project's .agentproxy.toml says so; agentproxy policy show names the file",
	"run":          "the --deny of this run says so",
}

// of says of which layer a rule is.
func of(layer string) string {
	if layer == "" {
		return ""
	}
	return " (" + layer + ")"
}

// checkPassthrough refuses rules on requests to hosts that nobody looks into.
func (p *Policy) checkPassthrough() error {
	for i := range p.passthrough {
		through := &p.passthrough[i]
		rules := slices.Clone(p.deny)
		for _, l := range p.lists {
			rules = append(rules, l.allow...)
		}
		for _, rule := range rules {
			if rule.on != nil && through.overlaps(&rule) {
				return fmt.Errorf("policy: %s needs a look inside, and %s lets none", rule.rule, through.rule)
			}
		}
	}
	return nil
}

const (
	allowDefault = `default = "allow"`
	denyDefault  = `default = "deny"`
	portDefault  = "port 443 only"
)

// otherwise is the decision on what no entry of a list allows.
func (l *list) otherwise(t Target) Decision {
	switch {
	case t.Port != 443:
		d := Decision{Kind: status.PortNotAllowed, Rule: portDefault + of(l.layer), Reason: fmt.Sprintf("port %d is not allowed for %s", t.Port, t.Host),
			Advice: changes[l.layer], fixed: l.fixed}
		if l.layer == "" {
			d.Advice = fmt.Sprintf("to allow it, name it in the configuration: policy.allow = [%q]", t)
		}
		return d
	case !l.byDefault:
		return Decision{Kind: status.PolicyDenied, Rule: denyDefault + of(l.layer),
			Reason: fmt.Sprintf(`%s is not on the allowlist (policy.default = "deny")%s`, t, of(l.layer)), Advice: changes[l.layer], fixed: l.fixed}
	}
	return Decision{Allowed: true, Rule: allowDefault, Reason: "allowed by default"}
}

// decide decides by the list alone. What it allows some requests of is allowed.
func (l *list) decide(t Target) Decision {
	if a := match(l.allow, t, true); a != nil {
		return Decision{Allowed: true, Rule: a.rule, Reason: "allowed by the rule " + a.rule}
	}
	return l.otherwise(t)
}

// Decide decides on a target before its name is resolved. Deny wins. What the rules
// on requests have to say, Requests tells.
func (p *Policy) Decide(t Target) Decision {
	if d := match(p.deny, t, false); d != nil {
		return Decision{Kind: status.PolicyDenied, Rule: d.rule, Reason: fmt.Sprintf("%s is denied by the rule %s", t, d.rule), Advice: changes[d.layer], fixed: d.fixed}
	}
	decided := p.lists[0].decide(t)
	for i := 1; decided.Allowed && i < len(p.lists); i++ {
		if d := p.lists[i].decide(t); !d.Allowed {
			decided = d
		}
	}
	if !decided.Allowed {
		return decided
	}
	return p.checkLiteral(t, decided)
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
			d.address = true
			return d
		}
	}
	return d
}

func (p *Policy) checkReading(t Target, a netip.Addr, lab bool) Decision {
	if d := match(p.deny, Target{Host{addr: a}, t.Port}, false); d != nil {
		return Decision{Kind: status.PolicyDenied, Rule: d.rule,
			Reason: fmt.Sprintf("%s is at %s, which is denied by the rule %s", t.Host, a, d.rule)}
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
	if through := match(p.passthrough, t, false); through != nil {
		return through.rule, true
	}
	return "", false
}

// pattern is one compiled entry.
type pattern struct {
	rule    string // as shown to people: deny "x"
	layer   string // whose it is, "" the user's
	fixed   bool
	on      *onRequests // nil: the host is all
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
	if list == "allow" || list == "deny" {
		var err error
		if s, p.on, err = splitEntry(list, s); err != nil {
			return p, err
		}
	}
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

// match returns the most specific pattern that names the target, nil when none does:
// one for the host as a whole, or when it allows one for requests.
func match(patterns []pattern, t Target, allows bool) *pattern {
	found := matching(patterns, t, allows)
	whole := slices.IndexFunc(found, func(p *pattern) bool { return p.on == nil })
	switch {
	case whole >= 0:
		return found[whole]
	case allows && len(found) > 0:
		return found[0]
	}
	return nil
}

// matching returns the patterns that name the target, the most specific first.
// Without a port of its own a pattern means port 443 when it allows.
func matching(patterns []pattern, t Target, allows bool) []*pattern {
	var found []*pattern
	for i := range patterns {
		p := &patterns[i]
		switch {
		case p.port != 0 && p.port != t.Port:
			continue
		case p.port == 0 && !p.anyPort && allows && t.Port != 443:
			continue
		}
		if p.matchesHost(t.Host) {
			found = append(found, p)
		}
	}
	slices.SortStableFunc(found, func(a, b *pattern) int { return slices.Compare(b.rank(), a.rank()) })
	return found
}

// rank orders patterns by how much they say: of the host, the port, the path, and
// what is asked for.
func (p *pattern) rank() []int {
	r := make([]int, 4)
	switch {
	case p.any:
	case p.prefix.IsValid():
		r[0] = 1 + p.prefix.Bits()
	case p.suffix != "":
		r[0] = len(p.suffix)
	default:
		r[0] = maxName + 1
	}
	if p.port != 0 {
		r[1] = 1
	}
	if p.on != nil {
		r[2] = 1 + p.on.literal
		if p.on.methods != nil || p.on.service != "" {
			r[3] = 1
		}
	}
	return r
}

// maxName is the length of the longest name (RFC 1035 §2.3.4).
const maxName = 253

// overlaps reports whether a target exists that both name.
func (p *pattern) overlaps(q *pattern) bool {
	if p.port != 0 && q.port != 0 && p.port != q.port {
		return false
	}
	switch {
	case p.any || q.any:
		return true
	case p.prefix.IsValid() && q.prefix.IsValid():
		return p.prefix.Overlaps(q.prefix)
	case p.suffix != "" && q.suffix != "":
		return strings.HasSuffix(p.suffix, q.suffix) || strings.HasSuffix(q.suffix, p.suffix)
	case p.suffix != "" || p.prefix.IsValid():
		return p.matchesHost(q.exact)
	}
	return q.matchesHost(p.exact)
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

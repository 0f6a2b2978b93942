package policy

import (
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/agentproxy/agentproxy/proxy/status"
	"golang.org/x/net/http/httpguts"
)

// onRequests is what an entry says beyond the host: "GET,HEAD host/path/**", or
// "host/path fetch" for one of git's services.
type onRequests struct {
	methods []string // in upper case; none is any
	path    spellings
	// service is "fetch" or "push": then refs and pack are the paths of its two steps.
	service    string
	refs, pack spellings
	literal    int // how many characters of a path are given
}

// spellings are patterns for one path; none stands for every path.
type spellings []spelling

// spelling is a pattern. Most paths are told from it by how they begin and end, which
// takes a tenth of the time of the whole.
type spelling struct {
	*regexp.Regexp
	begin, end string
	folded     bool
}

// match reports whether a reading matches.
func (s spelling) match(reading string) bool {
	if s.folded && !isASCII(reading) { // other letters fold to more or fewer bytes
		return s.MatchString(reading)
	}
	text := reading
	if s.folded { // a "/" at the end does not count
		text = strings.TrimSuffix(reading, "/")
	}
	if len(text) < len(s.begin) || len(text) < len(s.end) {
		return false
	}
	begin, end := text[:len(s.begin)], text[len(text)-len(s.end):]
	alike := begin == s.begin && end == s.end || s.folded && strings.EqualFold(begin, s.begin) && strings.EqualFold(end, s.end)
	return alike && s.MatchString(reading)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// matchAny reports whether one of the readings matches, matchAll whether each does.
func (s spellings) matchAny(readings []string) bool {
	return len(s) == 0 || slices.ContainsFunc(readings, s.match)
}

func (s spellings) matchAll(readings []string) bool {
	return len(s) == 0 || !slices.ContainsFunc(readings, func(r string) bool { return !s.match(r) })
}

func (s spellings) match(reading string) bool {
	return slices.ContainsFunc(s, func(p spelling) bool { return p.match(reading) })
}

// services are git's, by the word for it (gitprotocol-http(5)).
var services = map[string]string{"fetch": "git-upload-pack", "push": "git-receive-pack"}

// splitEntry takes an entry apart into its host's pattern and what it says of
// requests, nil when the host is all.
func splitEntry(list, entry string) (host string, on *onRequests, err error) {
	words := strings.Fields(entry)
	if n := len(words); n > 1 && strings.HasPrefix(words[n-1], "(@") {
		words = words[:n-1] // the group that it came from
	}
	o := &onRequests{}
	if n := len(words); n > 1 && services[words[n-1]] != "" {
		o.service, words = words[n-1], words[:n-1]
	}
	if len(words) == 2 && o.service == "" {
		for method := range strings.SplitSeq(words[0], ",") {
			if !httpguts.ValidHeaderFieldName(method) || method != strings.ToUpper(method) {
				return "", nil, fmt.Errorf("%q: %q is no method in capitals", entry, method)
			}
			o.methods = append(o.methods, method)
		}
		words = words[1:]
	}
	if len(words) != 1 || strings.Contains(words[0], "://") {
		return "", nil, fmt.Errorf(`%q is not a pattern (want "host", "host/path/**", "GET,HEAD host/path" or "host/path fetch")`, entry)
	}
	host, path := splitPath(words[0])
	if path == "" && o.methods == nil && o.service == "" {
		return host, nil, nil
	}
	if strings.HasPrefix(host, "cname:") {
		return "", nil, fmt.Errorf("%q: aliases (cname:) are refused as hosts, without method and path", entry)
	}
	if err := o.compile(path, list == "deny"); err != nil {
		return "", nil, fmt.Errorf("%q: %w", entry, err)
	}
	return host, o, nil
}

// splitPath splits before the first "/" that belongs to no CIDR prefix.
func splitPath(s string) (host, path string) {
	i := strings.IndexByte(s, '/')
	if i < 0 {
		return s, ""
	}
	end := len(s)
	if j := strings.IndexByte(s[i+1:], '/'); j >= 0 {
		end = i + 1 + j
	}
	prefix := s[:end]
	if k := strings.LastIndexByte(prefix, ':'); k > i {
		prefix = prefix[:k]
	}
	if _, err := netip.ParsePrefix(prefix); err == nil {
		return s[:end], s[end:]
	}
	return s[:i], s[i:]
}

func (o *onRequests) compile(path string, denies bool) (err error) {
	if strings.ContainsAny(path, "?#") {
		return fmt.Errorf("a rule names no query")
	}
	o.literal = len(strings.ReplaceAll(path, "*", ""))
	if o.service == "" {
		if path != "" {
			o.path, err = compilePath(path, "", denies)
		}
		return err
	}
	if path == "" {
		path = "/**"
	}
	path = strings.TrimSuffix(strings.TrimSuffix(path, "/"), ".git")
	if o.refs, err = compilePath(path, "/info/refs", denies); err != nil {
		return err
	}
	o.pack, err = compilePath(path, "/"+services[o.service], denies)
	return err
}

// compilePath makes patterns of a path with "*" (within a segment) and "**" (any
// number of segments): as it is written, and as it reads decoded. service is what
// follows the path of a git repository. Those of a deny do not mind the case of letters
// or a "/" at the end.
func compilePath(path, service string, denies bool) (spellings, error) {
	path, err := canonical(path)
	if err != nil {
		return nil, err
	}
	flags, behind := "(?s)", ""
	if service != "" {
		behind = `(?:\.git)?` + regexp.QuoteMeta(service)
	}
	if denies {
		flags, path = "(?is)", strings.TrimSuffix(path, "/")
		behind += "/?"
	}
	var compiled spellings
	for _, read := range []func(string) string{func(s string) string { return s }, unescape} {
		pattern, err := pathPattern(path, read)
		if err != nil {
			return nil, err
		}
		re, err := regexp.Compile(flags + "^" + pattern + behind + "$")
		if err != nil {
			return nil, err
		}
		s := spelling{Regexp: re, folded: denies, end: service}
		if begin, _, _ := strings.Cut(path, "*"); isASCII(read(begin)) {
			s.begin = strings.TrimSuffix(read(begin), "/") // "/**" is also nothing
		}
		if len(compiled) == 0 || compiled[0].String() != re.String() {
			compiled = append(compiled, s)
		}
	}
	return compiled, nil
}

func pathPattern(path string, read func(string) string) (string, error) {
	var b strings.Builder
	for path != "" {
		switch {
		case path == "/**" || strings.HasPrefix(path, "/**/"):
			b.WriteString("(?:/.*)?")
			path = path[len("/**"):]
		case strings.HasPrefix(path, "**"):
			return "", fmt.Errorf(`"**" stands for whole segments: /**, /a/**/b`)
		case path[0] == '*':
			b.WriteString("[^/]*")
			path = path[1:]
		default:
			end := 1 + strings.IndexByte(path[1:], '*')
			if end == 0 {
				end = len(path)
			}
			if strings.HasPrefix(path[end:], "**") && path[end-1] == '/' && end > 1 {
				end-- // the "/" belongs to the wildcard
			}
			b.WriteString(regexp.QuoteMeta(read(path[:end])))
			path = path[end:]
		}
	}
	return b.String(), nil
}

// denies reports whether the request is one that must not pass, in any of its loose
// readings.
func (o *onRequests) denies(r Request, readings []string) bool {
	if o.methods != nil && !slices.Contains(o.methods, r.Method) {
		return false
	}
	if o.service == "" {
		return o.path.matchAny(readings)
	}
	service := services[o.service]
	return o.pack.matchAny(readings) || o.refs.matchAny(readings) && (r.mentions(service) || o.service == "fetch" && r.query == "")
}

// allows reports whether the request is one that may pass, in every reading.
func (o *onRequests) allows(r Request) bool {
	if o.methods != nil && !slices.Contains(o.methods, r.Method) {
		return false
	}
	if o.service == "" {
		return o.path.matchAll(r.readings)
	}
	switch r.Method {
	case http.MethodPost:
		return o.pack.matchAll(r.readings)
	case http.MethodGet, http.MethodHead:
		return o.refs.matchAll(r.readings) && r.service() == services[o.service]
	}
	return false
}

// Requests are the rules on requests to one target.
type Requests struct {
	target Target
	deny   []*pattern
	lists  []requestList
}

// requestList is an allowlist of requests.
type requestList struct {
	// open is the rule by which every request passes, "" when an entry has to name it;
	// else otherwise is the decision.
	layer     string
	open      string
	opens     Decision
	allow     []*pattern // the most specific first
	allows    []Decision // of allow
	otherwise Decision
}

// Requests returns the rules on requests to a target, nil when none has a say in
// them: then the host is all.
func (p *Policy) Requests(t Target) *Requests {
	r := &Requests{target: t, deny: onRequestsOnly(matching(p.deny, t, false))}
	judged := len(r.deny) > 0
	for i := range p.lists {
		own := p.lists[i].forRequests(t)
		judged = judged || own.open == "" && len(own.allow) > 0
		r.lists = append(r.lists, own)
	}
	if !judged {
		return nil
	}
	return r
}

func (l *list) forRequests(t Target) requestList {
	found := matching(l.allow, t, true)
	r := requestList{layer: l.layer, allow: onRequestsOnly(found), otherwise: l.otherwise(t)}
	if whole := slices.IndexFunc(found, func(p *pattern) bool { return p.on == nil }); whole >= 0 {
		r.open = found[whole].rule
	} else if r.otherwise.Allowed {
		r.open = r.otherwise.Rule
	}
	r.opens = allowedBy(r.open)
	for _, p := range r.allow {
		r.allows = append(r.allows, allowedBy(p.rule))
	}
	return r
}

func allowedBy(rule string) Decision {
	return Decision{Allowed: true, Rule: rule, Reason: "allowed by the rule " + rule}
}

func onRequestsOnly(rules []*pattern) []*pattern {
	return slices.DeleteFunc(slices.Clone(rules), func(p *pattern) bool { return p.on == nil })
}

// Decide decides on a request that is to be sent, with what it may also be taken for.
func (rs *Requests) Decide(r Request, also []Request) Decision {
	d := rs.decide(r)
	for i := 0; d.Allowed && i < len(also); i++ {
		d = rs.decide(also[i])
	}
	return d
}

func (rs *Requests) decide(r Request) (decided Decision) {
	loose := r.loose()
	for _, p := range rs.deny { // the most specific first
		if p.on.denies(r, loose) {
			return Decision{Kind: status.PolicyDenied, Rule: p.rule, Reason: fmt.Sprintf("%s on %s is denied by the rule %s", r, rs.target, p.rule), Advice: changes[p.layer], fixed: p.fixed}
		}
	}
	for i := range rs.lists {
		d := rs.lists[i].decide(r, rs.target)
		if !d.Allowed {
			return d
		}
		if i == 0 {
			decided = d
		}
	}
	return decided
}

func (l *requestList) decide(r Request, t Target) Decision {
	if l.open != "" {
		return l.opens
	}
	for i, p := range l.allow {
		if p.on.allows(r) {
			return l.allows[i]
		}
	}
	denied := Decision{Kind: status.PolicyDenied, Rule: l.otherwise.Rule, Advice: changes[l.layer], fixed: l.otherwise.fixed}
	for _, p := range l.allow { // one that minds the method alone says most
		if p.on.methods != nil && p.on.path.matchAll(r.readings) {
			denied.Rule = p.rule
			denied.Reason = fmt.Sprintf("%s on %s is not allowed: the rule %s takes %s only", r, t, p.rule, strings.Join(p.on.methods, ", "))
			return denied
		}
	}
	denied.Reason = fmt.Sprintf("%s on %s is on no allowlist", r, t)
	if len(l.allow) > 0 {
		denied.Reason += ", whose nearest rule is " + l.allow[0].rule
	}
	return denied
}

// Unreadable is the refusal of a request whose path cannot be judged.
func (rs *Requests) Unreadable(why error) Decision {
	return Decision{Kind: status.PolicyDenied, Rule: "paths that can be judged",
		Reason: fmt.Sprintf("a request to %s cannot be judged: %v", rs.target, why)}
}

package classify

import (
	"cmp"
	"regexp"
	"slices"
	"sync"

	"github.com/agentproxy/agentproxy/profiles"
	"github.com/agentproxy/agentproxy/profiles/rules"
)

// rule is one of a profile.
type rule struct {
	*rules.Rule
	tool string // the profile, "" for the generic one
}

// ruleSet is all the rules in use, and how lines are found for them. Patterns
// are compiled when a line calls for them.
type ruleSet struct {
	rules  []rule
	filter *prefilter
	// keywords are the words that filter looks for.
	keywords []string
	// literals looks for what a text must hold for a rule, byLiteral are the
	// rules that each calls for.
	literals  *prefilter
	byLiteral [][]int
	// quoting are the rules by which words on a line are no failure.
	quoting []rule
	// advice are rules without a match.
	advice []rule
	voices []voice
}

// voice is how a tool's own lines read.
type voice struct {
	rules.Pattern
	tool string
}

// speaker returns the tool whose voice a text is in, "" when it is nobody's.
func (s *ruleSet) speaker(text string) string {
	for _, v := range s.voices {
		if v.LineRegexp().MatchString(text) {
			return v.tool
		}
	}
	return ""
}

// newRuleSet reads the rules of the profiles, and the generic ones.
func newRuleSet(o Options) (*ruleSet, error) {
	s := &ruleSet{}
	if o.Own != nil {
		s.add(o.Own.Rules, o.Own.Name)
	}
	own := slices.DeleteFunc(slices.Clone(o.Profiles), func(name string) bool { return name == profiles.GenericName })
	for _, name := range append(own, profiles.GenericName) {
		words, err := o.Library.Words(name)
		if err != nil {
			return nil, err
		}
		if words.Voice != "" {
			s.voices = append(s.voices, voice{words.Voice, name})
		}
		tool := name
		if name == profiles.GenericName {
			tool = ""
		}
		s.add(words.Rules, tool)
	}
	s.index()
	return s, nil
}

// heard are the voices of libraries, once they have been asked for.
var heard sync.Map // of *profiles.Library to *ruleSet

// voices are those of all tools, with their advice. A profile that cannot be read has
// none: who uses it is told so.
func voices(l *profiles.Library) *ruleSet {
	if s, ok := heard.Load(l); ok {
		return s.(*ruleSet)
	}
	s := &ruleSet{}
	for _, name := range l.Names() {
		if words, err := l.Words(name); err == nil && words.Voice != "" {
			s.voices = append(s.voices, voice{words.Voice, name})
			s.add(words.Rules, name)
		}
	}
	heard.Store(l, s)
	return s
}

func (s *ruleSet) add(rules []rules.Rule, tool string) {
	for i := range rules {
		r := rule{&rules[i], tool}
		switch {
		case r.Match == "":
			s.advice = append(s.advice, r)
		case !r.Searched():
			s.quoting = append(s.quoting, r)
		default:
			s.rules = append(s.rules, r)
		}
	}
}

// index puts the surest rules first, those that are no failures before all, and
// gathers the words by which they are found.
func (s *ruleSet) index() {
	rank := func(r rule) int {
		if r.Success || r.Container {
			return 101
		}
		return r.Sure()
	}
	slices.SortStableFunc(s.rules, func(a, b rule) int { return cmp.Compare(rank(b), rank(a)) })
	ids := map[string]int{}
	var literals, keywords []string
	for i, r := range s.rules {
		own := r.RequiredWords()
		for _, literal := range own {
			id, ok := ids[literal]
			if !ok {
				id = len(literals)
				ids[literal] = id
				literals = append(literals, literal)
				s.byLiteral = append(s.byLiteral, nil)
			}
			s.byLiteral[id] = append(s.byLiteral[id], i)
		}
		keywords = append(keywords, rules.Keywords(own)...)
	}
	slices.Sort(keywords)
	s.keywords = shortest(slices.Compact(keywords))
	s.filter, s.literals = newPrefilter(s.keywords), newPrefilter(literals)
}

// shortest leaves out words that hold another.
func shortest(words []string) []string {
	all := newPrefilter(words)
	var left []string
	for id, w := range words {
		holds := false
		all.all([]byte(w), func(other int) { holds = holds || other != id })
		if !holds {
			left = append(left, w)
		}
	}
	return left
}

// keywordsIn returns the keywords of a text.
func (s *ruleSet) keywordsIn(text string) []int {
	var all []int
	s.filter.all([]byte(text), func(id int) { all = append(all, id) })
	slices.Sort(all)
	return slices.Compact(all)
}

// called returns the rules that may match a text, the surest first.
func (s *ruleSet) called(text string) []int {
	var all []int
	s.literals.all([]byte(text), func(id int) { all = append(all, s.byLiteral[id]...) })
	slices.Sort(all)
	return slices.Compact(all)
}

// quoted reports whether a line only quotes, shows or tests its words.
func (s *ruleSet) quoted(text string, around func() string) bool {
	return slices.ContainsFunc(s.quoting, func(r rule) bool {
		_, ok := r.holds(text, around)
		return ok
	})
}

// match is what a rule found.
type match struct {
	rule
	host string
	// from and to are where in the text.
	from, to int
}

// maxTries is at how many places of a text a rule is tried.
const maxTries = 4

// holds reports whether a rule matches; around is for its conditions on the
// lines nearby.
func (r rule) holds(text string, around func() string) (match, bool) {
	for from, try := 0, 0; try < maxTries; try++ {
		at := r.Match.Regexp().FindStringSubmatchIndex(text[from:])
		if at == nil || try == 0 && found(r.Unless, text) {
			return match{}, false
		}
		for i := range at {
			if at[i] >= 0 {
				at[i] += from
			}
		}
		if m, ok := r.limited(text, at); ok {
			near := r.Near == "" || r.Near.LineRegexp().MatchString(around())
			return m, near && (r.UnlessNear == "" || !r.UnlessNear.LineRegexp().MatchString(around()))
		}
		from = at[0] + 1
	}
	return match{}, false
}

// limited reports whether what was matched at a place is within the rule's limits
// for hosts and ports.
func (r rule) limited(text string, at []int) (match, bool) {
	re := r.Match.Regexp()
	m := match{rule: r, host: group(re, text, at, "host"), from: at[0], to: at[1]}
	asked, port := group(re, text, at, "asked"), group(re, text, at, "port")
	if !hostIs(r.Host, m.host) || !portIs(r.Port, port) || asked != "" && asked == m.host {
		return match{}, false
	}
	if asked != "" {
		m.host = asked
	}
	return m, true
}

func found(p rules.Pattern, text string) bool {
	return p != "" && p.Regexp().MatchString(text)
}

// group returns what a named group matched, "" when there is none.
func group(re *regexp.Regexp, text string, at []int, name string) string {
	for i, n := range re.SubexpNames() {
		if n == name && at[2*i] >= 0 {
			return text[at[2*i]:at[2*i+1]]
		}
	}
	return ""
}

package classify

import (
	"cmp"
	"slices"

	"github.com/agentproxy/agentproxy/profiles/rules"
)

// Finding is one failure that the output shows.
type Finding struct {
	Class rules.Class
	// Confidence is from 0 to 1.
	Confidence float64
	// Tool is the profile that knows the words, or what the command is known to
	// be; "" when neither is known.
	Tool string
	// Host is what could not be reached, where the output names it.
	Host string
	// Closing is true when nothing but what belongs to it follows: it is the command's
	// last word.
	Closing bool
	// Line is what was found, without credentials.
	Line string
	// Advice is what to type or to change, for this tool; "" for none.
	Advice string
}

// Result is what the output shows.
type Result struct {
	// Class is the decisive failure's, None for nothing of ours and also where
	// it is Unclear.
	Class rules.Class
	// Unclear is true when there are words of failure, but none to rely on.
	Unclear bool
	// Container is true when the failure happened inside a container or its
	// build.
	Container bool
	// Findings are all failures, the decisive one first.
	Findings []Finding
}

// Status is a command's exit status, where it is known.
type Status struct {
	Known bool
	Code  int
}

// relied is the least confidence of a verdict.
const relied = 50

// Result ends the output and weighs what was found. Its error is of a profile
// that cannot be read.
func (c *Classifier) Result(status Status) (Result, error) {
	if c.err != nil || c.rules == nil {
		return Result{Class: rules.None}, c.err
	}
	c.finish()
	marks := c.evidence.standing()
	switch {
	case status.Known && status.Code == 0:
		marks = slices.DeleteFunc(marks, func(m *mark) bool { return !m.ExitsZero })
	case status.Known:
		marks = c.evidence.failed()
	}
	marks = c.causes(marks)
	decisive(marks)
	v := Result{Class: classOf(marks), Container: c.evidence.container && len(marks) > 0}
	if len(marks) > 0 && marks[0].Sure() < relied {
		v.Class, v.Unclear = rules.None, true
	}
	v.Findings = c.findings(marks)
	return v, nil
}

// findings puts marks of the same class and host together.
func (c *Classifier) findings(marks []*mark) []Finding {
	var all []Finding
	for _, m := range marks {
		i := slices.IndexFunc(all, func(f Finding) bool { return f.Class == m.Class && (f.Host == m.host || m.host == "") })
		if i >= 0 {
			continue
		}
		f := Finding{Class: m.Class, Confidence: float64(m.Sure()) / 100, Tool: m.tool, Host: m.host, Closing: m.closing, Line: m.line, Advice: m.Fix}
		speaker, words := m.tool, c.rules
		if speaker == "" {
			speaker, words = c.speaker(m)
		}
		f.Tool = cmp.Or(f.Tool, c.options.Tool, speaker)
		if m.tool == "" || f.Advice == "" { // the advice of who speaks is better, or of who was called
			f.Advice = cmp.Or(words.ownAdvice(speaker, m.Class), c.rules.ownAdvice(f.Tool, m.Class), f.Advice, c.rules.adviceFor("", m.Class))
		}
		all = append(all, f)
	}
	return all
}

// speaker returns whose voice a mark is in, with what that one's profile says: of the
// tools that were called, or of any that they may have started.
func (c *Classifier) speaker(m *mark) (tool string, words *ruleSet) {
	all := []*ruleSet{c.rules, voices(c.options.Library)}
	for _, text := range []string{m.line, m.around} {
		for _, words = range all {
			if tool = words.speaker(text); tool != "" {
				return tool, words
			}
		}
	}
	return "", c.rules
}

// ownAdvice is adviceFor a tool, "" for none.
func (s *ruleSet) ownAdvice(tool string, class rules.Class) string {
	if tool == "" {
		return ""
	}
	return s.adviceFor(tool, class)
}

// adviceFor returns what a tool's profile advises for a class.
func (s *ruleSet) adviceFor(tool string, class rules.Class) string {
	for _, r := range slices.Concat(s.advice, s.rules) {
		if r.tool == tool && r.Class == class && r.Fix != "" {
			return r.Fix
		}
	}
	return ""
}

// Package classify tells from what a command printed which class of failure it
// shows, if any.
//
// What the classes read like is data: the rules of the profiles in use and the
// generic ones. Output passes four stages, each of which lets less through:
//
//	grep      bytes → the lines that hold a word of any rule, and those around them
//	window    → such a line, with what stands around it
//	rules     → the surest rule that matches it, and the line to quote
//	evidence  → what was found where, bounded however long the output is
//
// Result weighs the evidence with what else is known. It costs memory that
// does not grow with the output, and nothing at all before output arrives.
package classify

import (
	"slices"

	"github.com/agentproxy/agentproxy/profiles"
)

// Options say what the output is of.
type Options struct {
	Library *profiles.Library
	// Profiles are those in use, the command's own first. The generic rules are
	// always in use.
	Profiles []string
	// Own is a profile that is not in the library, and in use, too.
	Own *profiles.Full
	// Tool is what the command is known to be, "" when that is not known.
	Tool string
}

// Classifier reads output. It is a term.Viewer.
type Classifier struct {
	options  Options
	rules    *ruleSet
	err      error
	streams  [2]*grep
	budget   *budget
	evidence evidence
}

// New returns a classifier. It reads no rule before output arrives.
func New(o Options) *Classifier { return &Classifier{options: o} }

// View takes the next bytes of standard output (1) or error (2).
func (c *Classifier) View(stream int, data []byte) {
	if c.ready() {
		c.streams[stream-1].write(data)
	}
}

// Gap notes that something is missing: no line goes on behind it.
func (c *Classifier) Gap(int) {
	if c.rules != nil {
		c.flush()
	}
}

// ready reads the rules when the first output arrives.
func (c *Classifier) ready() bool {
	if c.rules != nil || c.err != nil {
		return c.err == nil
	}
	set, err := newRuleSet(c.options)
	if err != nil {
		c.err = err
		return false
	}
	c.use(set)
	return true
}

func (c *Classifier) use(set *ruleSet) {
	c.rules = set
	c.budget = newBudget(set.keywords)
	for i := range c.streams {
		w := &window{judge: c.judge}
		c.streams[i] = newGrep(set.filter, w.add, w.end)
	}
}

// flush judges what is under way.
func (c *Classifier) flush() {
	for _, s := range c.streams {
		s.close()
	}
}

// finish judges what is left. The ends of the streams are read again where not
// all words were looked for.
func (c *Classifier) finish() {
	c.flush()
	if !c.budget.spent {
		return
	}
	c.budget = newBudget(c.rules.keywords)
	for _, s := range c.streams {
		w := &window{judge: c.judge}
		again := newGrep(c.rules.filter, w.add, w.end)
		again.write(s.end())
		again.close()
	}
}

// judge holds one line against the rules. Where it is a part of something that
// was wrapped, so is the whole of it.
func (c *Classifier) judge(around []line, at int) {
	c.evidence.at++
	near := lazy(func() string {
		text := surroundings(around)
		c.budget.work += len(text)
		return text
	})
	text := excerpt(readable(around[at].text), c.rules.filter)
	best, ok := c.surest(text, near)
	quoted := func(l line) bool { return c.quoted(l, near) }
	ok = ok && !quoted(around[at])
	message := wrapped(around, at)
	for _, w := range message.together() {
		m, found := c.surest(w.text, near)
		own := found && m.from < w.to && w.from < m.to
		if own && (!ok || m.Sure() > best.Sure()) && !slices.ContainsFunc(message.lines, quoted) {
			best, ok, text = m, true, w.text
		}
	}
	if ok {
		c.evidence.add(best, text, around[at].text, near)
	}
	if c.budget.called(c.rules.keywordsIn(text), ok) {
		filter := c.budget.filter()
		for _, s := range c.streams {
			s.filter = filter
		}
	}
}

// surest returns the surest failure that a text tells of. Words of success, and
// of containers, are noted.
func (c *Classifier) surest(text string, near func() string) (match, bool) {
	for _, i := range c.rules.called(text) {
		c.budget.work += len(text)
		m, ok := c.rules.rules[i].holds(text, near)
		switch {
		case !ok:
		case m.Success:
			c.evidence.succeeded()
		case m.Container:
			c.evidence.container = true
		default:
			return m, true
		}
	}
	return match{}, false
}

func (c *Classifier) quoted(l line, near func() string) bool {
	text := l.text[:min(len(l.text), longestText)]
	c.budget.work += len(text) * len(c.rules.quoting)
	return c.rules.quoted(text, near)
}

// lazy computes a text when it is asked for.
func lazy(compute func() string) func() string {
	var text string
	done := false
	return func() string {
		if !done {
			text, done = compute(), true
		}
		return text
	}
}

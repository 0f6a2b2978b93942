package classify

import (
	"cmp"
	"slices"

	"github.com/agentproxy/agentproxy/profiles/rules"
)

// maxMarks is how many different things are remembered.
const maxMarks = 128

// longestAround is how much of the lines around a mark is kept, in bytes.
const longestAround = 4 << 10

// mark is one thing that was found, however often.
type mark struct {
	match
	line   string // quoted
	raw    string // the line as it was found
	around string // what stood around it, as far as it is kept
	last   int    // when
	// closing is true when it is known to be the last word.
	closing bool
}

// evidence is what was found so far.
type evidence struct {
	marks     []*mark
	at        int // counts lines that were judged
	success   int // when the command last told of its success
	container bool
}

// add notes what a rule found. The last of several alike is quoted, for
// failures that decide are told last.
func (e *evidence) add(m match, text, raw string, near func() string) {
	if m.host == "" {
		m.host = nearestHost(text)
	}
	i := slices.IndexFunc(e.marks, func(old *mark) bool { return old.Rule == m.Rule && old.host == m.host })
	if i < 0 {
		e.makeRoom()
		e.marks = append(e.marks, &mark{})
		i = len(e.marks) - 1
	}
	old := e.marks[i]
	old.match, old.line, old.raw, old.last = m, quote(text, m.from, m.to), raw, e.at
	old.around = near()[:min(len(near()), longestAround)]
}

// makeRoom forgets what is least sure, of that the oldest.
func (e *evidence) makeRoom() {
	if len(e.marks) < maxMarks {
		return
	}
	least := 0
	for i, m := range e.marks {
		if c := cmp.Compare(m.Sure(), e.marks[least].Sure()); c < 0 || c == 0 && m.last < e.marks[least].last {
			least = i
		}
	}
	e.marks = slices.Delete(e.marks, least, least+1)
}

func (e *evidence) succeeded() { e.success = e.at }

// standing are the marks that later success did not withdraw.
func (e *evidence) standing() []*mark {
	var all []*mark
	for _, m := range e.marks {
		if m.last >= e.success {
			all = append(all, m)
		}
	}
	return all
}

// warning is how a line begins, or what it says, that need not be the end.
var warning = pattern(`(?i)\bwarn(?:ing)?\b|\bretry|\bretries\b|will try again|attempt \d`)

// failed are the marks of a command that is known to have failed: what it told
// before some success stands, unless it was no more than a warning.
func (e *evidence) failed() []*mark {
	var all []*mark
	for _, m := range e.marks {
		if m.last >= e.success || !warning().MatchString(m.line) {
			all = append(all, m)
		}
	}
	return all
}

// near is how far in confidence the decisive failure may be behind the surest:
// of failures that are about as sure, the last decides.
const near = 8

// decisive orders marks: the decisive one first, then by confidence.
func decisive(marks []*mark) {
	if len(marks) == 0 {
		return
	}
	most := slices.MaxFunc(marks, func(a, b *mark) int { return cmp.Compare(a.Sure(), b.Sure()) }).Sure()
	rank := func(m *mark) int {
		if m.Sure() >= most-near {
			return most
		}
		return m.Sure()
	}
	slices.SortStableFunc(marks, func(a, b *mark) int {
		return cmp.Or(cmp.Compare(rank(b), rank(a)), cmp.Compare(b.last, a.last))
	})
}

// classOf returns the class of the decisive mark.
func classOf(marks []*mark) rules.Class {
	if len(marks) == 0 {
		return rules.None
	}
	return marks[0].Class
}

package classify

import (
	"slices"
	"testing"

	"github.com/agentproxy/agentproxy/profiles/rules"
	"github.com/agentproxy/agentproxy/proxy/proxytest/raced"
)

// A third of the tools is held out, with every rule that is of use to samples of
// that third only, and judged by the rest. Rules were written with all samples
// known, so this is no proof; but a rule that knows one tool's words, and not a
// cause, shows here.
func TestHeldOut(t *testing.T) {
	o := known(t)
	all := raced.Some(samples(t, "testdata/dev.jsonl"))
	used := map[*rules.Rule]map[int]bool{} // in which thirds a rule was of use
	for _, s := range all {
		c := New(o)
		c.use(rulesOf(t, o))
		c.View(1, []byte(s.Text))
		if _, err := c.Result(Status{}); err != nil {
			t.Fatal(err)
		}
		for _, m := range c.evidence.marks {
			if used[m.Rule] == nil {
				used[m.Rule] = map[int]bool{}
			}
			used[m.Rule][fold(s.Tool)] = true
		}
	}
	sum := 0.0
	for third := range 3 {
		set := without(rulesOf(t, o), func(r rule) bool { return used[r.Rule][third] && len(used[r.Rule]) == 1 })
		table := confusion{}
		for _, s := range all {
			if fold(s.Tool) != third {
				continue
			}
			c := New(o)
			c.use(set)
			c.View(1, []byte(s.Text))
			v, err := c.Result(Status{})
			if err != nil {
				t.Fatal(err)
			}
			table.count(s.Class, label(v))
			if got := label(v); got != s.Class {
				t.Logf("%s (%s): %s, not %s", s.ID, s.Tool, got, s.Class)
			}
		}
		t.Logf("third %d: %d rules left out, macro-F1 %.3f", third, len(rulesOf(t, o).rules)-len(set.rules), table.macroF1())
		sum += table.macroF1()
	}
	t.Logf("held out: macro-F1 %.3f", sum/3)
	if !raced.Enabled && sum/3 < 0.85 {
		t.Errorf("the rules know their samples: %.3f", sum/3)
	}
}

// without returns a set that lacks some rules.
func without(s *ruleSet, drop func(rule) bool) *ruleSet {
	less := &ruleSet{quoting: s.quoting, advice: s.advice, voices: s.voices}
	less.rules = slices.DeleteFunc(slices.Clone(s.rules), drop)
	less.index()
	return less
}

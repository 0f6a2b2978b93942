package classify

import (
	"testing"

	"github.com/agentproxy/agentproxy/proxy/proxytest/raced"
)

// developed reports whether the rules were written with a sample known. Whole suites of
// tests and the last round of the harvest are held out: what is flagged there is to be
// counted, not looked at.
func (s sample) developed() bool { return s.Kind != "suite" && s.Round != 33 }

// What tools print that is full of words of failure is silent, by its text alone, when the
// failure is another, or somebody else's: failing tests, compilers, sources and documents,
// logs of servers, answers of an application, services of one's own that are down.
func TestHarmless(t *testing.T) {
	o := known(t)
	var flagged, all [2]int
	kinds := map[string]int{} // of those flagged
	for _, s := range raced.Some(samples(t, "testdata/harmless.jsonl")) {
		part := 1
		if s.developed() {
			part = 0
		}
		all[part]++
		v := resultOf(t, o, s.Text, Status{})
		if v.Class == "none" {
			continue
		}
		flagged[part]++
		kinds[s.Kind]++
		if part == 0 {
			t.Logf("%s (%s): %s: %s", s.ID, s.Kind, v.Class, findings(v))
		}
	}
	t.Logf("flagged, by kind: %v", kinds)
	for part, name := range []string{"developed on", "held out"} {
		t.Logf("%s: %d of %d flagged (%.1f in 100)", name, flagged[part], all[part], 100*float64(flagged[part])/float64(all[part]))
		if !raced.Enabled && flagged[part]*100 > 2*all[part] { // of a few, one is too many
			t.Errorf("%s: more than 2 in 100 are flagged", name)
		}
	}
}

// Real failures are still told: a rule that silences the harmless must not silence these.
// The last round, of clients that no rule was written with, is counted apart.
func TestFailing(t *testing.T) {
	o := known(t)
	tables := [2]confusion{{}, {}}
	for _, s := range raced.Some(samples(t, "testdata/failing.jsonl")) {
		part := 0
		if s.Round == 51 {
			part = 1
		}
		v := resultOf(t, o, s.Text, Status{})
		tables[part].count(s.Class, string(v.Class))
		if string(v.Class) != s.Class {
			t.Logf("%s: %s, not %s: %s", s.ID, v.Class, s.Class, findings(v))
		}
	}
	for part, least := range []float64{0.95, 0.95} {
		t.Logf("\n%s\nmacro-F1 %.4f", tables[part], tables[part].macroF1())
		if f := tables[part].macroF1(); !raced.Enabled && f < least {
			t.Errorf("macro-F1 is %.4f", f)
		}
	}
}

package classify

import (
	"bufio"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/profiles"
	"github.com/agentproxy/agentproxy/profiles/rules"
	"github.com/agentproxy/agentproxy/proxy/proxytest/raced"
)

// sample is a real output, and what was wrong when it was printed.
type sample struct {
	ID, Class, Secondary, Tool, Kind, Command, Text string
	Round                                           int
}

func samples(t testing.TB, file string) []sample {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []sample
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var s sample
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

// known are all profiles with rules, as explain uses them.
func known(t testing.TB) Options {
	t.Helper()
	library := profiles.Open("")
	return Options{Library: library, Profiles: library.Names()}
}

var rulesOf = func() func(testing.TB, Options) *ruleSet {
	var all *ruleSet
	return func(t testing.TB, o Options) *ruleSet {
		if all == nil {
			var err error
			if all, err = newRuleSet(o); err != nil {
				t.Fatal(err)
			}
		}
		return all
	}
}()

func resultOf(t testing.TB, o Options, text string, status Status) Result {
	t.Helper()
	c := New(o)
	c.use(rulesOf(t, o))
	c.View(1, []byte(text))
	v, err := c.Result(status)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// label is a verdict as the samples are labelled: there a container is a class.
func label(v Result) string {
	if v.Container && v.Class != rules.None {
		return "container"
	}
	return string(v.Class)
}

// fold divides the tools into three, by no order of their own.
func fold(tool string) int {
	h := fnv.New32a()
	h.Write([]byte("seed 6 " + tool))
	return int(h.Sum32()>>8) % 3
}

func TestCorpus(t *testing.T) {
	o := known(t)
	table := confusion{}
	var folds [3]confusion
	flagged, benign := 0, 0
	for _, s := range raced.Some(samples(t, "testdata/dev.jsonl")) {
		v := resultOf(t, o, s.Text, Status{})
		got := label(v)
		table.count(s.Class, got)
		i := fold(s.Tool)
		if folds[i] == nil {
			folds[i] = confusion{}
		}
		folds[i].count(s.Class, got)
		if s.Class == "none" {
			benign++
			if got != "none" {
				flagged++
			}
		}
		if got != s.Class || got == "container" && s.Secondary != string(v.Class) {
			t.Logf("%s (%s): %s %s, not %s %s: %s", s.ID, s.Tool, got, v.Class, s.Class, s.Secondary, findings(v))
		}
	}
	t.Logf("\n%s\nmacro-F1 %.4f; by thirds of the tools %.3f %.3f %.3f; %d of %d benign samples flagged",
		table, table.macroF1(), folds[0].macroF1(), folds[1].macroF1(), folds[2].macroF1(), flagged, benign)
	if f := table.macroF1(); !raced.Enabled && f < 0.97 {
		t.Errorf("macro-F1 is %.4f", f)
	}
	if flagged*100 > benign {
		t.Errorf("%d of %d benign samples are flagged", flagged, benign)
	}
}

// The words of these do not tell the cause: silence or "unclear" is right, and
// the true class is no lie, but another one is.
func TestHard(t *testing.T) {
	o := known(t)
	for _, s := range samples(t, "testdata/hard.jsonl") {
		v := resultOf(t, o, s.Text, Status{})
		got := label(v)
		t.Logf("%s (%s, %s): %s, unclear %v", s.ID, s.Tool, s.Class, got, v.Unclear)
		if got != "none" && got != s.Class {
			t.Errorf("%s (%s): %s, not %s: %s", s.ID, s.Tool, got, s.Class, findings(v))
		}
	}
}

func findings(v Result) string {
	var b strings.Builder
	for _, f := range v.Findings {
		fmt.Fprintf(&b, "[%s %.2f %s %q] ", f.Class, f.Confidence, f.Tool, f.Line)
	}
	return b.String()
}

// confusion counts verdicts by the true class.
type confusion map[string]map[string]int

func (c confusion) count(want, got string) {
	if c[want] == nil {
		c[want] = map[string]int{}
	}
	c[want][got]++
}

func (c confusion) classes() []string {
	var names []string
	for _, class := range append(rules.Classes(), "container") {
		if c[string(class)] != nil {
			names = append(names, string(class))
		}
	}
	return names
}

// macroF1 is the mean of the classes' F1.
func (c confusion) macroF1() float64 {
	sum := 0.0
	for _, class := range c.classes() {
		right, claimed, there := c[class][class], 0, 0
		for _, row := range c {
			claimed += row[class]
		}
		for _, n := range c[class] {
			there += n
		}
		if right > 0 {
			sum += 2 * float64(right) / float64(claimed+there)
		}
	}
	return sum / float64(len(c.classes()))
}

func (c confusion) String() string {
	var b strings.Builder
	names := c.classes()
	fmt.Fprintf(&b, "%-22s", "true \\ verdict")
	for _, n := range append(slices.Clone(names), "upstream_failed") {
		fmt.Fprintf(&b, " %6.6s", n)
	}
	for _, want := range names {
		fmt.Fprintf(&b, "\n%-22s", want)
		for _, got := range append(slices.Clone(names), "upstream_failed") {
			fmt.Fprintf(&b, " %6d", c[want][got])
		}
	}
	return b.String()
}

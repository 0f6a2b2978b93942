package rules

import (
	"math/rand/v2"
	"regexp/syntax"
	"slices"
	"strings"
	"testing"
)

// A line is looked at only when it holds one of a rule's words: so one of them must
// stand in whatever the rule matches. The words are lower case, as the text that
// they are looked for in.
func TestRequiredWords(t *testing.T) {
	t.Parallel()
	for match, want := range map[Pattern][]string{
		`certificate verify failed`:                       {"certificate verify failed"},
		`(?i)Certificate Verify`:                          {"certificate verify"},
		`curl: \(60\) SSL`:                                {"curl: (60) ssl"},
		`(unknown|untrusted) authority`:                   {"unknown authority", "untrusted authority"},
		`certificates? expired`:                           {"certificate expired", "certificates expired"},
		`error .* unrecognized name`:                      {" unrecognized name"},
		`(?:handshake_failure)+`:                          {"handshake_failure"},
		`(?:handshake_failure){2,}`:                       {"handshake_failure"},
		`code [45]05 there`:                               {"code 405 there", "code 505 there"},
		`^\s*ECONNREFUSED$`:                               {"econnrefused"},
		`\bself-signed\b`:                                 {"self-signed"},
		`(?P<host>\S+) unreachable`:                       {" unreachable"},
		`unreachable(?: by .*)?`:                          {"unreachable"},
		`SELF_SIGNED_CERT|DEPTH_ZERO`:                     {"depth_zero", "self_signed_cert"},
		`certificate(?:, .*,)? not (?:trusted|ours) here`: {" not ours here", " not trusted here"},
	} {
		if got := (&Rule{Match: match}).RequiredWords(); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", match, got, want)
		}
	}
}

// Where a match may have no word that is long enough, there are none at all: one
// alternative without would be missed.
func TestNoRequiredWords(t *testing.T) {
	t.Parallel()
	for _, match := range []Pattern{``, `\d+`, `bad|certificate`, `(?:certificate)?`, `(?:certificate)*`, `(?:certificate){0,3}`, `.*`, `[a-z]ertifi.`, `(`} {
		if got := (&Rule{Match: match}).RequiredWords(); len(got) != 0 {
			t.Errorf("%s: %q", match, got)
		}
	}
}

// Words that any log is full of are taken only where there is no better one.
func TestBetterWordsAreTaken(t *testing.T) {
	t.Parallel()
	for match, want := range map[Pattern]string{
		`connection.*econnreset`: "econnreset",
		`x509cert.*connection`:   "x509cert",
		`connection\d+`:          "connection",
	} {
		if got := (&Rule{Match: match}).RequiredWords(); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: %q, want %q", match, got, want)
		}
	}
}

// Each phrase is found by its words, whichever of its wordings a tool uses: texts
// are made at random from the expressions themselves.
func TestPhrasesAreFoundByTheirWords(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for name := range phrases {
		match := Pattern("{" + name + "}")
		words := (&Rule{Match: match}).RequiredWords()
		if len(words) == 0 {
			continue // a place, that stands beside words
		}
		re, err := syntax.Parse(match.expand(), syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		for range 500 {
			text := sample(random, re)
			if !match.Regexp().MatchString(text) {
				continue // \b at its ends
			}
			if lower := strings.ToLower(text); !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(lower, w) }) {
				t.Errorf("%s matches %q, which has none of its words", match, text)
			}
		}
	}
}

// sample makes a text that an expression matches.
func sample(random *rand.Rand, re *syntax.Regexp) string {
	repeat := func(least, most int) (text string) {
		for range least + random.IntN(most-least+1) {
			text += sample(random, re.Sub[0])
		}
		return text
	}
	switch re.Op {
	case syntax.OpLiteral:
		if text := string(re.Rune); re.Flags&syntax.FoldCase == 0 || random.IntN(2) == 0 {
			return text
		}
		return strings.ToUpper(string(re.Rune))
	case syntax.OpCharClass:
		i := 2 * random.IntN(len(re.Rune)/2)
		low, high := re.Rune[i], min(re.Rune[i+1], re.Rune[i]+50)
		return string(low + rune(random.IntN(int(high-low)+1)))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return "x"
	case syntax.OpCapture:
		return sample(random, re.Sub[0])
	case syntax.OpStar:
		return repeat(0, 3)
	case syntax.OpPlus:
		return repeat(1, 3)
	case syntax.OpQuest:
		return repeat(0, 1)
	case syntax.OpRepeat:
		return repeat(re.Min, max(re.Min, re.Max))
	case syntax.OpAlternate:
		return sample(random, re.Sub[random.IntN(len(re.Sub))])
	case syntax.OpConcat:
		text := ""
		for _, sub := range re.Sub {
			text += sample(random, sub)
		}
		return text
	}
	return ""
}

// A phrase is found by one word, since tools wrap lines between words; a quote is
// looked for also as logs escape it. Each word stands once.
func TestKeywords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ texts, want []string }{
		{[]string{"the certificate unverifiable here"}, []string{"unverifiable"}},
		{[]string{"code 405"}, []string{"code 405"}},
		{[]string{`"unverifiable"`}, []string{`"unverifiable"`, `\"unverifiable\"`}},
		{[]string{"is unverifiable", "was unverifiable"}, []string{"unverifiable"}},
		{nil, nil},
	} {
		got := Keywords(c.texts)
		if !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.texts, got, c.want)
		}
	}
}

package rules

import (
	"regexp/syntax"
	"slices"
	"strings"
	"sync"
)

// MinKeyword is how short a word may be by which lines are found.
const MinKeyword = 7

// RequiredWords returns strings, one of which stands in every text that the rule
// matches, in lower case. There are none when the match has none that are long
// enough to be of use.
func (r *Rule) RequiredWords() []string {
	re, err := syntax.Parse(r.Match.expand(), syntax.Perl)
	if err != nil {
		return nil
	}
	found := required(re)
	found.close()
	slices.Sort(found.best)
	return slices.Compact(found.best)
}

// Keywords returns one word of each text: a phrase is found by it, too, where
// a tool wraps it. Quotes are there also as logs escape them.
func Keywords(texts []string) []string {
	var words []string
	for _, text := range texts {
		word := bestWord(text)
		words = append(words, word, strings.ReplaceAll(word, `"`, `\"`))
	}
	slices.Sort(words)
	return slices.Compact(words)
}

// texts is what is known of the strings that an expression matches.
type texts struct {
	// exact are all of them, nil when there are too many.
	exact []string
	// best are strings, one of which stands in each of them.
	best []string
}

// maxTexts is how many alternatives are followed.
const maxTexts = 400

func (t *texts) close() {
	if t.exact != nil {
		t.offer(t.exact)
		t.exact = nil
	}
}

// offer takes the alternatives where they make better keywords.
func (t *texts) offer(alternatives []string) {
	if worth(alternatives) > worth(t.best) {
		t.best = alternatives
	}
}

// required walks the expression's tree.
func required(re *syntax.Regexp) texts {
	switch re.Op {
	case syntax.OpLiteral:
		return texts{exact: []string{strings.ToLower(string(re.Rune))}}
	case syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return texts{exact: []string{""}}
	case syntax.OpCapture:
		return required(re.Sub[0])
	case syntax.OpPlus:
		t := required(re.Sub[0])
		t.close()
		return t
	case syntax.OpQuest:
		if t := required(re.Sub[0]); t.exact != nil && len(t.exact) < 8 {
			return texts{exact: append([]string{""}, t.exact...)}
		}
	case syntax.OpCharClass:
		return texts{exact: runes(re.Rune)}
	case syntax.OpRepeat:
		if re.Min > 0 {
			t := required(re.Sub[0])
			t.close()
			return t
		}
	case syntax.OpConcat:
		return concatenated(re.Sub)
	case syntax.OpAlternate:
		return alternatives(re.Sub)
	}
	return texts{}
}

// runes returns the members of a small class.
func runes(ranges []rune) []string {
	var all []string
	for i := 0; i < len(ranges); i += 2 {
		for r := ranges[i]; r <= ranges[i+1]; r++ {
			if len(all) == 4 {
				return nil
			}
			all = append(all, strings.ToLower(string(r)))
		}
	}
	return all
}

func concatenated(subs []*syntax.Regexp) texts {
	whole := texts{exact: []string{""}}
	gap := false // whole.exact is not all of it, but what follows a gap
	for _, sub := range subs {
		t := required(sub)
		if t.exact == nil || len(whole.exact)*len(t.exact) > maxTexts {
			gap = true
			whole.close()
			whole.offer(t.best)
			whole.exact = t.exact
			continue
		}
		if whole.exact == nil {
			whole.exact = t.exact
			continue
		}
		var product []string
		for _, a := range whole.exact {
			for _, b := range t.exact {
				product = append(product, a+b)
			}
		}
		whole.exact = product
	}
	if gap {
		whole.close()
	}
	return whole
}

func alternatives(subs []*syntax.Regexp) texts {
	var all texts
	exact, best := true, true
	for _, sub := range subs {
		t := required(sub)
		exact = exact && t.exact != nil
		all.exact = append(all.exact, t.exact...)
		t.close()
		best = best && t.best != nil
		all.best = append(all.best, t.best...)
	}
	if !exact || len(all.exact) > maxTexts {
		all.exact = nil
	}
	if all.exact != nil || !best || len(all.best) > maxTexts {
		all.best = nil
	}
	return all
}

// worth is how good the alternatives are as keywords: as the worst of them.
func worth(alternatives []string) int {
	if len(alternatives) == 0 {
		return 0
	}
	least := 1 << 10
	for _, text := range alternatives {
		word := bestWord(text)
		if len(word) < MinKeyword {
			return 0
		}
		if strings.Contains(strings.TrimSpace(word), " ") {
			least = min(least, len(word))
		} else {
			least = min(least, wordWorth(word))
		}
	}
	return least
}

// bestWord is the word that says most, or all of the text where that says more:
// "code 405".
func bestWord(text string) string {
	best, most := "", 0
	if len(text) >= MinKeyword {
		best, most = text, min(len(text), 2*MinKeyword)
	}
	for _, word := range strings.Fields(text) {
		if w := wordWorth(word); len(word) >= MinKeyword && w > most {
			best, most = word, w
		}
	}
	return best
}

// wordWorth is a word's length, less for one that any log is full of.
func wordWorth(word string) int {
	if commonWords()[strings.Trim(word, `:,.;"'()[]`)] {
		return MinKeyword
	}
	return len(word) + MinKeyword
}

var commonWords = sync.OnceValue(func() map[string]bool {
	words := map[string]bool{}
	for _, w := range strings.Fields(`error errors error: failed failure failed: request requests response connect connected connecting connection connections server
		could cannot unable while trying status https:// http:// https http code: reason reason: exception warning download downloading fetch
		fetching closed unknown invalid client remote error message returned get: exited caused cause: after before found address not resolve
		resolved network peer value build building issue accept access account connection: successfully required request: operation internal
		include includes included function support supports supported supporting unsupported release passed runtime registry service services missing
		validation complete completed setting settings success successful transport timeout expected match matching configuration policy protocol
		session different ifferent nnection ertificate certificate reading upstream identifier hostname configured through release unexpected
		application available selected correctly provided terminated appropriate public private method return returns legacy origin through
		denied allowed blocked website lookup temporary resolution hostname tunnel handshake session generating correctly listener repository
		accepts identifier initialized failed, daemon receive received number number: verify requested determine problem
		transport: handshake: session: http/1.1 http/1.0 "http/1.1 "http/1.0 proxy proxy: protocol: verification validation: established
		install installing package packages version finished update updated updating running target`) {
		words[w] = true
	}
	return words
})

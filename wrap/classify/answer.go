package classify

import (
	"github.com/agentproxy/agentproxy/profiles"
	"github.com/agentproxy/agentproxy/profiles/rules"
)

// certain is the least confidence of words by which an answer alone is a refusal.
const certain = 90

// Refusal returns the line of an answer, of a header or a page, that says that somebody
// on the way refuses what was asked for; "" for none. The lines are no command's output:
// each is judged alone.
func Refusal(library *profiles.Library, lines []string) (string, error) {
	set, err := newRuleSet(Options{Library: library})
	if err != nil {
		return "", err
	}
	for _, line := range lines {
		text := excerpt(line, set.filter)
		for _, i := range set.called(text) {
			m, ok := set.rules[i].holds(text, func() string { return text })
			if ok && m.Class == rules.PolicyDenied && m.Sure() >= certain {
				return quote(text, m.from, m.to), nil
			}
		}
	}
	return "", nil
}

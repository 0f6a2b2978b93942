// Package rules is how failures read: the closed set of classes, and the rules by
// which a line of output is given one.
package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Rule is how a failure reads. It is held against one line of output at a time,
// without escape sequences, its JSON escapes undone, and with what a tool had
// wrapped put together again.
//
// Of the rules that match a line, the one with the highest confidence counts:
// a special one (an expired certificate) beats a general one (verification
// failed). A rule of the class none that matches takes the line out of the
// reckoning: its words are no failure.
type Rule struct {
	Class Class `toml:"class"`
	// Match is what the line says. Beside RE2 it may hold phrases in braces,
	// such as {refused} or {url}; see phrases.go. It needs a word of seven letters
	// at least that stands in every match, by which lines are found quickly.
	// A rule without a match is advice for its class, however that was found.
	Match Pattern `toml:"match"`
	// Unless is what the same line must not say.
	Unless Pattern `toml:"unless"`
	// Near is what one of the lines around must say, and UnlessNear what none
	// of them may.
	Near       Pattern `toml:"near"`
	UnlessNear Pattern `toml:"unless_near"`
	// Host limits the group "host" of the match: "local" for this machine,
	// "remote" for any other. A match that has a group "asked", too, holds only
	// where the two are different hosts: what was asked for, and what failed.
	Host string `toml:"host"`
	// Port limits the group "port": "web" for 80, 443 and none at all, "other"
	// for the rest, of that "service" for the ports of other protocols
	// (databases, mail …) and "odd" for those of neither these nor servers that
	// developers run.
	Port string `toml:"port"`
	// Confidence is how sure the words make it, from 1 to 100; 90 when it is not
	// given. Below 50 the verdict is unclear.
	Confidence int `toml:"confidence"`
	// ExitsZero is true where the tool fails so with exit status 0.
	ExitsZero bool `toml:"exits_zero"`
	// Success is true for the words of a command that did its work after all:
	// what was said before is withdrawn. The class is none.
	Success bool `toml:"success"`
	// Container is true for the words that engines and builders of containers
	// use: what fails near them fails inside. Such a rule needs no class.
	Container bool `toml:"container"`
	// Fix is what to type or to change, for this tool.
	Fix string `toml:"fix"`
}

// Example is a real output, and the class it must get.
type Example struct {
	Class Class
	// Name tells it from others of the class.
	Name   string
	Output string
}

// DefaultConfidence is that of a rule which does not say.
const DefaultConfidence = 90

// Sure is the rule's confidence.
func (r *Rule) Sure() int {
	if r.Confidence == 0 {
		return DefaultConfidence
	}
	return r.Confidence
}

// Pattern is a regular expression (RE2), compiled when it is first used.
type Pattern string

var compiled sync.Map // string → *regexp.Regexp

// Regexp compiles the pattern; that it can be is known from Check.
func (p Pattern) Regexp() *regexp.Regexp { return compile(p, "") }

// LineRegexp is the same where ^ and $ are the ends of any line of a text.
func (p Pattern) LineRegexp() *regexp.Regexp { return compile(p, "(?m)") }

func compile(p Pattern, flags string) *regexp.Regexp {
	key := flags + string(p)
	if re, ok := compiled.Load(key); ok {
		return re.(*regexp.Regexp)
	}
	re, _ := compiled.LoadOrStore(key, regexp.MustCompile(flags+p.expand()))
	return re.(*regexp.Regexp)
}

var phrasePlace = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\{[a-z_]+\}`)
})

// expand puts the phrases in their places.
func (p Pattern) expand() string {
	if !strings.Contains(string(p), "{") {
		return string(p)
	}
	return phrasePlace().ReplaceAllStringFunc(string(p), func(name string) string {
		if phrase, ok := phrases[name[1:len(name)-1]]; ok {
			return phrase
		}
		return name
	})
}

// Complain is told what is wrong with a rule, and of which text.
type Complain func(text, format string, args ...any)

// Check finds what contradicts itself in a rule.
func (r *Rule) Check(complain Complain) {
	switch {
	case r.Class == "" && !r.Container:
		complain("[[rule]]", "a rule needs a class, or container = true")
	case r.Match == "" && (r.Fix == "" || r.Class == "" || r.Class == None):
		complain("[[rule]]", "a rule needs a match, or a class and a fix for it")
	case r.Success && r.Class != None:
		complain(`"`+string(r.Class)+`"`, "success is of the class none")
	case !slices.Contains([]string{"", "local", "remote"}, r.Host):
		complain(`"`+r.Host+`"`, "host is local or remote, not %q", r.Host)
	case !slices.Contains([]string{"", "web", "other", "service", "odd"}, r.Port):
		complain(`"`+r.Port+`"`, "port is web, other, service or odd, not %q", r.Port)
	case r.Confidence < 0 || r.Confidence > 100:
		complain("confidence", "the confidence is from 1 to 100, not %d", r.Confidence)
	}
	if r.Class != "" {
		if _, err := ParseClass(string(r.Class)); err != nil {
			complain(`"`+string(r.Class)+`"`, "%v", err)
		}
	}
	r.checkPatterns(complain)
}

func (r *Rule) checkPatterns(complain Complain) {
	for _, p := range []Pattern{r.Match, r.Unless, r.Near, r.UnlessNear} {
		for _, name := range phrasePlace().FindAllString(string(p), -1) {
			if _, ok := phrases[name[1:len(name)-1]]; !ok {
				complain(string(p), "%s is no phrase; there are %s", name, strings.Join(phraseNames(), " "))
				return
			}
		}
		if _, err := regexp.Compile(p.expand()); err != nil {
			complain(string(p), "%v", err)
			return
		}
	}
	if r.Match == "" {
		return
	}
	for _, limit := range []struct{ group, value string }{{"host", r.Host}, {"port", r.Port}} {
		if limit.value != "" && r.Match.Regexp().SubexpIndex(limit.group) < 0 {
			complain(string(r.Match), "%s = %q needs a group %q in the match", limit.group, limit.value, limit.group)
		}
	}
	if r.Searched() && len(r.RequiredWords()) == 0 {
		complain(string(r.Match), "%v", fmt.Errorf("the match needs a word of %d letters or more that stands in everything it matches", MinKeyword))
	}
}

// Searched reports whether lines are looked for with the rule; others are only held
// against lines that have been found.
func (r *Rule) Searched() bool {
	return r.Match != "" && (r.Class != None || r.Success)
}

// Check complains when the pattern is no regular expression.
func (p Pattern) Check(complain Complain) {
	if _, err := regexp.Compile(string(p)); err != nil {
		complain(string(p), "%v", err)
	}
}

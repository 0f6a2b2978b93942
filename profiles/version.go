package profiles

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Condition is a condition on a version: comparisons divided by spaces must
// all hold, "||" divides alternatives.
//
//	>=22.21 <23 || >=24.5
type Condition struct {
	text         string
	alternatives [][]comparison
}

type comparison struct {
	operator string
	version  []int
}

// parseComparison reads one such as >=22.21.
func parseComparison(word string) (comparison, bool) {
	version := strings.TrimLeft(word, "<>=")
	c := comparison{word[:len(word)-len(version)], parseVersion(version)}
	return c, c.version != nil && slices.Contains([]string{">=", "<=", "<", ">", "="}, c.operator)
}

// UnmarshalText parses the condition.
func (c *Condition) UnmarshalText(text []byte) error {
	*c = Condition{text: string(text)}
	for alternative := range strings.SplitSeq(c.text, "||") {
		var all []comparison
		for _, word := range strings.Fields(alternative) {
			next, ok := parseComparison(word)
			if !ok {
				return fmt.Errorf("%q is no comparison such as >=22.21", word)
			}
			all = append(all, next)
		}
		if len(all) == 0 {
			return errors.New("a condition such as >=22.21 is missing")
		}
		c.alternatives = append(c.alternatives, all)
	}
	return nil
}

// String returns the condition as it was written.
func (c Condition) String() string { return c.text }

// IsZero reports whether there is no condition.
func (c Condition) IsZero() bool { return len(c.alternatives) == 0 }

// Holds reports whether a version such as "20.11.1" meets the condition. An
// unknown version, "", meets none but the empty one.
func (c Condition) Holds(version string) bool {
	if c.IsZero() {
		return true
	}
	v := parseVersion(version)
	if v == nil {
		return false
	}
	for _, all := range c.alternatives {
		holds := true
		for _, cmp := range all {
			holds = holds && cmp.holds(v)
		}
		if holds {
			return true
		}
	}
	return false
}

func (c comparison) holds(version []int) bool {
	order := compare(version, c.version)
	switch c.operator {
	case ">=":
		return order >= 0
	case "<=":
		return order <= 0
	case "<":
		return order < 0
	case ">":
		return order > 0
	}
	return order == 0
}

// compare orders two versions; a missing part is 0.
func compare(a, b []int) int {
	for i := range max(len(a), len(b)) {
		var x, y int
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			return x - y
		}
	}
	return 0
}

func parseVersion(s string) []int {
	var version []int
	for part := range strings.SplitSeq(s, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return nil
		}
		version = append(version, n)
	}
	return version
}

var versionForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\d+(?:\.\d+)+`) })

// Find returns the version in what a program printed, "" when there is none.
func (p Probe) Find(output string) string {
	if p.Pattern == "" {
		return versionForm().FindString(output)
	}
	if m := p.Pattern.Regexp().FindStringSubmatch(output); len(m) > 1 {
		return m[1]
	}
	return ""
}

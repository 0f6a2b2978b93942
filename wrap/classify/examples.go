package classify

import (
	"fmt"

	"github.com/agentproxy/agentproxy/profiles"
)

// CheckExamples runs the examples of a profile against its rules and the
// generic ones.
func CheckExamples(library *profiles.Library, p *profiles.Full) []error {
	options := Options{Library: library, Own: p, Tool: p.Name}
	set, err := newRuleSet(options)
	if err != nil {
		return []error{err}
	}
	var errs []error
	for _, e := range p.Examples {
		c := New(options)
		c.use(set)
		c.View(1, []byte(e.Output))
		v, err := c.Result(Status{})
		if err != nil {
			return append(errs, err)
		}
		if v.Class != e.Class {
			errs = append(errs, fmt.Errorf("%s: the example %q gets the class %s", p.File, string(e.Class)+" "+e.Name, v.Class))
		}
	}
	return errs
}

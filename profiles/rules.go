package profiles

import "fmt"

// Classify returns the class of the first rule that an output matches, None
// when there is none.
func (p *Full) Classify(output string) Class {
	for _, r := range p.Rules {
		if r.Match.Regexp().MatchString(output) {
			return r.Class
		}
	}
	return None
}

// CheckExamples runs the file's own examples.
func (p *Full) CheckExamples() []error {
	var errs []error
	for _, e := range p.Examples {
		if got := p.Classify(e.Output); got != e.Class {
			errs = append(errs, fmt.Errorf("%s: the example %q gets the class %s", p.File, string(e.Class)+" "+e.Name, got))
		}
	}
	return errs
}

package classify

import (
	"testing"

	"github.com/agentproxy/agentproxy/profiles"
	"github.com/agentproxy/agentproxy/proxy/proxytest/raced"
)

// The examples of every profile that we ship get their classes, and a profile
// with rules has some.
func TestBuiltInExamples(t *testing.T) {
	library := profiles.Open("")
	for _, name := range raced.Some(library.Names()) {
		file, data, err := library.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		p, err := profiles.Parse(file, data)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, err := range CheckExamples(library, p) {
			t.Error(err)
		}
		if len(p.Rules) > 0 && len(p.Examples) == 0 {
			t.Errorf("%s has rules and no example", name)
		}
	}
}

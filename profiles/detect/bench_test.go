package detect

import (
	"fmt"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/profiles"
)

// Finding the profiles of a command is on the path of every exec; a script may
// name a thousand commands.
func BenchmarkForCommand(b *testing.B) {
	for b.Loop() {
		if _, err := profiles.Open("").ForCommand("unknown-1.2"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSurveyOfLongScript(b *testing.B) {
	var script strings.Builder
	for n := range 1000 {
		fmt.Fprintf(&script, "if tool%dx --flag; then mvn x; fi\n", n)
	}
	w := machine(nil, map[string]string{"/home/p/configure": script.String()})
	for b.Loop() {
		if _, err := Command(profiles.Open(""), []string{"sh", "configure"}, w); err != nil {
			b.Fatal(err)
		}
	}
}

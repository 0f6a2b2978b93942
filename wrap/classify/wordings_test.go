package classify

import (
	"os"
	"strings"
	"testing"
)

// The words of libraries and tools that the corpus does not hold.
func TestWordings(t *testing.T) {
	data, err := os.ReadFile("testdata/wordings.txt")
	if err != nil {
		t.Fatal(err)
	}
	o := known(t)
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		class, text, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if !ok {
			t.Fatalf("no tab in %q", line)
		}
		v := resultOf(t, o, strings.ReplaceAll(text, `\n`, "\n"), Status{})
		if string(v.Class) != class {
			t.Errorf("%s, not %s: %s\n\t%s", v.Class, class, text, findings(v))
		}
	}
}

package classify

import (
	"strings"
	"testing"
)

// The cause of a failure stands near the end, in the command's own words.
func TestPlaceOfTheCause(t *testing.T) {
	o := known(t)
	const failure = "curl: (60) SSL certificate problem: unable to get local issuer certificate\n"
	for name, c := range map[string]struct{ text, class string }{
		"the last word":                {failure, "tls_trust"},
		"a little later":               {failure + strings.Repeat("cleaning up\n", 20), "tls_trust"},
		"the word of who started it":   {failure + "make: *** [Makefile:2: fetch] Error 60\n", "tls_trust"},
		"far from the end":             {failure + strings.Repeat("compiling\n", 60), "none"},
		"before the end of the stream": {failure + strings.Repeat(strings.Repeat("x", 200)+"\n", 1000), "none"},
		"before tests that failed":     {failure + "=== RUN   TestA\n--- FAIL: TestA (0.00s)\n    a_test.go:7: want 3, got 2\nFAIL\nFAIL\texample/a\t0.002s\nFAIL\n", "none"},
		"tests that were never run":    {"go: github.example/x@v1.0.0: Get \"https://proxy.example/x\": tls: failed to verify certificate: x509: certificate signed by unknown authority\nFAIL\texample/a [setup failed]\nFAIL\n", "tls_trust"},
		"in mocha's list":              {"  2 passing (9ms)\n  1 failing\n\n  1) client\n       fetches:\n     Error: " + failure + "      at Context.<anonymous> (test/a.js:4:20)\n", "none"},
		"behind tests":                 {"Tests:       3 passed, 3 total\n" + failure, "tls_trust"},
		"in a patch":                   {"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n-a\n+" + failure + " c\n", "none"},
		"in a patch, below a blank":    {"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n a\n\n-b\n+" + failure, "none"},
		"in a patch for RCS":           {"d2 1\na4 2\nok\n" + failure, "none"},
		"behind a patch for RCS":       {"d2 1\na4 1\nok\n" + failure, "tls_trust"},
		"in a script for ed":           {"4,5c\nok\n" + failure + ".\n2d\n", "none"},
		"behind a script for ed":       {"4c\nok\n.\n" + failure, "tls_trust"},
		"in a script without an end":   {"4c\nok\n" + failure, "tls_trust"},
		"in both of two files":         {"a\t\t\t\t      |\tb\nself-signed certificate in certificate chain\tself-signed certificate in certificate chain\n", "none"},
		"in the wide line of a file":   {"a\t\t\t\t      |\tb\n" + strings.TrimSpace(failure) + " <\n", "none"},
		"in what a search found":       {"src/a.txt\n12:" + failure + "13:next\n", "none"},
		"in a view of a source":        {"error[E0425]: cannot find value `x`\n --> src/main.rs:2:5\n  |\n1 | fn main() {\n2 |     x(\"" + strings.TrimSpace(failure) + "\")\n  |     ^ not found\n", "none"},
		"in the source of a traceback": {"Traceback (most recent call last):\n  File \"a.py\", line 3, in <module>\n    raise KeyError('" + strings.TrimSpace(failure) + "')\nKeyError: 'x'\n", "none"},
		"a numbered chain of causes":   {"error: Import 'https://deno.example/x' failed.\n    0: error sending request for url (https://deno.example/x)\n    1: invalid peer certificate: UnknownIssuer\n", "tls_trust"},
		"in compiler's errors":         {"src/a.ts(3,5): error TS2322: Type '\"unable to get local issuer certificate\"' is not assignable to type 'number'.\n", "none"},
	} {
		if v := resultOf(t, o, c.text, Status{Known: true, Code: 1}); string(v.Class) != c.class {
			t.Errorf("%s: %s, not %s: %s", name, v.Class, c.class, findings(v))
		}
	}
}

package shell

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// Our entry goes in and comes out, and not another byte changes.
func TestJSONEntry(t *testing.T) {
	const value = `"/x/agent-run"`
	ours := func(v string) bool { return v == value }
	for _, path := range [][]string{{"env", "PREFIX"}, {"hooks", "Before", ""}, {"top"}} {
		for _, before := range []string{
			"", "{}", "{ }\n", `{"a":1}`, "{\n  \"a\": {\"b\": [1, \"},\"]},\n  \"z\": null\n}\n",
			`{"env": {}, "hooks": {}}`, `{"env": {"A": "1"}, "hooks": {"Before": [], "After": [1]}}`,
			"{\n\t\"hooks\": {\n\t\t\"Before\": [\n\t\t\t{\"x\": 1}\n\t\t]\n\t},\n\t\"env\": {\n\t\t\"A\": \"1\"\n\t}\n}",
		} {
			text, err := InsertJSON([]byte(before), value, path...)
			if err != nil || !json.Valid(text) || !strings.Contains(string(text), value) {
				t.Fatalf("%v into %q: %q, %v", path, before, text, err)
			}
			after, err := RemoveJSON(text, ours, path...)
			if err != nil || string(after) != before {
				t.Errorf("%v into %q: %q, then %q, %v", path, before, text, after, err)
			}
		}
	}
}

// What the agent has written anew since, or the user has moved, comes out as well; what
// is not ours stays, and what is no JSON is left alone.
func TestJSONEntryAmongOthers(t *testing.T) {
	ours := func(v string) bool { return strings.Contains(v, "ours") }
	for before, want := range map[string]string{
		"{\n  \"env\": {\n    \"A\": \"1\",\n    \"P\": \"ours\"\n  }\n}": "{\n  \"env\": {\n    \"A\": \"1\"\n  }\n}",
		"{\n  \"env\": {\n    \"P\": \"ours\"\n  }\n}":                    "{\n  \"env\": {\n  }\n}",
		`{"env": {"P": "theirs"}}`:                                        `{"env": {"P": "theirs"}}`,
		`{"env": "none"}`:                                                 `{"env": "none"}`,
	} {
		got, err := RemoveJSON([]byte(before), ours, "env", "P")
		got = bytes.ReplaceAll(got, []byte("{\n    \n  }"), []byte("{\n  }"))
		if err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", before, got, err)
		}
	}
	for _, text := range []string{`{"env": {"P": "theirs"}}`, `{"env": []}`, `[]`, `{"env": }`, `{} // ours`} {
		if got, err := InsertJSON([]byte(text), `"ours"`, "env", "P"); err == nil {
			t.Errorf("%s became %s", text, got)
		}
	}
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"env": {"A": "\u00e9"}, "a": [[], {}]}`))
	f.Add([]byte("{\n}\n"))
	f.Fuzz(func(t *testing.T, before []byte) {
		if bytes.Contains(before, []byte("ours")) || string(before) == "{\n}\n" || len(bytes.TrimSpace(before)) == 0 {
			return
		}
		text, err := InsertJSON(before, `"ours"`, "env", "P")
		if err != nil {
			return
		}
		if after, err := RemoveJSON(text, func(v string) bool { return v == `"ours"` }, "env", "P"); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%q became %q, then %q: %v", before, text, after, err)
		}
	})
}

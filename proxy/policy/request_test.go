package policy

import (
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"
)

// What a rule on requests may look like, and what it must not.
func TestRequestEntries(t *testing.T) {
	for _, entry := range []string{
		"GET,HEAD api.example/repos/**", "DELETE api.example", "api.example/a/*/b", "api.example:8443/a", "*/admin/**", "DELETE *",
		"*.example/x", "git.example/org/*.git fetch", "git.example push", "198.51.100.0/24/admin/**", "[2001:db8::1]:8443/x", "192.0.2.1/x", "M-SEARCH a.example",
	} {
		p, err := New(Rules{Allow: []string{entry}, Deny: []string{entry}})
		if err != nil {
			t.Errorf("%s: %v", entry, err)
		} else if p.deny[0].on == nil || p.lists[0].allow[0].on == nil {
			t.Errorf("%s: taken for a host", entry)
		}
	}
	for entry, want := range map[string]string{
		"get api.example/x":       `"get" is no method in capitals`,
		"GET,,PUT api.example/x":  `"" is no method`,
		"GET api.example/x fetch": "is not a pattern",
		"a.example b.example":     "is no method",
		"":                        "is not a pattern",
		"api.example/x?y=1":       "names no query",
		"api.example/a**":         "whole segments",
		"api.example/**b":         "whole segments",
		"api.example/%zz":         "begins no escape",
		"cname:api.example/x":     "aliases",
		"https://api.example/x":   "is not a pattern",
		"api..example/x":          "is not a pattern",
		"api.example:99999/x":     "is not a port",
	} {
		if _, err := New(Rules{Allow: []string{entry}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", entry, err, want)
		}
	}
}

// A host that is passed through cannot have rules on requests.
func TestPassthroughAgainstRequests(t *testing.T) {
	for _, c := range []struct {
		through, rule string
		clash         bool
	}{
		{"pinned.example", "GET pinned.example/x", true},
		{"*.example", "a.example push", true},
		{"a.example", "*.example/x", true},
		{"*.a.example", "*.example/x", true},
		{"*", "a.example/x", true},
		{"a.example", "DELETE *", true},
		{"10.0.0.0/8", "10.1.0.0/16/x", true},
		{"10.1.2.3", "10.0.0.0/8/x", true},
		{"a.example:8443", "a.example/x", true},
		{"a.example:8443", "a.example:443/x", false},
		{"a.example", "b.example/x", false},
		{"*.a.example", "a.example/x", false},
		{"10.0.0.0/8", "11.0.0.0/8/x", false},
		{"10.0.0.0/8", "*.example/x", false},
		{"a.example", "a.example", false},
	} {
		for name, rules := range map[string]Rules{"allow": {Allow: []string{c.rule}}, "deny": {Deny: []string{c.rule}}} {
			rules.Passthrough = []string{c.through}
			_, err := New(rules)
			if (err != nil) != c.clash {
				t.Errorf("passthrough %s, %s %s: %v", c.through, name, c.rule, err)
			}
			if err != nil && (!strings.Contains(err.Error(), c.rule) || !strings.Contains(err.Error(), c.through)) {
				t.Errorf("the error names not both: %v", err)
			}
		}
	}
}

// Whether a host's requests are looked at is decided by its name.
func TestWhereRequestsAreJudged(t *testing.T) {
	open, err := New(Rules{Allow: []string{"GET a.example/x", "db.example:8443/x"}, Deny: []string{"c.example/x"}})
	if err != nil {
		t.Fatal(err)
	}
	closed, err := New(Rules{Default: "deny", Allow: []string{"GET a.example/x", "b.example", "GET b.example/x"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		policy          *Policy
		target          string
		allowed, judged bool
	}{
		{open, "a.example:443", true, false}, // all is allowed by default
		{open, "db.example:8443", true, true},
		{open, "db.example:443", true, false},
		{open, "db.example:22", false, false},
		{open, "c.example:443", true, true},
		{open, "d.example:443", true, false},
		{closed, "a.example:443", true, true},
		{closed, "a.example:8443", false, false},
		{closed, "b.example:443", true, false},
		{closed, "c.example:443", false, false},
	} {
		tg := target(t, c.target)
		if d, judged := c.policy.Decide(tg), c.policy.Requests(tg) != nil; d.Allowed != c.allowed || judged != c.judged {
			t.Errorf("%s: allowed %v, judged %v: %+v", c.target, d.Allowed, judged, d)
		}
	}
}

// servers are ways in which programs behind an address read its path; each is more
// than we know any one to do.
var servers = map[string]func(string) string{
	"as it is":               func(p string) string { return path.Clean(p) },
	"decoded":                func(p string) string { return path.Clean(decode(p)) },
	"decoded twice":          func(p string) string { return path.Clean(decode(decode(p))) },
	"cleaned, decoded":       func(p string) string { return path.Clean(decode(path.Clean(p))) },
	"decoded, cleaned twice": func(p string) string { return path.Clean(decode(path.Clean(decode(p)))) },
	"without parameters": func(p string) string {
		var kept []string
		for segment := range strings.SplitSeq(decode(p), "/") {
			segment, _, _ = strings.Cut(segment, ";")
			kept = append(kept, segment)
		}
		return path.Clean(strings.Join(kept, "/"))
	},
	"on Windows": func(p string) string { return path.Clean(strings.ToLower(strings.ReplaceAll(decode(p), `\`, "/"))) },
	"in C":       func(p string) string { p, _, _ = strings.Cut(decode(p), "\x00"); return path.Clean(p) },
	"behind a URL": func(p string) string {
		p, _, _ = strings.Cut(decode(p), "?")
		p, _, _ = strings.Cut(p, "#")
		return path.Clean(p)
	},
}

func decode(p string) string {
	if d, err := url.PathUnescape(p); err == nil {
		return d
	}
	return p
}

// No spelling of a path gets past a deny, or into an allowlist: whatever the server
// makes of what is sent, it is not what was denied, and is what was allowed.
func FuzzPathSpellings(f *testing.F) {
	for _, s := range []string{
		"/admin", "/x/../admin", "/%61dmin", "/%2561dmin", "/x%2f..%2fadmin/y", `/x\..\admin`, "/x/..;/admin", "/admin;x", "/admin%00", "//admin", "/public/a",
		"/public/..%2fadmin", "/public/%252e%252e/admin", "/public/..;/admin", "/public/%c0%af", "/ADMIN/x", "/public/a%3fb", "https://a.example/admin", "*", "/admin%2f%2e", "/public/%2e%2e%5cadmin",
	} {
		f.Add(s)
	}
	target, err := ParseTarget("a.example:443")
	if err != nil {
		f.Fatal(err)
	}
	deny, err := New(Rules{Deny: []string{"a.example/admin/**"}})
	if err != nil {
		f.Fatal(err)
	}
	allow, err := New(Rules{Default: "deny", Allow: []string{"a.example/public/**"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		r, _, err := ParseRequest("GET", raw, http.Header{})
		if err != nil {
			return
		}
		again, _, err := ParseRequest("GET", r.Target(), http.Header{})
		if err != nil || again.Target() != r.Target() || !slices.Equal(again.readings, r.readings) {
			t.Fatalf("%q → %q → %q, %v", raw, r.Target(), again.Target(), err)
		}
		if strings.ContainsFunc(r.Path, func(c rune) bool { return c <= ' ' || c >= 0x7f }) || r.Path != "*" && r.Path[0] != '/' {
			t.Fatalf("%q → %q", raw, r.Path)
		}
		passes, listed := deny.Requests(target).Decide(r, nil).Allowed, allow.Requests(target).Decide(r, nil).Allowed
		for name, read := range servers {
			got := read(r.Path)
			if passes && within(got, "/admin") {
				t.Errorf("%q, sent as %q, is %q for a server that reads it %s", raw, r.Path, got, name)
			}
			if listed && !within(got, "/public") && !(strings.EqualFold(got, "/public") || name == "on Windows") {
				t.Errorf("%q, allowed and sent as %q, is %q for a server that reads it %s", raw, r.Path, got, name)
			}
		}
	})
}

func within(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

// BenchmarkRequests is what rules on requests add to each request.
func BenchmarkRequests(b *testing.B) {
	p, err := New(Rules{Default: "deny", Allow: []string{"GET,HEAD api.example/repos/*/*/contents/**", "POST api.example/repos/*/issues", "api.example/org/*.git fetch"},
		Deny: []string{"api.example/admin/**", "api.example push"}})
	if err != nil {
		b.Fatal(err)
	}
	target, err := ParseTarget("api.example:443")
	if err != nil {
		b.Fatal(err)
	}
	rules := p.Requests(target)
	for _, path := range []string{"/repos/org/name/contents/a/b.go?ref=main", "/repos/org/name/contents/a%20b/%c3%a9.go"} {
		b.Run(path, func(b *testing.B) {
			for b.Loop() {
				r, also, err := ParseRequest("GET", path, http.Header{"Accept": {"*/*"}})
				if err != nil || !rules.Decide(r, also).Allowed {
					b.Fatal(err)
				}
			}
		})
	}
}

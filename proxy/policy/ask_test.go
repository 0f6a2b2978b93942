package policy

import "testing"

// What is merely not listed may be allowed by an answer, and nothing else.
func TestMayAllow(t *testing.T) {
	p, err := New(Rules{Default: "deny", Allow: []string{"GET api.example/a/**"}, Deny: []string{"evil.example", "api.example/secret/**"},
		Layers: []Layer{{Name: "organisation", Deny: []string{"bad.example"}, Fixed: true}, {Name: "project", Default: "deny"}}})
	if err != nil {
		t.Fatal(err)
	}
	fixed, err := New(Rules{Default: "deny", Layers: []Layer{{Name: "organisation", Default: "deny", Allow: []string{"one.example", "GET api.example/**"}, Fixed: true}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		policy *Policy
		target string
		want   bool
	}{
		{p, "new.example:443", true}, {p, "new.example:8443", true}, {p, "192.0.3.7:443", true},
		{p, "evil.example:443", false}, {p, "bad.example:443", false}, {p, "127.0.0.1:443", false}, {p, "169.254.169.254:443", false},
		{fixed, "one.example:443", true}, {fixed, "two.example:443", false}, {fixed, "one.example:8443", false},
	} {
		target, err := ParseTarget(c.target)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.policy.MayAllow(target); got != c.want {
			t.Errorf("%s: %v", c.target, got)
		}
	}
	api := Target{Host{name: "api.example"}, 443}
	for _, c := range []struct {
		policy         *Policy
		method, target string
		override, want bool
	}{
		{p, "POST", "/a/b", false, true}, {p, "GET", "/b", false, true},
		{p, "GET", "/secret/x", false, false}, {p, "GET", "/a/..%2f..%2fsecret/x", false, false}, {p, "POST", "/a/b", true, false},
		{fixed, "GET", "/x", false, true}, {fixed, "POST", "/x", false, false},
	} {
		header := map[string][]string{}
		if c.override {
			header["X-Http-Method-Override"] = []string{"DELETE"}
		}
		r, also, err := ParseRequest(c.method, c.target, header)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.policy.Requests(api).MayAllow(r, also); got != c.want {
			t.Errorf("%s %s: %v", c.method, c.target, got)
		}
	}
}

// An entry that an answer leads to means what was asked for, and nothing more.
func TestAllowEntry(t *testing.T) {
	for _, c := range []struct{ target, method, path, want string }{
		{"api.example:443", "", "", "api.example"},
		{"api.example:8443", "", "", "api.example:8443"},
		{"api.example:443", "GET", "/a/*/b", "GET api.example/a/%2A/b"},
		{"api.example:443", "OPTIONS", "*", ""},
	} {
		target, err := ParseTarget(c.target)
		if err != nil {
			t.Fatal(err)
		}
		if got := AllowEntry(target, c.method, c.path); got != c.want {
			t.Errorf("%s %s %s: %q", c.target, c.method, c.path, got)
		}
	}
}

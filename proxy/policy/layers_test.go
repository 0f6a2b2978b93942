package policy

import (
	"net/http"
	"strings"
	"testing"
)

// The stricter of all layers decides, and its rule says whose it is.
func TestLayers(t *testing.T) {
	user := Rules{Default: "deny", Allow: []string{"a.example", "GET b.example/**"}, Deny: []string{"evil.example", "a.example/admin/**"}}
	open := Rules{Deny: []string{"evil.example"}}
	narrow := Layer{Name: "project", Default: "deny", Allow: []string{"a.example", "c.example", "evil.example"}}
	with := func(r Rules, layers ...Layer) Rules {
		r.Layers = layers
		return r
	}
	run := func(allow, deny string) Layer {
		return Layer{Name: "run", Allow: strings.Fields(allow), Deny: strings.Fields(deny), Widens: true}
	}
	trusted := narrow
	trusted.Widens = true
	organisation := Layer{Name: "organisation", Fixed: true, Default: "deny", Allow: []string{"a.example", "b.example", "evil.example"}, Deny: []string{"b.example/secret"}}
	for _, c := range []struct {
		why    string
		rules  Rules
		target string
		method string // "" asks for the host
		rule   string
		passes bool
	}{
		{"both allow", with(user, narrow), "a.example", "", `allow "a.example"`, true},
		{"the project does not list it", with(user, narrow), "b.example", "", `default = "deny" (project)`, false},
		{"the project cannot widen", with(user, narrow), "c.example", "", `default = "deny"`, false},
		{"unless it is trusted", with(user, trusted), "c.example", "", `allow "c.example" (project)`, true},
		{"which never lifts a deny", with(user, trusted), "evil.example", "", `deny "evil.example"`, false},
		{"a trusted project still narrows", with(open, trusted), "d.example", "", `default = "deny" (project)`, false},
		{"a project that allows by default narrows by deny alone", with(user, Layer{Name: "project", Deny: []string{"a.example"}, Allow: []string{"x.example"}}), "a.example", "", `deny "a.example" (project)`, false},
		{"and its allow means nothing", with(user, Layer{Name: "project", Allow: []string{"x.example"}}), "x.example", "", `default = "deny"`, false},
		{"a run widens", with(user, run("d.example", "")), "d.example", "", `allow "d.example" (run)`, true},
		{"past a project's allowlist", with(user, narrow, run("d.example", "")), "d.example", "", `allow "d.example" (run)`, true},
		{"never past a deny", with(user, run("evil.example", "")), "evil.example", "", `deny "evil.example"`, false},
		{"a run narrows", with(user, run("", "a.example")), "a.example", "", `deny "a.example" (run)`, false},
		{"a run's allow does not lift a deny of requests", with(user, run("a.example", "")), "a.example", "GET /admin/x", `deny "a.example/admin/**"`, false},
		{"a run widens from some requests to all", with(user, run("b.example", "")), "b.example", "PUT /x", `allow "b.example" (run)`, true},
		{"requests that both allow", with(user, Layer{Name: "project", Default: "deny", Allow: []string{"b.example/x/**"}}), "b.example", "GET /x/y", `allow "GET b.example/**"`, true},
		{"requests that the project does not list", with(user, Layer{Name: "project", Default: "deny", Allow: []string{"b.example/x/**"}}), "b.example", "GET /y", `default = "deny" (project)`, false},
		{"requests that the user does not list", with(user, Layer{Name: "project", Default: "deny", Allow: []string{"b.example/x/**"}}), "b.example", "PUT /x", `allow "GET b.example/**"`, false},
		{"the organisation lists it and the user does too", with(user, organisation), "a.example", "", `allow "a.example"`, true},
		{"the organisation's list does not lift what the user denies", with(user, organisation), "evil.example", "", `deny "evil.example"`, false},
		{"nor add to what the user allows", with(user, Layer{Name: "organisation", Fixed: true, Allow: []string{"c.example"}}), "c.example", "", `default = "deny"`, false},
		{"the organisation narrows", with(open, organisation), "c.example", "", `default = "deny" (organisation)`, false},
		{"no run widens it", with(open, organisation, run("c.example", "")), "c.example", "", `default = "deny" (organisation)`, false},
		{"no trusted project does", with(open, organisation, trusted), "c.example", "", `default = "deny" (organisation)`, false},
		{"nor past what it denies", with(user, organisation, run("b.example", "")), "b.example", "GET /secret", `deny "b.example/secret" (organisation)`, false},
	} {
		p, err := New(c.rules)
		if err != nil {
			t.Fatal(err)
		}
		tg := target(t, c.target+":443")
		d := p.Decide(tg)
		if method, path, ok := strings.Cut(c.method, " "); ok {
			if !d.Allowed {
				t.Errorf("%s: the host is refused: %+v", c.why, d)
			}
			r, _, err := ParseRequest(method, path, http.Header{})
			if err != nil {
				t.Fatal(err)
			}
			if requests := p.Requests(tg); requests != nil {
				d = requests.Decide(r, nil)
			}
		}
		if d.Allowed != c.passes || d.Rule != c.rule || d.Reason == "" {
			t.Errorf("%s: %+v", c.why, d)
		}
	}
}

// A policy that only reports lets pass, except what addresses and the organisation
// forbid.
func TestReport(t *testing.T) {
	p, err := New(Rules{Default: "deny", Report: true, Deny: []string{"evil.example", "a.example/x"},
		Layers: []Layer{{Name: "organisation", Fixed: true, Deny: []string{"worse.example", "b.example/x"}}}})
	if err != nil {
		t.Fatal(err)
	}
	for host, lets := range map[string]bool{"c.example:443": true, "c.example:22": true, "evil.example:443": true, "worse.example:443": false} {
		if d := p.Decide(target(t, host)); d.Allowed || p.Lets(d) != lets {
			t.Errorf("%s: %+v", host, d)
		}
	}
	for host, lets := range map[string]bool{"a.example:443": true, "b.example:443": false} {
		r, _, err := ParseRequest("GET", "/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		if d := p.Requests(target(t, host)).Decide(r, nil); d.Allowed || p.Lets(d) != lets {
			t.Errorf("%s: %+v", host, d)
		}
	}
	open, err := New(Rules{Report: true})
	if err != nil {
		t.Fatal(err)
	}
	if d := open.Decide(target(t, "127.0.0.1:443")); open.Lets(d) {
		t.Errorf("loopback: %+v", d)
	}
}

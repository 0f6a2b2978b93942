package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/proxy/status"
)

// passed are decisions of lines "HOST PROCESS", or with requests "METHOD HOST/PATH".
func passed(t *testing.T, lines ...string) (list []status.Entry) {
	t.Helper()
	for _, line := range lines {
		e := status.Entry{Outcome: status.Opened}
		first, rest, _ := strings.Cut(line, " ")
		if method := first; strings.ToUpper(first) == first && rest != "" && !strings.Contains(first, ".") {
			host, path, _ := strings.Cut(rest, "/")
			e.Outcome, e.Method, e.Host, e.Path = status.Reported, method, host, "/"+path
		} else {
			e.Host, e.Process = first, rest
		}
		if !strings.Contains(e.Host, ":") {
			e.Host += ":443"
		}
		list = append(list, e)
	}
	return list
}

func entriesOf(needs []Need) (entries []string) {
	for _, n := range needs {
		entries = append(entries, n.Entry)
	}
	return entries
}

func TestLearn(t *testing.T) {
	for _, c := range []struct {
		why      string
		seen     []string
		requests bool
		want     []string
	}{
		{"each host once", []string{"b.example npm", "a.example node", "b.example curl"}, false, []string{"a.example", "b.example"}},
		{"other ports", []string{"a.example:8443", "a.example"}, false, []string{"a.example", "a.example:8443"}},
		{"two names are no group", []string{"a.files.example", "b.files.example"}, false, []string{"a.files.example", "b.files.example"}},
		{"three are", []string{"a.files.example", "b.files.example", "c.files.example", "files.example"}, false, []string{"*.files.example", "files.example"}},
		{"not where anybody may register", []string{"a.example", "b.example", "c.example"}, false, []string{"a.example", "b.example", "c.example"}},
		{"addresses are no names", []string{"198.51.100.1", "198.51.100.2", "197.51.100.1", "[2001:db8::1]:443"}, false,
			[]string{"197.51.100.1", "198.51.100.1", "198.51.100.2", "2001:db8::1"}},
		{"methods of a path", []string{"GET api.example/a", "POST api.example/a", "GET api.example/b"}, true, []string{"GET api.example/b", "GET,POST api.example/a"}},
		{"git", []string{"GET git.example/org/x.git/info/refs", "POST git.example/org/x.git/git-upload-pack", "GET git.example/org/y/info/refs"}, true,
			[]string{"GET git.example/org/y/info/refs", "git.example/org/x.git fetch"}},
		{"git, to write", []string{"GET git.example/x/info/refs", "POST git.example/x/git-receive-pack"}, true, []string{"git.example/x push"}},
		{"many paths of a host", func() (list []string) {
			for i := range 9 {
				list = append(list, fmt.Sprintf("GET api.example/v1/items/%d", i))
			}
			return list
		}(), true, []string{"GET api.example/v1/items/**"}},
	} {
		needs := Learn(passed(t, c.seen...), c.requests)
		if got := entriesOf(needs); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q", c.why, got)
		}
		// What was learned is a policy, and lets pass all that it was learned from.
		p, err := New(Rules{Default: "deny", Allow: entriesOf(needs)})
		if err != nil {
			t.Fatalf("%s: %v", c.why, err)
		}
		for _, missing := range p.Missing(passed(t, c.seen...)) {
			if strings.HasSuffix(missing.Entry, "/info/refs") { // its query says which service, and is not recorded
				continue
			}
			t.Errorf("%s: %+v", c.why, missing)
		}
		if d := p.Decide(target(t, "stranger.example.com:443")); d.Allowed {
			t.Errorf("%s: a stranger passes", c.why)
		}
	}
	needs := Learn(passed(t, "a.files.example pip", "b.files.example uv", "c.files.example pip"), false)
	if n := needs[0]; n.Times != 3 || !slices.Equal(n.Hosts, []string{"a.files.example", "b.files.example", "c.files.example"}) || len(n.Asked) != 2 {
		t.Errorf("%+v", n)
	}
}

// What failed or was refused is not needed; what today's policy refuses is missing, with
// the reason.
func TestMissing(t *testing.T) {
	seen := passed(t, "a.example", "b.example npm", "b.example", "POST api.example/x", "GET api.example/x")
	seen = append(seen, status.Entry{Outcome: status.Failed, Host: "gone.example:443"}, status.Entry{Outcome: status.Refused, Host: "evil.example:443"},
		status.Entry{Outcome: status.Refused, Host: "10.0.0.1:443"})
	p, err := New(Rules{Default: "deny", Allow: []string{"a.example", "GET api.example/**", "10.0.0.1"}, Deny: []string{"evil.example"}})
	if err != nil {
		t.Fatal(err)
	}
	missing := p.Missing(seen)
	if got := entriesOf(missing); !slices.Equal(got, []string{"POST api.example/x", "b.example", "evil.example"}) {
		t.Fatalf("%q", got)
	}
	if b := missing[1]; b.Times != 2 || b.Asked[0] != "npm" || !strings.Contains(b.Why, "not on the allowlist") {
		t.Errorf("%+v", b)
	}
	if got := entriesOf(Learn(seen, false)); !slices.Equal(got, []string{"a.example", "b.example"}) {
		t.Errorf("%q", got)
	}
}

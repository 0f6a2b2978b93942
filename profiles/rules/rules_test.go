package rules

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The classes are a closed set of which each has a meaning and its own name; what
// is final must never be retried, so the list of these is written out.
func TestClasses(t *testing.T) {
	t.Parallel()
	seen := map[Class]bool{}
	var final []Class
	for _, c := range Classes() {
		if parsed, err := ParseClass(string(c)); err != nil || parsed != c || seen[c] || c.Meaning() == "" {
			t.Errorf("%s: %s, error %v, meaning %q", c, parsed, err, c.Meaning())
		}
		seen[c] = true
		if c.Final() {
			final = append(final, c)
		}
	}
	if want := []Class{PolicyDenied, ProxyAuth407, UnsupportedProtocol, Pinned}; !slices.Equal(final, want) {
		t.Errorf("final are %v, want %v", final, want)
	}
	if len(seen) != 12 || !seen[None] {
		t.Errorf("%d classes", len(seen))
	}
}

// A name outside the set is an error that says what there is.
func TestNoOtherClass(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "TLS_TRUST", "tls"} {
		if c, err := ParseClass(name); err == nil || !strings.Contains(err.Error(), "tls_trust") || c != "" {
			t.Errorf("%q: %q, error %v", name, c, err)
		}
	}
	if c := Class("tls"); c.Final() || c.Meaning() != "" {
		t.Error("a class that is none has a meaning")
	}
}

// complaints are what Check says about a rule, each with the text that it is about.
func complaints(check func(Complain)) (all []string) {
	check(func(text, format string, args ...any) { all = append(all, text+": "+fmt.Sprintf(format, args...)) })
	return all
}

// A rule that contradicts itself is refused with the sentence that its author needs.
func TestCheckFindsWhatContradictsItself(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		rule Rule
		says string // "" for a good rule
	}{
		{"a match", Rule{Class: TLSTrust, Match: `certificate verify failed`}, ""},
		{"a match by a phrase, with limits", Rule{Class: ProxyUnreachable, Match: `failed to reach {host}:{port}: {refused}`, Host: "local", Port: "other", Confidence: 100}, ""},
		{"advice for a class", Rule{Class: TLSTrust, Fix: "trust it"}, ""},
		{"words of engines", Rule{Container: true, Match: `docker build failed`}, ""},
		{"words of success", Rule{Class: None, Success: true, Match: `Successfully installed`}, ""},
		{"short words that are no failure", Rule{Class: None, Match: `ok \d+`}, ""},
		{"no class", Rule{Match: `certificate verify failed`}, "needs a class"},
		{"neither match nor fix", Rule{Class: TLSTrust}, "needs a match"},
		{"advice for nothing", Rule{Class: None, Fix: "be glad"}, "needs a match"},
		{"success that fails", Rule{Class: TLSTrust, Success: true, Match: `Successfully installed`}, "success is of the class none"},
		{"a host of a third kind", Rule{Class: TLSTrust, Match: `certificate of {host}`, Host: "near"}, `not "near"`},
		{"a port of another kind", Rule{Class: TLSTrust, Match: `certificate of {host}:{port}`, Port: "443"}, `not "443"`},
		{"too sure", Rule{Class: TLSTrust, Match: `certificate verify failed`, Confidence: 101}, "from 1 to 100"},
		{"less than unsure", Rule{Class: TLSTrust, Match: `certificate verify failed`, Confidence: -1}, "from 1 to 100"},
		{"a class that is none", Rule{Class: "tls", Match: `certificate verify failed`}, `no class is called "tls"`},
		{"a phrase that is none", Rule{Class: TLSTrust, Match: `certificate {refuse}`}, "{refuse} is no phrase; there are {asked}"},
		{"no expression in unless", Rule{Class: TLSTrust, Match: `certificate verify failed`, Unless: `(`}, "missing closing )"},
		{"no expression in near", Rule{Class: TLSTrust, Match: `certificate verify failed`, Near: `a**`}, "invalid nested repetition"},
		{"no expression in unless_near", Rule{Class: TLSTrust, Match: `certificate verify failed`, UnlessNear: `[`}, "missing closing ]"},
		{"a limit on no host", Rule{Class: TLSTrust, Match: `certificate verify failed`, Host: "local"}, `needs a group "host"`},
		{"a limit on no port", Rule{Class: TLSTrust, Match: `certificate of {host}`, Port: "web"}, `needs a group "port"`},
		{"nothing to find lines by", Rule{Class: TLSTrust, Match: `\w+ bad`}, "needs a word of 7 letters"},
	} {
		got := complaints(c.rule.Check)
		if c.says == "" && len(got) > 0 || c.says != "" && !strings.Contains(strings.Join(got, "\n"), c.says) {
			t.Errorf("%s: %q, want %q", c.name, got, c.says)
		}
	}
}

func TestPatternCheck(t *testing.T) {
	t.Parallel()
	if got := complaints(Pattern(`^v(\d+)`).Check); len(got) != 0 {
		t.Errorf("%q", got)
	}
	if got := complaints(Pattern(`v(\d+`).Check); len(got) != 1 || !strings.HasPrefix(got[0], `v(\d+: `) {
		t.Errorf("%q", got)
	}
}

func TestSureAndSearched(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule     Rule
		sure     int
		searched bool
	}{
		{Rule{Class: TLSTrust, Match: "x"}, DefaultConfidence, true},
		{Rule{Class: TLSTrust, Match: "x", Confidence: 40}, 40, true},
		{Rule{Class: None, Match: "x"}, DefaultConfidence, false},
		{Rule{Class: None, Match: "x", Success: true}, DefaultConfidence, true},
		{Rule{Class: TLSTrust, Fix: "x"}, DefaultConfidence, false},
	} {
		if c.rule.Sure() != c.sure || c.rule.Searched() != c.searched {
			t.Errorf("%+v: %d, %v", c.rule, c.rule.Sure(), c.rule.Searched())
		}
	}
}

// Phrases stand for what they say, also among a contributor's own braces, and what
// is compiled once is compiled for either use apart.
func TestPatterns(t *testing.T) {
	t.Parallel()
	p := Pattern(`^a{2} {refused}$`)
	const text = "before\naa connect: connection refused\nafter"
	if p.Regexp().MatchString(text) || !Pattern(`^a{2} connect: {refused}$`).LineRegexp().MatchString(text) {
		t.Error("^ and $ are not what was asked for")
	}
	if !p.Regexp().MatchString("aa Connection refused") || p.Regexp() != Pattern(string(p)).Regexp() {
		t.Error("it is not the same when asked for again")
	}
}

// The places take a URL apart: a password is never taken for the host, and
// punctuation after a URL not for its part.
func TestPlaces(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]string{
		"GET https://a.example/x failed":              {"a.example", ""},
		"GET https://user:pw@a.example:8443/x failed": {"a.example", "8443"},
		"GET 'http://a.example', failed":              {"a.example", ""},
		"GET http://a.example:80: failed":             {"a.example", "80"},
	} {
		re := Pattern(`GET '?{url}`).Regexp()
		m := re.FindStringSubmatch(text)
		if m == nil || m[re.SubexpIndex("host")] != want[0] || m[re.SubexpIndex("port")] != want[1] {
			t.Errorf("%s: %q", text, m)
		}
	}
	for text, want := range map[string]string{"to [2001:db8::1]:443": "2001:db8::1", "to a_b.example:443": "a_b.example", "to 192.0.2.1:443": "192.0.2.1"} {
		re := Pattern(`to {host}:{port}`).Regexp()
		if m := re.FindStringSubmatch(text); m == nil || m[re.SubexpIndex("host")] != want || m[re.SubexpIndex("port")] != "443" {
			t.Errorf("%s: %q", text, m)
		}
	}
}

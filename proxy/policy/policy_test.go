package policy

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/proxy/status"
)

func TestParseTarget(t *testing.T) {
	for in, want := range map[string]string{
		"example.com:443":          "example.com:443",
		"EXAMPLE.com.:443":         "example.com:443",
		"bücher.example:443":       "xn--bcher-kva.example:443",
		"xn--bcher-kva.example:1":  "xn--bcher-kva.example:1",
		"a_b.example:443":          "a_b.example:443",
		"[::1]:443":                "[::1]:443",
		"[FE80::1%eth0]:443":       "[fe80::1]:443",
		"[::ffff:127.0.0.1]:443":   "127.0.0.1:443",
		"2130706433:443":           "127.0.0.1:443",
		"0x7f000001:443":           "127.0.0.1:443",
		"0X7F.1:443":               "127.0.0.1:443",
		"0177.0.0.1:443":           "127.0.0.1:443",
		"017700000001:443":         "127.0.0.1:443",
		"127.1:443":                "127.0.0.1:443",
		"127.0.0.1.:443":           "127.0.0.1:443",
		"192.168.257:443":          "192.168.1.1:443",
		"１２７.0.0.1:443":            "127.0.0.1:443",
		"example。com:443":          "example.com:443",
		"1.2.3.4.example:443":      "1.2.3.4.example:443",
		"host.with-dash.test:8443": "host.with-dash.test:8443",
	} {
		got, err := ParseTarget(in)
		if err != nil {
			t.Errorf("%q: %v", in, err)
		} else if got.String() != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

func TestParseTargetRefuses(t *testing.T) {
	for _, in := range []string{
		"", ":443", "example.com", "example.com:", "example.com:0", "example.com:65536", "example.com:+443", "example.com:443x",
		"a..b:443", ".a:443", "a..:443", "a b:443", "a\tb:443", "a\x00b:443", "a\r\nb:443", "a/b:443", "user@a:443", "a%2eb:443",
		"::1:443", "[::1:443", "[::1]443", "[127.0.0.1]:443", "[x]:443", "*.example.com:443", "256.256.256.256:443",
		"1.2.3.4.5:443", "0x100000000:443", "08.1.1.1:443", strings.Repeat("a", 64) + ".test:443", strings.Repeat("a.", 127) + "b:443",
	} {
		if got, err := ParseTarget(in); err == nil {
			t.Errorf("%q: got %s, want an error", in, got)
		}
	}
}

func target(t *testing.T, s string) Target {
	t.Helper()
	tg, err := ParseTarget(s)
	if err != nil {
		t.Fatal(err)
	}
	return tg
}

func TestDecide(t *testing.T) {
	open := Rules{Allow: []string{"*.example.com", "db.test:5432", "*:8443", "10.9.0.0/16"}, Deny: []string{"evil.example", "*.evil.example", "bad.example.com", "198.18.0.0/15", "half.test:444"}}
	closed := Rules{Default: "deny", Allow: []string{"example.com", "*.api.test", "2001:4860::/32", "[2606:4700::1]:8443"}}
	for _, c := range []struct {
		why    string
		rules  Rules
		target string
		kind   status.Kind
		rule   string
	}{
		{"a host that nobody names is allowed by default", open, "other.test:443", "", `default = "allow"`},
		{"deny wins over allow", open, "bad.example.com:443", status.PolicyDenied, `deny "bad.example.com"`},
		{"deny by name", open, "evil.example:443", status.PolicyDenied, `deny "evil.example"`},
		{"deny whatever the case and the trailing dot", open, "EVIL.example.:443", status.PolicyDenied, `deny "evil.example"`},
		{"deny subdomains", open, "a.b.evil.example:443", status.PolicyDenied, `deny "*.evil.example"`},
		{"a deny without a port means every port", open, "evil.example:8443", status.PolicyDenied, `deny "evil.example"`},
		{"a deny with a port means that port", open, "half.test:443", "", `default = "allow"`},
		{"a name that merely ends alike is another host", open, "notevil.example:443", "", `default = "allow"`},
		{"another port is refused", open, "other.test:22", status.PortNotAllowed, "port 443 only"},
		{"an allow without a port does not open other ports", open, "x.example.com:22", status.PortNotAllowed, "port 443 only"},
		{"another port is allowed when named", open, "db.test:5432", "", `allow "db.test:5432"`},
		{"a port for any host", open, "other.test:8443", "", `allow "*:8443"`},
		{"allowing an address range does not make it public", open, "10.9.1.1:443", status.PolicyDenied, "private addresses"},
		{"deny an address range", open, "198.18.0.1:443", status.PolicyDenied, `deny "198.18.0.0/15"`},
		{"on the allowlist", closed, "example.com:443", "", `allow "example.com"`},
		{"an exact pattern does not name subdomains", closed, "www.example.com:443", status.PolicyDenied, `default = "deny"`},
		{"a wildcard does not name its own domain", closed, "api.test:443", status.PolicyDenied, `default = "deny"`},
		{"a wildcard names every depth", closed, "a.b.api.test:443", "", `allow "*.api.test"`},
		{"CIDR names literal addresses", closed, "[2001:4860:4860::8888]:443", "", `allow "2001:4860::/32"`},
		{"an address with a port", closed, "[2606:4700::1]:8443", "", `allow "[2606:4700::1]:8443"`},
	} {
		t.Run(c.why, func(t *testing.T) {
			p, err := New(c.rules)
			if err != nil {
				t.Fatal(err)
			}
			d := p.Decide(target(t, c.target))
			if d.Allowed != (c.kind == "") || d.Kind != c.kind || d.Rule != c.rule {
				t.Errorf("%s: got %+v", c.target, d)
			}
			if d.Reason == "" {
				t.Error("no reason given")
			}
		})
	}
}

// Every spelling of an address that must not be reached is refused, as a
// literal and as the answer of a resolver.
func TestRefusesInsideAddresses(t *testing.T) {
	p, err := New(Rules{})
	if err != nil {
		t.Fatal(err)
	}
	name := target(t, "rebind.example:443")
	for _, a := range []string{
		"127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
		"169.254.169.254", "169.254.1.1", "100.64.0.1", "100.100.100.200", "168.63.129.16", "224.0.0.1", "255.255.255.255",
		"192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "192.0.0.192",
		"::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1", "3fff::1",
		"::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1",
		"2002:7f00:1::", "2002:a9fe:a9fe::1", "::127.0.0.1",
		"::ffff:0:10.0.0.1", "::ffff:0:169.254.169.254", // IPv4-translated
		"64:ff9b:1:a00:0:100::", "64:ff9b:1:a00:0:100:808:808", // local NAT64 /48, also with something behind
		"64:ff9b:1:c0a8:0:100::", "64:ff9b:1:ab0a:0:1::", "64:ff9b:1:ab0a:0:1:808:808", // /48, /56
		"64:ff9b:1:abcd:a:0:100::", "64:ff9b:1:abcd:a:0:108:808", // /64
		"64:ff9b:1:abcd:1234:5678:7f00:1", "64:ff9b:1:0:0:0:a9fe:a9fe", // /96 under any prefix
		"2600:1234::5efe:10.0.0.1", "2600:1234::200:5efe:127.0.0.1", "fe80::5efe:8.8.8.8", // ISATAP
	} {
		addr := netip.MustParseAddr(a)
		if d := p.CheckAddr(name, addr); d.Allowed || d.Kind != status.PolicyDenied || d.Reason == "" {
			t.Errorf("resolved to %s: %+v", a, d)
		}
		if d := p.Decide(Target{Host{addr: addr.Unmap()}, 443}); d.Allowed {
			t.Errorf("literal %s: %+v", a, d)
		}
	}
	for _, a := range []string{"8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::808:808",
		"::ffff:0:8.8.8.8", "64:ff9b:1::808:808", "2600:1234::5efe:8.8.8.8", "2600:1234::5eff:10.0.0.1"} {
		if d := p.CheckAddr(name, netip.MustParseAddr(a)); !d.Allowed {
			t.Errorf("public %s refused: %+v", a, d)
		}
	}
}

// A rule about an address holds for whatever spelling of it.
func TestDenyHoldsForEverySpelling(t *testing.T) {
	p, err := New(Rules{Deny: []string{"8.8.8.0/24"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []string{"8.8.8.8", "::ffff:8.8.8.8", "::ffff:0:8.8.8.8", "64:ff9b::808:808", "64:ff9b:1::808:808", "64:ff9b:1:808:8:800::",
		"64:ff9b:1:8:8:808::", "2002:808:808::", "2600::5efe:8.8.8.8", "::8.8.8.8"} {
		if d := p.CheckAddr(target(t, "alias.example:443"), netip.MustParseAddr(a)); d.Allowed || d.Rule != `deny "8.8.8.0/24"` {
			t.Errorf("resolved to %s: %+v", a, d)
		}
		if d := p.Decide(Target{Host{addr: netip.MustParseAddr(a).Unmap()}, 443}); d.Allowed || d.Rule != `deny "8.8.8.0/24"` {
			t.Errorf("literal %s: %+v", a, d)
		}
	}
}

func TestAliasesOfADeniedName(t *testing.T) {
	p, err := New(Rules{Deny: []string{"cname:evil.example", "cname:*.bad.example:8443", "plain.example"}})
	if err != nil || !p.SeesAliases() {
		t.Fatal(err)
	}
	for of, want := range map[string]bool{"evil.example.": false, "EVIL.example.": false, "x.bad.example": true, "plain.example": true, "other.example": true} {
		if d := p.CheckAlias(target(t, "alias.example:443"), of); d.Allowed != want {
			t.Errorf("alias of %s: %+v", of, d)
		}
	}
	if d := p.CheckAlias(target(t, "alias.example:8443"), "x.bad.example"); d.Allowed || d.Rule != `deny "cname:*.bad.example:8443"` {
		t.Errorf("with a port: %+v", d)
	}
	if d := p.Decide(target(t, "evil.example:443")); d.Allowed {
		t.Error("the name itself is allowed")
	}
	for _, bad := range []Rules{{Allow: []string{"cname:a.example"}}, {Deny: []string{"cname:10.0.0.0/8"}}, {Passthrough: []string{"cname:a.example"}}} {
		if _, err := New(bad); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
	if p, _ := New(Rules{Deny: []string{"evil.example"}}); p.SeesAliases() {
		t.Error("a plain rule sees aliases")
	}
}

func TestPrivateListsAddresses(t *testing.T) {
	p, err := New(Rules{Private: []string{"10.1.2.0/24", "169.254.0.0/16", "100.100.100.200", "fd00::/8"}})
	if err != nil {
		t.Fatal(err)
	}
	name := target(t, "internal.example:443")
	for addr, want := range map[string]bool{
		"10.1.2.3": true, "10.1.3.3": false, "::ffff:10.1.2.3": true, "64:ff9b::a01:203": true, "169.254.1.1": true, "fd12::1": true,
		"169.254.169.254": false, // metadata hides in no range
		"fd00:ec2::254":   false,
		"100.100.100.200": true, // but may be named
	} {
		if d := p.CheckAddr(name, netip.MustParseAddr(addr)); d.Allowed != want {
			t.Errorf("%s: %+v", addr, d)
		}
	}
}

// Where the network itself is numbered from the documentation ranges, names
// may resolve into them; literals and the machine's own subnet stay refused.
func TestLabNetwork(t *testing.T) {
	own := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("192.0.2.7/24")}
	if !LabNetwork(own) || LabNetwork([]netip.Prefix{netip.MustParsePrefix("10.0.0.1/8")}) {
		t.Fatal("LabNetwork misjudges")
	}
	p, err := New(Rules{Lab: true, Local: own})
	if err != nil {
		t.Fatal(err)
	}
	name := target(t, "origin.example:443")
	for addr, want := range map[string]bool{"203.0.113.9": true, "192.0.2.1": false, "10.0.0.1": false, "169.254.169.254": false} {
		if d := p.CheckAddr(name, netip.MustParseAddr(addr)); d.Allowed != want {
			t.Errorf("%s: %+v", addr, d)
		}
	}
	if d := p.Decide(target(t, "203.0.113.9:443")); d.Allowed {
		t.Errorf("literal: %+v", d)
	}
}

func TestNewNamesTheBadEntry(t *testing.T) {
	for _, c := range []struct {
		rules Rules
		want  string
	}{
		{Rules{Default: "maybe"}, `"maybe"`},
		{Rules{Allow: []string{"a b"}}, `policy.allow: "a b"`},
		{Rules{Deny: []string{"host:99999"}}, `policy.deny: "host:99999"`},
		{Rules{Deny: []string{"https://x.test/"}}, `policy.deny: "https://x.test/"`},
		{Rules{Passthrough: []string{"*.10.0.0.1"}}, `policy.passthrough: "*.10.0.0.1"`},
		{Rules{Private: []string{"internal.test"}}, `policy.private: "internal.test"`},
	} {
		if _, err := New(c.rules); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %s", c.rules, err, c.want)
		}
	}
}

// What parses, parses again to itself: no second form of a host exists that a
// rule could miss.
func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"example.com:443", "[::1]:443", "0x7f.1:80", "bücher.example.:443", "[fe80::1%25eth0]:443", "a_b:1", "１.1:443"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		first, err := ParseTarget(s)
		if err != nil {
			return
		}
		second, err := ParseTarget(first.String())
		if err != nil || second != first {
			t.Fatalf("%q → %s → %s, %v", s, first, second, err)
		}
		if name := first.Host.String(); strings.ContainsAny(name, " \r\n\t/@%*ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
			t.Fatalf("%q → %q", s, name)
		}
	})
}

package egress_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/egress"
	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/proxytest"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/google/go-cmp/cmp"
)

// Every bad origin is refused before 200, with its own reason in the phrase, a
// header, the body and the record of failures.
func TestBadOrigins(t *testing.T) {
	root, stranger := proxytest.NewCA(t, "good root"), proxytest.NewCA(t, "unknown root")
	inter := root.Intermediate(t, "intermediate")
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	date := func(from, to time.Duration) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(from), time.Now().Add(to)
		}
	}
	serve := func(cert tls.Certificate, configure ...func(*httptest.Server)) string {
		return proxytest.Origin(t, cert, proxytest.OK, configure...)
	}
	incomplete := inter.Issue(t, nil, func(c *x509.Certificate) {
		c.IssuingCertificateURL = []string{"http://pki.test/intermediate.crt"}
	}, "bad.test")
	incomplete.Certificate = incomplete.Certificate[:1]
	cases := []struct {
		name, reason, says string
		addr               string
	}{
		{"expired", "expired", "expired on", serve(root.Issue(t, nil, date(-48*time.Hour, -24*time.Hour), "bad.test"))},
		{"not yet valid", "not_yet_valid", "is not valid before", serve(root.Issue(t, nil, date(time.Hour, 24*time.Hour), "bad.test"))},
		{"wrong name", "wrong_name", "is for other names: other.test", serve(root.Issue(t, nil, nil, "other.test"))},
		{"self-signed", "self_signed", "is self-signed", serve(proxytest.SelfSigned(t, "bad.test"))},
		{"unknown root", "unknown_root", "CN=unknown root", serve(stranger.Issue(t, nil, nil, "bad.test"))},
		{"incomplete chain", "incomplete_chain", "without the intermediate", serve(incomplete)},
		{"weak key", "weak_key", "1024 bits", serve(root.Issue(t, weak, nil, "bad.test"))},
		{"TLS 1.0 only", "protocol", "older than 1.2", serve(root.Issue(t, nil, nil, "bad.test"), func(s *httptest.Server) {
			s.TLS.MinVersion, s.TLS.MaxVersion = tls.VersionTLS10, tls.VersionTLS10
		})},
		{"closes mid-handshake", "closed", "closed the connection during", proxytest.Listen(t, func(c net.Conn) {
			io.ReadAtLeast(c, make([]byte, 4096), 5)
			c.Close()
		})},
		{"speaks something else", "not_tls", "does not speak TLS", proxytest.Listen(t, func(c net.Conn) {
			io.WriteString(c, "SSH-2.0-OpenSSH_9.2p1\r\n")
			io.Copy(io.Discard, c)
		})},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tn := proxytest.Start(t, proxytest.Setup{Roots: root.Pool(), ConnectTo: map[string]string{"bad.test:443": c.addr}})
			_, res := tn.Connect(t, "bad.test:443")
			f := tn.WaitFailure(t)
			if f.Kind != status.OriginTLS || f.Reason != c.reason || f.Host != "bad.test:443" {
				t.Errorf("failure %+v", f)
			}
			proxytest.SameEverywhere(t, res, 502, c.says)
		})
	}
	t.Run("a complete chain is good", func(t *testing.T) {
		addr := serve(inter.Issue(t, nil, nil, "good.test"))
		tn := proxytest.Start(t, proxytest.Setup{Roots: root.Pool(), ConnectTo: map[string]string{"good.test:443": addr}})
		if _, res := tn.Connect(t, "good.test:443"); res.StatusCode != 200 {
			t.Error(res.Status)
		}
	})
}

func TestUnreachableOrigins(t *testing.T) {
	closed := proxytest.Refuse(t)
	silent := proxytest.Listen(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	resolver := proxytest.Resolver(t, func(name string) []netip.Addr { return nil })
	for _, c := range []struct {
		name, host string
		kind       status.Kind
		code       int
		says       string
	}{
		{"refused", "refused.test:443", status.OriginRefused, 502, "refused the connection"},
		{"does not resolve", "nowhere.test:443", status.NameNotFound, 502, "nowhere.test does not resolve"},
		{"does not answer", "silent.test:443", status.OriginTimeout, 504, "waited for the TLS handshake with " + silent},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tn := proxytest.Start(t, proxytest.Setup{Roots: x509.NewCertPool(), Resolver: resolver,
				ConnectTo: map[string]string{"refused.test:443": closed, "silent.test:443": silent}})
			_, res := tn.Connect(t, c.host)
			if f := tn.WaitFailure(t); f.Kind != c.kind {
				t.Errorf("failure %+v", f)
			}
			proxytest.SameEverywhere(t, res, c.code, c.says)
		})
	}
}

// A tunnel function that never returns does not keep the client waiting.
func TestAlwaysAnswers(t *testing.T) {
	t.Parallel()
	resolver := proxytest.Resolver(t, func(string) []netip.Addr { select {} })
	tn := proxytest.Start(t, proxytest.Setup{Roots: x509.NewCertPool(), Resolver: resolver})
	begin := time.Now()
	_, res := tn.Connect(t, "slow-dns.test:443")
	// The bound is the product's promise (Node gives up after 5 s); the slack is
	// for a loaded machine.
	if took := time.Since(begin); took > 9*time.Second {
		t.Errorf("answered after %s", took)
	}
	proxytest.SameEverywhere(t, res, 504, "the name server")
}

func TestBypassAttempts(t *testing.T) {
	var flips atomic.Int64
	answers := map[string]string{
		"metadata.test": "169.254.169.254", "mapped.test": "::ffff:127.0.0.1", "nat64.test": "64:ff9b::a9fe:a9fe",
		"private.test": "10.0.0.1", "loop6.test": "::1", "ula.test": "fd00:ec2::254", "docs.test": "192.0.2.1",
	}
	resolver := proxytest.Resolver(t, func(name string) []netip.Addr {
		if name == "rebind.test" {
			// Public to whoever asks first, loopback ever after.
			if flips.Add(1) == 1 {
				return []netip.Addr{netip.MustParseAddr("198.41.0.4")}
			}
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}
		}
		if a, ok := answers[name]; ok {
			return []netip.Addr{netip.MustParseAddr(a)}
		}
		return nil
	})
	var reached atomic.Int64
	proxytest.Listen(t, func(c net.Conn) { reached.Add(1); c.Close() })
	tn := proxytest.Start(t, proxytest.Setup{Roots: x509.NewCertPool(), Resolver: resolver,
		Rules: policy.Rules{Deny: []string{"evil.test", "*.evil.test"}}})
	for _, target := range []string{
		"evil.test:443", "EVIL.test:443", "evil.test.:443", "sub.Evil.TEST.:443",
		"127.0.0.1:443", "[::1]:443", "[::ffff:127.0.0.1]:443", "[::ffff:7f00:1]:443", "2130706433:443", "0x7f000001:443", "0177.0.0.1:443",
		"127.1:443", "0:443", "[64:ff9b::7f00:1]:443", "[fe80::1%25lo]:443", "169.254.169.254:443", "localhost:443",
		"metadata.test:443", "mapped.test:443", "nat64.test:443", "private.test:443", "loop6.test:443", "ula.test:443", "docs.test:443",
	} {
		_, res := tn.Connect(t, target)
		if res.StatusCode != 403 && res.StatusCode != 400 {
			t.Errorf("%s: %s", target, res.Status)
		}
	}
	for _, target := range []string{"origin.test:22", "origin.test:80", "origin.test:8443"} {
		_, res := tn.Connect(t, target)
		proxytest.SameEverywhere(t, res, 403, "port")
	}
	for _, target := range []string{"a..b:443", "origin.test", "origin.test:0", "origin.test:99999", "http://origin.test:443", "origin.test:443/x", "a%00b:443", "a\x7fb:443"} {
		_, res := tn.Connect(t, target)
		if res.StatusCode != 400 {
			t.Errorf("%q: %s", target, res.Status)
		}
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d connections got through", n)
	}
}

// The address that was checked is the address that is dialled: a name that
// changes its answer gets nowhere.
func TestRebinding(t *testing.T) {
	var asked atomic.Int64
	resolver := proxytest.Resolver(t, func(name string) []netip.Addr {
		asked.Add(1)
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	})
	var reached atomic.Int64
	addr := proxytest.Listen(t, func(c net.Conn) { reached.Add(1); c.Close() })
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	tn := proxytest.Start(t, proxytest.Setup{Roots: x509.NewCertPool(), Resolver: resolver, Rules: policy.Rules{Allow: []string{"*:" + port}}})
	for range 20 {
		_, res := tn.Connect(t, "rebind.test:"+port)
		proxytest.SameEverywhere(t, res, 403, "resolves to 127.0.0.1, a loopback address")
	}
	if reached.Load() != 0 || asked.Load() == 0 {
		t.Errorf("reached %d times, asked %d times", reached.Load(), asked.Load())
	}
	t.Run("unless listed", func(t *testing.T) {
		tn := proxytest.Start(t, proxytest.Setup{Roots: x509.NewCertPool(), Resolver: resolver,
			Rules: policy.Rules{Allow: []string{"*:" + port}, Private: []string{"127.0.0.1"}}})
		tn.Connect(t, "listed.test:"+port)
		if reached.Load() == 0 {
			t.Error("a listed address was not dialled")
		}
	})
}

// A name that is an alias of a denied one is denied where the rule says so,
// wherever in the chain that stands, and nobody is dialled.
func TestAliasesOfDeniedNames(t *testing.T) {
	root := proxytest.NewCA(t, "root")
	addr := proxytest.Origin(t, root.Issue(t, nil, nil, "first.test", "last.test", "free.test", "plain.test"), proxytest.OK)
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	resolver := proxytest.AliasResolver(t, map[string][]string{
		"first.test": {"evil.test", "cdn.test"}, "last.test": {"cdn.test", "evil.test"}, "free.test": {"cdn.test"}, "plain.test": {"denied.test"},
	}, func(string) []netip.Addr { return []netip.Addr{netip.MustParseAddr("127.0.0.1")} })
	tn := proxytest.Start(t, proxytest.Setup{Roots: root.Pool(), Resolver: resolver, Rules: policy.Rules{
		Allow: []string{"*:" + port}, Private: []string{"127.0.0.1"}, Deny: []string{"cname:evil.test", "denied.test"}}})
	for name, denied := range map[string]bool{"first.test": true, "last.test": true, "free.test": false, "plain.test": false} {
		conn, res := tn.Connect(t, name+":"+port)
		conn.Close()
		if !denied {
			if res.StatusCode != 200 {
				t.Errorf("%s: %s", name, res.Status)
			}
			continue
		}
		proxytest.SameEverywhere(t, res, 403, name+` is an alias of evil.test, which is denied by the rule deny "cname:evil.test"`)
	}
}

// Who asks where a name leads gets the decisions that a dial gets.
func TestResolve(t *testing.T) {
	resolver := proxytest.AliasResolver(t, map[string][]string{"first.test": {"evil.test"}, "free.test": {"cdn.test"}}, func(string) []netip.Addr {
		return []netip.Addr{netip.MustParseAddr("1.1.1.1"), netip.MustParseAddr("10.0.0.1")}
	})
	p, err := policy.New(policy.Rules{Deny: []string{"cname:evil.test"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{
		"first.test": {`1.1.1.1 false deny "cname:evil.test"`, `10.0.0.1 false deny "cname:evil.test"`},
		"free.test":  {"1.1.1.1 true public address", "10.0.0.1 false private addresses"},
	} {
		target, err := policy.ParseTarget(name + ":443")
		if err != nil {
			t.Fatal(err)
		}
		judged, err := egress.Resolve(t.Context(), resolver, p, target)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, j := range judged {
			got = append(got, fmt.Sprintf("%s %t %s", j.Address, j.Decision.Allowed, j.Decision.Rule))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestClientCertificateRequested(t *testing.T) {
	root := proxytest.NewCA(t, "root")
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			addr := proxytest.Origin(t, root.Issue(t, nil, nil, "mtls.test"), proxytest.OK, func(s *httptest.Server) {
				s.TLS.ClientAuth, s.TLS.MaxVersion = tls.RequireAnyClientCert, version
			})
			tn := proxytest.Start(t, proxytest.Setup{Roots: root.Pool(), ConnectTo: map[string]string{"mtls.test:443": addr}})
			// In TLS 1.3 the origin says so only after the handshake.
			if res, err := tn.Client(t, false).Get("https://mtls.test/"); err == nil {
				res.Body.Close()
				if res.StatusCode != 502 {
					t.Errorf("got %s", res.Status)
				}
			}
			if f := tn.WaitFailure(t); f.Kind != status.ClientCertRequested || !strings.Contains(f.Advice, "passthrough") {
				t.Errorf("failure %+v", f)
			}
		})
	}
	t.Run("passthrough carries it", func(t *testing.T) {
		addr := proxytest.Origin(t, root.Issue(t, nil, nil, "mtls.test"), proxytest.OK, func(s *httptest.Server) { s.TLS.ClientAuth = tls.RequireAnyClientCert })
		tn := proxytest.Start(t, proxytest.Setup{Roots: root.Pool(), ConnectTo: map[string]string{"mtls.test:443": addr},
			Rules: policy.Rules{Passthrough: []string{"mtls.test"}}})
		c := tn.Client(t, false)
		tr := c.Transport.(*http.Transport)
		tr.TLSClientConfig.RootCAs = root.Pool()
		tr.TLSClientConfig.Certificates = []tls.Certificate{root.Issue(t, nil, nil, "client.test")}
		res, err := c.Get("https://mtls.test/")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if got := res.TLS.PeerCertificates[0].Issuer.CommonName; got != "root" {
			t.Errorf("the leaf is issued by %q: it was re-terminated", got)
		}
	})
}

// A client that does not trust our CA is on record, whatever its alert.
func TestClientRejectsOurCertificate(t *testing.T) {
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			tn := proxytest.ToOrigin(t, proxytest.OK)
			raw, _ := tn.Connect(t, "origin.test:443")
			conn := tls.Client(raw, &tls.Config{ServerName: "origin.test", RootCAs: x509.NewCertPool(), MaxVersion: version})
			if err := conn.Handshake(); err == nil {
				t.Fatal("an empty pool trusts us")
			}
			conn.Close()
			f := tn.WaitFailure(t)
			if f.Kind != status.ClientTLSRejected || f.Reason != "alert" || !strings.Contains(f.Detail, "bad certificate") {
				t.Errorf("failure %+v", f)
			}
		})
	}
	t.Run("OpenSSL's alert in the clear", func(t *testing.T) {
		tn := proxytest.ToOrigin(t, proxytest.OK)
		raw, _ := tn.Connect(t, "origin.test:443")
		conn := tls.Client(raw, &tls.Config{ServerName: "origin.test", RootCAs: tn.Roots})
		if err := conn.Handshake(); err != nil {
			t.Fatal(err)
		}
		raw.Write([]byte{21, 3, 3, 0, 2, 2, 48}) // fatal, unknown_ca
		raw.Close()
		if f := tn.WaitFailure(t); f.Kind != status.ClientTLSRejected || f.Reason != "alert" {
			t.Errorf("failure %+v", f)
		}
	})
	t.Run("no TLS at all", func(t *testing.T) {
		tn := proxytest.ToOrigin(t, proxytest.OK)
		raw, _ := tn.Connect(t, "origin.test:443")
		io.WriteString(raw, "GET / HTTP/1.1\r\nHost: origin.test\r\n\r\n")
		if f := tn.WaitFailure(t); f.Kind != status.NotTLS {
			t.Errorf("failure %+v", f)
		}
	})
}

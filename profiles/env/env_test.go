package env

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestApplyKeepsOrder(t *testing.T) {
	in := []string{"A=1", "B=2", "A=3", "odd", "C=", "D=x=y"}
	got := Apply(in, []Edit{{Name: "N", Value: "new"}, {Name: "A", Value: "one"}, {Name: "C", Unset: true}, {Name: "M", Value: ""}})
	want := []string{"A=one", "B=2", "odd", "D=x=y", "N=new", "M="}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if in[0] != "A=1" {
		t.Error("the input was changed")
	}
}

func TestNoProxy(t *testing.T) {
	for in, want := range map[string]string{
		"":                               "localhost,127.0.0.1,::1",
		"Example.COM, .b.test  *.c.test": "localhost,127.0.0.1,::1,example.com,.example.com,.b.test,.c.test",
		"localhost,10.0.0.0/8,host,[::1]:80,h.test:443": "localhost,127.0.0.1,::1,10.0.0.0/8,host,[::1]:80,h.test:443",
		"a.test,a.test,.a.test":                         "localhost,127.0.0.1,::1,a.test,.a.test",
		",,":                                            "localhost,127.0.0.1,::1",
	} {
		got := NoProxy("localhost,127.0.0.1,::1", in)
		if got != want {
			t.Errorf("%q:\n got %s\nwant %s", in, got, want)
		}
		if again := NoProxy(got); again != got {
			t.Errorf("%q grows when merged again: %s", in, again)
		}
	}
}

func TestNonProxyHosts(t *testing.T) {
	got := NonProxyHosts(NoProxy("localhost,127.0.0.1,::1", "a.test,10.0.0.0/8,192.0.2.1"))
	if want := "localhost|127.*|[::1]|a.test|*.a.test|192.0.2.1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

var tunnel = Tunnel{URL: "http://127.0.0.1:4711", Host: "127.0.0.1", Port: "4711", StateDir: "/s", CA: "/s/ca.crt", Bundle: "/s/bundle.crt",
	JavaStore: "/s/java.p12", JavaStorePassword: "changeit", Wgetrc: "/s/wgetrc", Run: "R"}

func TestBase(t *testing.T) {
	before := []string{"PATH=/bin", "http_proxy=http://elsewhere:1", "ALL_PROXY=socks5://x", "NO_PROXY=corp.test", "no_proxy=low.test", "NODE_EXTRA_CA_CERTS=/mine.pem", "JAVA_TOOL_OPTIONS=-Xmx1g"}
	after := Apply(before, Base(tunnel, before))
	for name, want := range map[string]string{
		"PATH": "/bin", "HTTPS_PROXY": tunnel.URL, "https_proxy": tunnel.URL, "http_proxy": "", "ALL_PROXY": "",
		"NO_PROXY": "localhost,127.0.0.1,::1,corp.test,.corp.test,low.test,.low.test", "SSL_CERT_FILE": tunnel.Bundle,
		"NODE_EXTRA_CA_CERTS": tunnel.Bundle, // the user's own is in the bundle
		"DENO_CERT":           tunnel.CA,     // adds to the tool's roots
		"AGENT_PROXY_PORT":    "4711", "AGENT_PROXY_RUN": "R", "HTTP_PROXY": "", "GIT_SSL_NO_VERIFY": "", "HTTPS_CA_FILE": "", "NODE_OPTIONS": "",
	} {
		if got := Get(after, name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	java := Get(after, "JAVA_TOOL_OPTIONS")
	if !strings.HasPrefix(java, "-Xmx1g ") || !strings.Contains(java, "-Dhttps.proxyPort=4711") {
		t.Errorf("JAVA_TOOL_OPTIONS = %q", java)
	}
	for _, e := range Base(tunnel, before) {
		if e.Reason == "" {
			t.Errorf("%s is changed without a reason", e.Name)
		}
	}
	// An exec inside an exec adds nothing twice.
	if diff := cmp.Diff(after, Apply(after, Base(tunnel, after))); diff != "" {
		t.Errorf("nested (-once +twice):\n%s", diff)
	}
}

func TestUsersTrustStoreStays(t *testing.T) {
	before := []string{"JAVA_TOOL_OPTIONS=-Djavax.net.ssl.trustStore=/mine.jks"}
	java := Get(Apply(before, Base(tunnel, before)), "JAVA_TOOL_OPTIONS")
	if strings.Count(java, "trustStore=") != 1 || !strings.Contains(java, "/mine.jks") {
		t.Errorf("got %q", java)
	}
}

func TestUserCAs(t *testing.T) {
	got := UserCAs([]string{"SSL_CERT_FILE=/a", "CURL_CA_BUNDLE=/a", "SSL_CERT_DIR=/d1:/d2", "PIP_CERT="})
	if diff := cmp.Diff([]string{"/a", "/d1", "/d2"}, got); diff != "" {
		t.Error(diff)
	}
}

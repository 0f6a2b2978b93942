package front_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/front"
	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/proxytest"
	"github.com/agentproxy/agentproxy/proxy/status"
)

func TestStatusRoutes(t *testing.T) {
	tn := proxytest.ToOrigin(t, proxytest.OK)
	host := tn.URL.Host
	_, port, _ := net.SplitHostPort(host)
	get := func(path, extra string) string {
		return "GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\n" + extra + "\r\n"
	}
	for _, c := range []struct {
		name, request string
		code          int
		says          string
	}{
		{"status", get(status.Path, ""), 200, `"enabled": true`},
		{"status, as curl with http_proxy asks", "GET http://" + host + status.Path + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 200, `"enabled": true`},
		{"by the name localhost", "GET " + status.Path + " HTTP/1.1\r\nHost: localhost:" + port + "\r\n\r\n", 200, `"enabled": true`},
		{"our CA", get(status.CAPath, ""), 200, "BEGIN CERTIFICATE"},
		{"healthz", get(status.HealthzPath, ""), 200, "ok"},
		{"HTTP/1.0", "GET " + status.HealthzPath + " HTTP/1.0\r\nHost: " + host + "\r\n\r\n", 200, "ok"},
		{"unknown page", get(status.Prefix+"nope", ""), 404, status.Path},
		{"only GET", "POST " + status.Path + " HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 0\r\n\r\n", 405, "GET"},
		{"same origin", get(status.Path, "Origin: http://"+host+"\r\nSec-Fetch-Site: same-origin\r\n"), 200, "enabled"},
		{"a page elsewhere", get(status.Path, "Origin: https://evil.example\r\n"), 403, "cross-site"},
		{"a page elsewhere without Origin", get(status.Path, "Sec-Fetch-Site: cross-site\r\n"), 403, "cross-site"},
		{"a page on another port", get(status.Path, "Origin: http://127.0.0.1:1\r\nSec-Fetch-Site: same-site\r\n"), 403, "cross-site"},
		{"a sandboxed page", get(status.Path, "Origin: null\r\n"), 403, "cross-site"},
		{"DNS rebinding", "GET " + status.Path + " HTTP/1.1\r\nHost: rebind.example:" + port + "\r\n\r\n", 403, "loopback"},
		{"DNS rebinding in absolute form", "GET http://rebind.example" + status.Path + " HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 405, "HTTPS-only"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, res := tn.Send(t, c.request)
			if got := proxytest.Body(t, res); res.StatusCode != c.code || !strings.Contains(got, c.says) {
				t.Errorf("got %s %q, want %d and %q", res.Status, got, c.code, c.says)
			}
		})
	}
}

func TestWhatIsNotCONNECT(t *testing.T) {
	tn := proxytest.ToOrigin(t, proxytest.OK)
	for _, c := range []struct {
		name, request string
		code          int
		says          []string
	}{
		{"a plain-HTTP request", "GET http://registry.example/pkg HTTP/1.1\r\nHost: registry.example\r\n\r\n", 405, []string{"http://registry.example", "HTTP_PROXY", "https://"}},
		{"a POST", "POST http://x.example/ HTTP/1.1\r\nHost: x.example\r\nContent-Length: 3\r\n\r\nabc", 405, []string{"http://x.example"}},
		{"a request to the proxy itself", "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 405, []string{"this port is a proxy", status.Path}},
		{"TLS to the proxy port", "\x16\x03\x01\x02\x00\x01\x00", 400, []string{"opened TLS to the proxy port", "http://"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, res := tn.Send(t, c.request)
			got := proxytest.Body(t, res)
			for _, says := range c.says {
				if !strings.Contains(got, says) {
					t.Errorf("the body does not say %q: %q", says, got)
				}
			}
			if res.StatusCode != c.code || c.code == 405 && res.Header.Get("Allow") != "CONNECT" {
				t.Errorf("got %s, Allow %q", res.Status, res.Header.Get("Allow"))
			}
		})
	}
	if f := tn.Failures(); len(f) != 4 || f[0].Kind != status.PlainHTTP {
		t.Errorf("failures %v", f)
	}
}

func TestAbsoluteFormHTTPS(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %s", r.Method, r.Host, r.RequestURI, b)
	})
	root := proxytest.NewCA(t, "root")
	addr := proxytest.Origin(t, root.Issue(t, nil, nil, "origin.test"), h)
	tn := proxytest.Start(t, proxytest.Setup{Roots: root.Pool(), ConnectTo: map[string]string{"origin.test:443": addr}, Rules: policy.Rules{Deny: []string{"evil.test"}}})
	_, res := tn.Send(t, "POST https://origin.test/a?b=c;d HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\n\r\nbody")
	if got := proxytest.Body(t, res); got != "POST origin.test /a?b=c;d body" {
		t.Errorf("got %s %q", res.Status, got)
	}
	_, res = tn.Send(t, "GET https://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n")
	if got := proxytest.Body(t, res); res.StatusCode != 403 || !strings.Contains(got, `deny "evil.test"`) {
		t.Errorf("the policy does not hold here: %s %q", res.Status, got)
	}
	t.Run("a client that closes its side", func(t *testing.T) { // BusyBox's wget
		conn, err := net.Dial("tcp", tn.URL.Host)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, "GET https://origin.test/half HTTP/1.1\r\nHost: origin.test\r\n\r\n")
		conn.(*net.TCPConn).CloseWrite()
		got, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 200 OK") || !strings.HasSuffix(string(got), "GET origin.test /half ") {
			t.Errorf("%q, error %v", got, err)
		}
	})
	t.Run("switched off", func(t *testing.T) {
		tn := proxytest.Start(t, proxytest.Setup{Roots: root.Pool(), Change: func(f *front.Front) { f.Routes.(*front.Routes).Carry = nil }})
		_, res := tn.Send(t, "GET https://origin.test/ HTTP/1.1\r\nHost: origin.test\r\n\r\n")
		if got := proxytest.Body(t, res); res.StatusCode != 405 || !strings.Contains(got, "axios") {
			t.Errorf("got %s %q", res.Status, got)
		}
	})
}

// A SOCKS client is answered in SOCKS, at once, and it is known where it wanted to
// go.
func TestSOCKSIsAnsweredInSOCKS(t *testing.T) {
	for name, c := range map[string]struct{ send, answer, host string }{
		"5, a name":        {"\x05\x01\x00" + "\x05\x01\x00\x03\x06a.test\x01\xbb", "\x05\x00\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00", "a.test:443"},
		"5, more methods":  {"\x05\x03\x00\x01\x02" + "\x05\x01\x00\x03\x06a.test\x01\xbb", "\x05\x00\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00", "a.test:443"},
		"5, IPv4":          {"\x05\x01\x00" + "\x05\x01\x00\x01\x08\x08\x08\x08\x00\x50", "\x05\x00\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00", "8.8.8.8:80"},
		"5, IPv6":          {"\x05\x01\x00" + "\x05\x01\x00\x04" + strings.Repeat("\x20\x01", 8) + "\x00\x50", "\x05\x00\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00", "[2001:2001:2001:2001:2001:2001:2001:2001]:80"},
		"5, greeting only": {"\x05\x01\x00", "\x05\x00", ""},
		"4":                {"\x04\x01\x01\xbb\x08\x08\x08\x08user\x00", "\x00\x5b\x00\x00\x00\x00\x00\x00", "8.8.8.8:443"},
		"4A":               {"\x04\x01\x01\xbb\x00\x00\x00\x01\x00a.test\x00", "\x00\x5b\x00\x00\x00\x00\x00\x00", "a.test:443"},
	} {
		t.Run(name, func(t *testing.T) {
			tn := proxytest.ToOrigin(t, proxytest.OK)
			conn, err := net.Dial("tcp", tn.URL.Host)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			io.WriteString(conn, c.send)
			conn.(*net.TCPConn).CloseWrite()
			if got, err := io.ReadAll(conn); err != nil || string(got) != c.answer {
				t.Errorf("%q, error %v", got, err)
			}
			if f := tn.WaitFailure(t); f.Kind != status.PlainHTTP || f.Host != c.host || !strings.Contains(f.Detail, "SOCKS "+name[:1]) {
				t.Errorf("%+v", f)
			}
		})
	}
}

func TestRequestHeadLimits(t *testing.T) {
	tn := proxytest.ToOrigin(t, proxytest.OK)
	for _, c := range []struct {
		name, request string
		code          int
	}{
		{"HTTP/1.0 without Host", "CONNECT origin.test:443 HTTP/1.0\r\n\r\n", 200},
		{"bare line feeds", "CONNECT origin.test:443 HTTP/1.1\nHost: origin.test\n\n", 200},
		{"too large", "CONNECT origin.test:443 HTTP/1.1\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", 431},
		{"another version", "CONNECT origin.test:443 HTTP/3\r\n\r\n", 400},
		{"no version", "CONNECT origin.test:443\r\n\r\n", 400},
		{"a line that is no header", "CONNECT origin.test:443 HTTP/1.1\r\nno header\r\n\r\n", 400},
		{"a space in the host", "CONNECT a b:443 HTTP/1.1\r\n\r\n", 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, res := tn.Send(t, c.request)
			if res.StatusCode != c.code {
				t.Errorf("got %s, want %d", res.Status, c.code)
			}
		})
	}
}

func TestSlowRequestHead(t *testing.T) {
	tn := proxytest.Start(t, proxytest.Setup{Roots: x509.NewCertPool(), Change: func(f *front.Front) { f.HeadTimeout = 100 * time.Millisecond }})
	_, res := tn.Send(t, "CONNECT origin.test:443 HTTP/1.1\r\nHost:")
	if res.StatusCode != 408 {
		t.Errorf("got %s", res.Status)
	}
}

// Half-close passes in both directions through an opaque tunnel.
func TestHalfClose(t *testing.T) {
	addr := proxytest.Listen(t, func(c net.Conn) {
		defer c.Close()
		got, _ := io.ReadAll(c) // until the client's half-close
		io.WriteString(c, strings.ToUpper(string(got)))
		c.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c)
	})
	tn := proxytest.Start(t, proxytest.Setup{Roots: x509.NewCertPool(), ConnectTo: map[string]string{"raw.test:443": addr}, Rules: policy.Rules{Passthrough: []string{"raw.test"}}})
	c, res := tn.Connect(t, "raw.test:443")
	if res.StatusCode != 200 {
		t.Fatal(res.Status)
	}
	io.WriteString(c, "hello")
	c.(interface{ CloseWrite() error }).CloseWrite()
	if got, err := io.ReadAll(c); err != nil || string(got) != "HELLO" {
		t.Errorf("got %q, %v", got, err)
	}
	t.Run("data sent together with CONNECT", func(t *testing.T) {
		c, res := tn.Send(t, "CONNECT raw.test:443 HTTP/1.1\r\n\r\nearly")
		if res.StatusCode != 200 {
			t.Fatal(res.Status)
		}
		c.(interface{ CloseWrite() error }).CloseWrite()
		if got, err := io.ReadAll(c); err != nil || string(got) != "EARLY" {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

// Whatever clients do, nothing of it stays.
func TestNoGoroutineLeak(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("work", func(t *testing.T) {
		tn := proxytest.ToOrigin(t, proxytest.OK)
		for range 20 {
			c, _ := tn.Connect(t, "origin.test:443")
			c.Close() // without a handshake
			c, _ = tn.Connect(t, "evil..test:443")
			c.Close()
			res, err := tn.Client(t, true).Get("https://origin.test/")
			if err != nil {
				t.Fatal(err)
			}
			proxytest.Body(t, res)
		}
		idle, _ := tn.Connect(t, "origin.test:443")
		defer idle.Close()
	})
	var now int
	for range 200 {
		if now = runtime.NumGoroutine(); now <= before+2 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	buf := make([]byte, 1<<20)
	t.Errorf("%d goroutines before, %d after:\n%s", before, now, buf[:runtime.Stack(buf, true)])
}

// An idle tunnel is two goroutines, one each way: ten thousand of them are held by one daemon.
func TestIdleTunnelsAreTwoGoroutines(t *testing.T) {
	const tunnels = 100
	accepted := make(chan net.Conn, tunnels)
	addr := proxytest.Listen(t, func(c net.Conn) { accepted <- c })
	tn := proxytest.Start(t, proxytest.Setup{Roots: x509.NewCertPool(), ConnectTo: map[string]string{"raw.test:443": addr}, Rules: policy.Rules{Passthrough: []string{"raw.test"}}})
	before := runtime.NumGoroutine()
	for range tunnels {
		c, res := tn.Connect(t, "raw.test:443")
		if res.StatusCode != 200 {
			t.Fatal(res.Status)
		}
		io.WriteString(c, "x")
		(<-accepted).Read(make([]byte, 1))
	}
	var more int
	for range 200 {
		if more = runtime.NumGoroutine() - before; more <= 2*tunnels+tunnels/10 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("%d goroutines for %d idle tunnels", more, tunnels)
}

// upstream is a CONNECT proxy in a test's hand.
func upstream(t *testing.T, answer func(target string, head http.Header) string) *url.URL {
	addr := proxytest.Listen(t, func(c net.Conn) {
		defer c.Close()
		br := bufio.NewReader(c)
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		a := answer(r.RequestURI, r.Header)
		io.WriteString(c, a)
		if strings.Contains(a, " 200 ") {
			io.Copy(c, br) // an echo behind the tunnel
		}
	})
	return &url.URL{Scheme: "http", Host: addr}
}

func behind(t *testing.T, u *url.URL) *proxytest.Tunnel {
	clean := *u
	clean.User = nil
	return proxytest.Start(t, proxytest.Setup{Tunnel: (&front.Upstream{URL: u, Name: clean.String()}).Tunnel})
}

func TestUpstreamCarries(t *testing.T) {
	u := upstream(t, func(target string, head http.Header) string {
		want := "Basic " + base64.StdEncoding.EncodeToString([]byte("user:p:w@"))
		if target != "origin.test:443" || head.Get("Proxy-Authorization") != want {
			return "HTTP/1.1 407 No\r\n\r\n"
		}
		return "HTTP/1.1 200 OK\r\nX: y\r\n\r\nearly "
	})
	u.User = url.UserPassword("user", "p:w@")
	tn := behind(t, u)
	c, res := tn.Connect(t, "Origin.TEST.:443")
	if res.StatusCode != 200 {
		t.Fatal(res.Status)
	}
	io.WriteString(c, "echo")
	c.(interface{ CloseWrite() error }).CloseWrite()
	if got, err := io.ReadAll(c); err != nil || string(got) != "early echo" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestUpstreamRefusalKeepsItsWords(t *testing.T) {
	for _, c := range []struct {
		answer string
		status string
		kind   status.Kind
		header string
	}{
		{"HTTP/1.1 403 Not On The List\r\nX-Deny-Reason: because\r\nContent-Length: 5\r\n\r\nsorry", "403 Not On The List", status.ConnectRejected, "because"},
		{"HTTP/1.1 407 Who Are You\r\nProxy-Authenticate: Basic realm=\"corp\"\r\nX-Deny-Reason: x\r\nContent-Length: 5\r\n\r\nsorry", "407 Who Are You", status.ProxyAuthRequired, "x"},
		{"HTTP/1.1 503 Down\r\nX-Deny-Reason: y\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nsorry\r\n0\r\n\r\n", "503 Down", status.ConnectRejected, "y"},
		{"HTTP/1.0 502 Old\r\nX-Deny-Reason: z\r\n\r\nsorry", "502 Old", status.ConnectRejected, "z"},
	} {
		t.Run(c.status, func(t *testing.T) {
			u := upstream(t, func(string, http.Header) string { return c.answer })
			tn := behind(t, u)
			_, res := tn.Connect(t, "origin.test:443")
			if got := proxytest.Body(t, res); res.Status != c.status || got != "sorry" || res.Header.Get("X-Deny-Reason") != c.header {
				t.Errorf("got %s %q %v", res.Status, got, res.Header)
			}
			if c.kind == status.ProxyAuthRequired && res.Header.Get("Proxy-Authenticate") == "" {
				t.Error("the challenge is lost")
			}
			f := tn.WaitFailure(t)
			if f.Kind != c.kind || f.By != u.String() || !strings.Contains(f.Detail, c.status) {
				t.Errorf("failure %+v", f)
			}
		})
	}
}

func TestUpstreamUnreachable(t *testing.T) {
	silent := proxytest.Listen(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	closing := proxytest.Listen(t, func(c net.Conn) { bufio.NewReader(c).ReadString('\n'); c.Close() })
	for _, c := range []struct {
		name, addr string
		code       int
		says       string
	}{
		{"refused", proxytest.Refuse(t), 502, "refused"},
		{"closes", closing, 502, "cannot be reached"},
		{"silent", silent, 504, "did not answer in time"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			u := &url.URL{Scheme: "http", Host: c.addr, User: url.UserPassword("me", "hunter2")}
			tn := behind(t, u)
			_, res := tn.Connect(t, "origin.test:443")
			proxytest.SameEverywhere(t, res, c.code, c.says)
			f := tn.WaitFailure(t)
			raw, err := json.Marshal(f)
			if err != nil {
				t.Fatal(err)
			}
			if f.Kind != status.UpstreamUnreachable || bytes.Contains(raw, []byte("hunter2")) {
				t.Errorf("failure %s", raw)
			}
		})
	}
}

func TestHTTPSUpstream(t *testing.T) {
	root := proxytest.NewCA(t, "corp")
	cert := root.Issue(t, nil, nil, "localhost", "127.0.0.1")
	addr := proxytest.Listen(t, func(c net.Conn) {
		s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})
		defer s.Close()
		br := bufio.NewReader(s)
		if _, err := http.ReadRequest(br); err != nil {
			return
		}
		io.WriteString(s, "HTTP/1.1 200 OK\r\n\r\n")
		io.Copy(s, br)
	})
	for _, trusted := range []bool{true, false} {
		u := &front.Upstream{URL: &url.URL{Scheme: "https", Host: addr}, Name: "https://" + addr, Roots: x509.NewCertPool()}
		if trusted {
			u.Roots = root.Pool()
		}
		tn := proxytest.Start(t, proxytest.Setup{Tunnel: u.Tunnel})
		c, res := tn.Connect(t, "origin.test:443")
		if !trusted {
			if res.StatusCode != 502 {
				t.Errorf("an untrusted upstream: %s", res.Status)
			}
			continue
		}
		io.WriteString(c, "ping")
		got := make([]byte, 4)
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "ping" {
			t.Errorf("got %q, %v", got, err)
		}
	}
}

func TestCredentials(t *testing.T) {
	root := proxytest.NewCA(t, "root")
	addr := proxytest.Origin(t, root.Issue(t, nil, nil, "origin.test"), proxytest.OK)
	tn := proxytest.Start(t, proxytest.Setup{Roots: root.Pool(), ConnectTo: map[string]string{"origin.test:443": addr}, Change: func(f *front.Front) {
		f.Authorize = func(u, p string) bool { return front.SameCredentials(u, p, "ci", "s3cret") }
	}})
	for credentials, code := range map[string]int{"": 407, "ci:wrong": 407, "other:s3cret": 407, "ci:s3cret": 200} {
		request := "CONNECT origin.test:443 HTTP/1.1\r\n"
		if credentials != "" {
			request += "Proxy-Authorization: basic " + base64.StdEncoding.EncodeToString([]byte(credentials)) + "\r\n"
		}
		_, res := tn.Send(t, request+"\r\n")
		if res.StatusCode != code || code == 407 && res.Header.Get("Proxy-Authenticate") == "" {
			t.Errorf("%q: %s %v", credentials, res.Status, res.Header)
		}
	}
}

// Whatever bytes open a connection, a CONNECT is answered with a status line,
// and only a well-formed one with 200.
func FuzzConnect(f *testing.F) {
	for _, s := range []string{
		"CONNECT origin.test:443 HTTP/1.1\r\nHost: origin.test\r\n\r\n", "CONNECT [::1]:443 HTTP/1.0\r\n\r\n", "CONNECT  x HTTP/1.1\r\n\r\n",
		"CONNECT a:1 HTTP/1.1\r\nA: b\r\n c\r\n\r\n", "CONNECT a:1 HTTP/1.1\n\n", "CONNECT \x00:443 HTTP/1.1\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	seen := make(chan string, 1)
	tn := proxytest.Start(f, proxytest.Setup{Tunnel: func(_ context.Context, target string) (net.Conn, error) {
		if _, err := policy.ParseTarget(target); err != nil {
			return nil, &status.Failure{Kind: status.BadRequest, Code: 400, Detail: err.Error()}
		}
		seen <- target
		near, far := net.Pipe()
		far.Close()
		return near, nil
	}})
	f.Fuzz(func(t *testing.T, raw []byte) {
		if !bytes.HasPrefix(raw, []byte("CONNECT ")) || bytes.HasPrefix(raw, []byte("CONNECT /")) {
			return
		}
		c, err := net.Dial("tcp", tn.URL.Host)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(20 * time.Second))
		c.Write(raw)
		c.(*net.TCPConn).CloseWrite()
		res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: http.MethodConnect})
		if err != nil {
			t.Fatalf("%q: no answer: %v", raw, err)
		}
		if res.StatusCode != 200 {
			if res.StatusCode < 400 || res.Header.Get(status.ErrorHeader) == "" {
				t.Fatalf("%q: %s", raw, res.Status)
			}
			return
		}
		target := <-seen
		if want := "CONNECT " + target + " HTTP/1."; !bytes.HasPrefix(raw, []byte(want)) {
			t.Fatalf("%q was taken for %q", raw, target)
		}
	})
}

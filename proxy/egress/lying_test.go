package egress_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/agentproxy/agentproxy/proxy/proxytest"
	"github.com/agentproxy/agentproxy/proxy/proxytest/lying"
)

const lies = "../../testdata/lyingorigin/scripts"

// What an origin lies never reaches a client that did not ask, and what it
// cuts short never looks whole.
func TestLyingOrigins(t *testing.T) {
	scripts, err := lying.Load(os.DirFS(lies))
	if err != nil {
		t.Fatal(err)
	}
	if len(scripts) < 72 {
		t.Fatalf("only %d scripts", len(scripts))
	}
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("client h2 %v", h2), func(t *testing.T) {
			t.Parallel()
			root := proxytest.NewCA(t, "root")
			o := &lying.Origin{Scripts: scripts, Cert: root.Issue(t, nil, nil, "origin.test")}
			addr := proxytest.Listen(t, o.Serve)
			tn := proxytest.Start(t, proxytest.Setup{Roots: root.Pool(), ConnectTo: map[string]string{"origin.test:443": addr}})
			strangers := map[*http.Client][]string{
				tn.Client(t, h2): {"GET", "HEAD"}, // stays on the hand-written path
				tn.Client(t, h2): {"POST", "GET"}, // leaves it
			}
			for i, s := range scripts {
				t.Run(s.Name, func(t *testing.T) { lie(t, tn, o, i, h2, strangers) })
			}
		})
	}
}

// lie plays one script to a new client and asks as others, by their methods.
func lie(t *testing.T, tn *proxytest.Tunnel, o *lying.Origin, i int, h2 bool, strangers map[*http.Client][]string) {
	s := o.Scripts[i]
	client := tn.Client(t, h2)
	defer client.CloseIdleConnections()
	got, res := ask(t, client, s.Method, fmt.Sprint("https://origin.test", lying.Path, i), s.Body)
	if !slices.ContainsFunc(s.Expect, func(want string) bool { return got == want || want == "502" && strings.HasPrefix(got, "502 ") }) {
		t.Errorf("the client saw %.200q, want %q", got, s.Expect)
	}
	clean(t, res, h2)
	<-o.Done(i)
	for c, methods := range strangers {
		for _, method := range methods {
			uri := fmt.Sprintf("/own/%d?%s", i, method)
			own, res := ask(t, c, method, "https://origin.test"+uri, "")
			want := "200 " + lying.Truth(method, uri)
			if method == "HEAD" {
				want = "200"
			}
			if own != want || res.Header.Get("X-Own") != uri {
				t.Errorf("the next request, %s %s, was answered with %.200q %v", method, uri, own, res)
			}
		}
	}
}

// ask returns the answer in the words of lying.Script.Expect, and the answer
// itself unless there is none.
func ask(t *testing.T, c *http.Client, method, url, body string) (string, *http.Response) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.GetBody = nil // no second try
	res, err := c.Do(r)
	if err != nil {
		var mistrust *tls.CertificateVerificationError
		if errors.As(err, &mistrust) {
			t.Fatal(err)
		}
		t.Log(err)
		return "gone", nil
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Sprint(res.StatusCode, " cut"), res
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", res.StatusCode, got)), res
}

// clean looks for what no client must see.
func clean(t *testing.T, res *http.Response, h2 bool) {
	t.Helper()
	if res == nil {
		return
	}
	bad := func(s string) bool {
		return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
	}
	if bad(res.Status) {
		t.Errorf("status %q", res.Status)
	}
	// net/http's transport forgets which options stood beside "close", so that
	// this field passes where it carries the request.
	for _, h := range []http.Header{res.Header, res.Trailer} {
		for name, values := range h {
			if bad(name) || slices.ContainsFunc(values, bad) || name == "X-Evil-Hop" && !h2 {
				t.Errorf("field %q: %q", name, values)
			}
		}
	}
	for _, name := range []string{"Content-Length", "Transfer-Encoding", "Set-Cookie", "Host"} {
		if v, ok := res.Trailer[name]; ok {
			t.Errorf("trailer %s: %q", name, v)
		}
	}
}

// A client of HTTP/1.0 learns the end of an answer from the end of the
// connection alone: that of one cut short must be no orderly one.
func TestCutAnswersEndHTTP10ClientsByAReset(t *testing.T) {
	s, err := lying.Parse("cut", `
		expect 200 cut
		record "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"
		fin`)
	if err != nil {
		t.Fatal(err)
	}
	root := proxytest.NewCA(t, "root")
	o := &lying.Origin{Scripts: []*lying.Script{s}, Cert: root.Issue(t, nil, nil, "origin.test")}
	tn := proxytest.Start(t, proxytest.Setup{Roots: root.Pool(), ConnectTo: map[string]string{"origin.test:443": proxytest.Listen(t, o.Serve)}})
	c := dial(t, tn, "http/1.1")
	fmt.Fprintf(c, "GET %s0 HTTP/1.0\r\nHost: origin.test\r\n\r\n", lying.Path)
	if got, err := io.ReadAll(c); err == nil {
		t.Errorf("looks whole: %q", got)
	}
}

// Session tickets, which TLS 1.3 sends behind the handshake, keep no connection
// from being used again.
func TestTicketsDoNotStopReuse(t *testing.T) {
	var conns atomic.Int64
	root := proxytest.NewCA(t, "root")
	addr := proxytest.Origin(t, root.Issue(t, nil, nil, "origin.test"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.URL.Path)
	}), onlyHTTP1, func(s *httptest.Server) {
		s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
			if st == http.StateNew {
				conns.Add(1)
			}
		}
	})
	tn := proxytest.Start(t, proxytest.Setup{Roots: root.Pool(), ConnectTo: map[string]string{"origin.test:443": addr}})
	for range 20 {
		c := tn.Client(t, false)
		for range 5 {
			if got, _ := ask(t, c, "GET", "https://origin.test/x", ""); got != "200 /x" {
				t.Fatal(got)
			}
		}
		c.CloseIdleConnections()
	}
	// A client may be back before the connection is.
	if n := conns.Load(); n > 5 {
		t.Errorf("100 requests made %d connections to the origin", n)
	}
}

// An idle connection that the origin ends with a 408 is no answer to the next
// request, whatever its method, and whether it has a body.
func TestRequestTimeoutOnAnIdleConnection(t *testing.T) {
	s, err := lying.Parse("timeout", `
		expect "200 own"
		record "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nown"
		segment
		pause 5ms
		record "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
		close`)
	if err != nil {
		t.Fatal(err)
	}
	root := proxytest.NewCA(t, "root")
	scripts := make([]*lying.Script, 60)
	for i := range scripts {
		scripts[i] = s
	}
	o := &lying.Origin{Scripts: scripts, Cert: root.Issue(t, nil, nil, "origin.test")}
	addr := proxytest.Listen(t, o.Serve)
	tn := proxytest.Start(t, proxytest.Setup{Roots: root.Pool(), ConnectTo: map[string]string{"origin.test:443": addr}})
	client := tn.Client(t, true)
	for i := range scripts {
		if got, _ := ask(t, client, "GET", fmt.Sprint("https://origin.test", lying.Path, i), ""); got != "200 own" {
			t.Fatalf("the client saw %q", got)
		}
		<-o.Done(i)
		for _, body := range []string{"", "a body"} {
			if got, _ := ask(t, client, "POST", "https://origin.test/own", body); got != "200 "+lying.Truth("POST", "/own") {
				t.Fatalf("after %d timeouts a POST of %q was answered with %q", i, body, got)
			}
		}
	}
}

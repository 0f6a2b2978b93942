package egress_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/proxytest"
)

// raw opens a re-terminated HTTP/1.1 connection to origin.test.
func raw(t *testing.T, tn *proxytest.Tunnel) (*tls.Conn, *bufio.Reader) {
	t.Helper()
	tunnel, res := tn.Connect(t, "origin.test:443")
	if res.StatusCode != 200 {
		t.Fatal(res.Status)
	}
	c := tls.Client(tunnel, &tls.Config{ServerName: "origin.test", RootCAs: tn.Roots, NextProtos: []string{"http/1.1"}})
	t.Cleanup(func() { c.Close() })
	return c, bufio.NewReader(c)
}

func answer(t *testing.T, br *bufio.Reader, method string) (*http.Response, string) {
	t.Helper()
	res, err := http.ReadResponse(br, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	return res, proxytest.Body(t, res)
}

// One connection carries every sort of request in any order, also when they
// are sent ahead of the answers.
func TestMixedRequestsOnOneConnection(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, _ := io.ReadAll(r.Body)
		switch r.URL.Path {
		case "/hints":
			w.Header().Set("Link", "</x.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
		case "/204":
			w.WriteHeader(204)
			return
		case "/304":
			w.Header().Set("Etag", `"e"`)
			w.WriteHeader(304)
			return
		case "/close":
			w.Header().Set("Connection", "close")
		}
		fmt.Fprintf(w, "%s %s %s", r.Method, r.RequestURI, got)
	})
	tn := proxytest.ToOrigin(t, h, onlyHTTP1)
	c, br := raw(t, tn)
	host := " HTTP/1.1\r\nHost: origin.test\r\n"
	io.WriteString(c, "GET /a"+host+"\r\n"+"HEAD /b"+host+"\r\n"+"GET /204"+host+"\r\n"+"GET /304"+host+"\r\n"+"GET /hints"+host+"\r\n"+
		"GET /close"+host+"\r\n"+"OPTIONS /o"+host+"Connection: keep-alive\r\n\r\n"+
		"POST /c"+host+"Content-Length: 4\r\n\r\nbody"+"GET /d"+host+"\r\n")
	for _, want := range []struct {
		method string
		code   int
		body   string
	}{
		{"GET", 200, "GET /a "}, {"HEAD", 200, ""}, {"GET", 204, ""}, {"GET", 304, ""}, {"GET", 103, ""}, {"GET", 200, "GET /hints "},
		{"GET", 200, "GET /close "}, {"OPTIONS", 200, "OPTIONS /o "}, {"POST", 200, "POST /c body"}, {"GET", 200, "GET /d "},
	} {
		res, got := answer(t, br, want.method)
		if res.StatusCode != want.code || got != want.body {
			t.Fatalf("got %s %q, want %d %q", res.Status, got, want.code, want.body)
		}
		if want.method == "HEAD" && res.ContentLength != int64(len("HEAD /b ")) {
			t.Errorf("HEAD: Content-Length %d", res.ContentLength)
		}
	}
}

// What could be read in two ways is not carried at all.
func TestAmbiguousRequestsAreRefused(t *testing.T) {
	var reached atomic.Int64
	tn := proxytest.ToOrigin(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }), onlyHTTP1)
	for _, lines := range []string{
		"GET / HTTP/1.1\r\nHost: origin.test\r\nTransfer-Encoding : chunked\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: origin.test\r\nHost: other.test\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: origin.test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		"GET / HTTP/1.1\r\nHost: origin.test\r\nTransfer-Encoding: xchunked\r\n\r\n",
		"GET / HTTP/1.1\r\nno colon\r\nHost: origin.test\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: origin.test\r\nX: a\x00b\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: origin.test\r\nX: a\rb\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: origin.test\r\n Content-Length: 4\r\n\r\nbody",
		"GET /a b HTTP/1.1\r\nHost: origin.test\r\n\r\n",
		"GET / HTTP/1.1\r\n\r\n",
	} {
		c, br := raw(t, tn)
		io.WriteString(c, lines)
		if res, _ := answer(t, br, "GET"); res.StatusCode < 400 {
			t.Errorf("%q: %s", lines, res.Status)
		}
	}
	if n := reached.Load(); n > 0 {
		t.Errorf("%d requests reached the origin", n)
	}
}

// A request larger than the quick path's buffer takes the other one.
func TestLargeRequestHead(t *testing.T) {
	tn := proxytest.ToOrigin(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, len(r.Header.Get("X-Big"))) }), onlyHTTP1)
	c, br := raw(t, tn)
	for _, size := range []int{10, 20000, 10} {
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: origin.test\r\nX-Big: %s\r\n\r\n", strings.Repeat("x", size))
		if _, got := answer(t, br, "GET"); got != fmt.Sprint(size) {
			t.Errorf("got %q, want %d", got, size)
		}
	}
}

// Lines may end in a bare line feed (RFC 9112 §2.2), and heads come in pieces.
func TestUnusualRequestHeads(t *testing.T) {
	tn := proxytest.ToOrigin(t, proxytest.OK, onlyHTTP1)
	for _, pieces := range [][]string{{"GET / HTTP/1.1\nHost: origin.test\n\n"}, {"GET / HT", "TP/1.1\r\nHost: orig", "in.test\r\n\r", "\n"}} {
		c, br := raw(t, tn)
		for _, piece := range pieces {
			io.WriteString(c, piece)
			time.Sleep(20 * time.Millisecond)
		}
		if res, got := answer(t, br, "GET"); res.StatusCode != 200 || got != "ok" {
			t.Errorf("%q: %s %q", pieces, res.Status, got)
		}
	}
}

// A pooled connection that the origin has closed meanwhile costs no request.
func TestStaleOriginConnection(t *testing.T) {
	var server *httptest.Server
	tn := proxytest.ToOrigin(t, proxytest.OK, onlyHTTP1, func(s *httptest.Server) { server = s })
	c, br := raw(t, tn)
	for range 3 {
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: origin.test\r\n\r\n")
		if res, got := answer(t, br, "GET"); res.StatusCode != 200 || got != "ok" {
			t.Fatalf("got %s %q", res.Status, got)
		}
		server.CloseClientConnections()
	}
}

// A client that hangs up while the origin is silent leaves nothing behind.
func TestClientHangsUpWhileWaiting(t *testing.T) {
	for name, origin := range map[string]func(*httptest.Server){"h1": onlyHTTP1, "h2": onlyHTTP2} {
		t.Run(name, func(t *testing.T) {
			gone, asked := make(chan struct{}), make(chan struct{})
			tn := proxytest.ToOrigin(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				close(asked)
				<-r.Context().Done()
				close(gone)
			}), origin)
			c, _ := raw(t, tn)
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: origin.test\r\n\r\n")
			<-asked
			c.Close()
			c.NetConn().Close()
			select {
			case <-gone:
			case <-time.After(30 * time.Second):
				t.Error("the origin was never told")
			}
			tn.Front.Close() // waits for what is under way
			if f := tn.Failures(); len(f) > 0 {
				t.Errorf("blamed for it: %v", f[0])
			}
		})
	}
}

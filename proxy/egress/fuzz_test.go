package egress_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/proxytest"
	"github.com/agentproxy/agentproxy/proxy/proxytest/lying"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/google/go-cmp/cmp"
)

// guard ends what hangs; nothing does.
const guard = 30 * time.Second

// person is a client of HTTP/1.1 that keeps its connection. A primed one has
// sent a request first that the hand-written path leaves to net/http, which has
// the connection from then on.
type person struct {
	tn     *proxytest.Tunnel
	primed bool
	conn   net.Conn
	in     *bufio.Reader
}

func (p *person) connect(t testing.TB) {
	raw, res := p.tn.Connect(t, "origin.test:443")
	if res.StatusCode != 200 {
		t.Fatal(res.Status)
	}
	p.conn = tls.Client(raw, &tls.Config{ServerName: "origin.test", RootCAs: p.tn.Roots, NextProtos: []string{"http/1.1"}})
	p.in = bufio.NewReaderSize(p.conn, 64<<10)
	p.conn.SetDeadline(time.Now().Add(guard))
	if p.primed {
		io.WriteString(p.conn, "GET /prime HTTP/1.1\nHost: origin.test\n\n")
		if res, err := http.ReadResponse(p.in, nil); err != nil || res.StatusCode != 200 {
			t.Fatal("priming: ", res, err)
		} else {
			io.Copy(io.Discard, res.Body)
		}
	}
}

func (p *person) hangUp() {
	if p.conn != nil {
		p.conn.Close()
		p.conn = nil
	}
}

// seen is what a client gets: the status, and of an answer that comes whole the
// body and the fields that are not about framing.
type seen struct {
	Status          int
	Aborted         bool
	Body            string
	Header, Trailer http.Header
}

// get asks on the kept connection, or a new one.
func (p *person) get(t testing.TB, method, uri string) seen {
	if p.conn == nil {
		p.connect(t)
	}
	p.conn.SetDeadline(time.Now().Add(guard))
	fmt.Fprintf(p.conn, "%s %s HTTP/1.1\r\nHost: origin.test\r\n\r\n", method, uri)
	got, last := p.answer(t, method)
	if last {
		p.hangUp()
	}
	return got
}

func (p *person) answer(t testing.TB, method string) (got seen, last bool) {
	for {
		res, err := http.ReadResponse(p.in, &http.Request{Method: method})
		var late net.Error
		if err != nil {
			if asNetError(err, &late) && late.Timeout() {
				t.Fatal("no answer")
			}
			return seen{Aborted: true}, true
		}
		if res.StatusCode < 200 {
			continue
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			if asNetError(err, &late) && late.Timeout() {
				t.Fatal("no end of the answer")
			}
			return seen{Aborted: true}, true
		}
		got := seen{Status: res.StatusCode, Body: string(body), Header: res.Header, Trailer: res.Trailer}
		if res.Header.Get(status.ErrorHeader) != "" { // ours: the words may differ
			return seen{Status: res.StatusCode}, res.Close
		}
		for _, name := range []string{"Content-Length", "Transfer-Encoding", "Trailer", "Connection"} {
			res.Header.Del(name)
		}
		if res.StatusCode == http.StatusNotModified { // net/http's server drops it
			res.Header.Del("Content-Type")
		}
		return got, res.Close
	}
}

func asNetError(err error, target *net.Error) bool {
	for err != nil {
		if ne, ok := err.(net.Error); ok {
			*target = ne
			return true
		}
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			return false
		}
		err = u.Unwrap()
	}
	return false
}

// FuzzAnswers sends the same bytes as an origin's answer to a client of the
// hand-written path and to one of net/http's: both must see the same. Others
// that ask afterwards get their own answers or an error, never what is left.
func FuzzAnswers(f *testing.F) {
	scripts, err := lying.Load(os.DirFS(lies))
	if err != nil {
		f.Fatal(err)
	}
	known := map[string]bool{}
	for i, s := range scripts {
		b := s.Bytes()
		if len(b) < 4096 && !known[s.Method+string(b)] {
			known[s.Method+string(b)] = true
			f.Add(b, uint8(i), s.Method == "HEAD")
		}
	}
	root := proxytest.NewCA(f, "root")
	o := &fuzzOrigin{cert: root.Issue(f, nil, nil, "origin.test")}
	addr := proxytest.Listen(f, o.serve)
	tn := proxytest.Start(f, proxytest.Setup{Roots: root.Pool(), ConnectTo: map[string]string{"origin.test:443": addr}})
	quick, general := &person{tn: tn}, &person{tn: tn, primed: true}
	others := []*person{{tn: tn}, {tn: tn, primed: true}}
	f.Cleanup(func() {
		for _, p := range append(others, quick, general) {
			p.hangUp()
		}
	})
	n := 0
	f.Fuzz(func(t *testing.T, answer []byte, cut uint8, head bool) {
		method := http.MethodGet
		if head {
			method = http.MethodHead
		}
		o.set(answer, int(cut), method)
		a := quick.get(t, method, "/lie")
		b := general.get(t, method, "/lie")
		for _, name := range nominated(answer) { // net/http forgets them beside "close"
			a.Header.Del(name)
			b.Header.Del(name)
		}
		if diff := cmp.Diff(a, b); diff != "" {
			t.Errorf("%q, %s: hand-written (-) and net/http (+):\n%s", answer, method, diff)
		}
		for i, p := range append(others, quick, general) {
			n++
			uri := fmt.Sprint("/own/", n)
			if own := p.get(t, "GET", uri); own.Status != 502 && !own.Aborted && (own.Body != lying.Truth("GET", uri) || own.Header.Get("X-Own") != uri) {
				t.Errorf("%q, %s: client %d asked for %s and got %+v", answer, method, i, uri, own)
			}
		}
	})
}

// nominated are the fields that an answer names in Connection.
func nominated(answer []byte) (names []string) {
	for line := range bytes.Lines(answer) {
		if name, value, ok := strings.Cut(string(line), ":"); ok && strings.EqualFold(strings.TrimSpace(name), "connection") {
			for option := range strings.SplitSeq(value, ",") {
				names = append(names, strings.TrimSpace(option))
			}
		}
	}
	return names
}

// fuzzOrigin answers /lie with the bytes of the moment and all else truthfully.
type fuzzOrigin struct {
	cert tls.Certificate

	mu     sync.Mutex
	answer []byte
	cut    int
	whole  bool
}

// set chooses the answer. Where it needs an end of the connection to be an
// answer, or is none at all, the origin gives one.
func (o *fuzzOrigin) set(answer []byte, cut int, method string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.answer, o.cut, o.whole = bytes.Clone(answer), min(cut, len(answer)), false
	in := bufio.NewReader(bytes.NewReader(answer))
	for {
		res, err := http.ReadResponse(in, &http.Request{Method: method})
		switch {
		case err != nil:
			return
		case res.StatusCode < 200:
			continue
		}
		_, err = io.Copy(io.Discard, res.Body)
		o.whole = err == nil && (res.ContentLength >= 0 || len(res.TransferEncoding) > 0)
		return
	}
}

func (o *fuzzOrigin) serve(c net.Conn) {
	defer c.Close()
	held := &segments{Conn: c}
	conn := tls.Server(held, &tls.Config{Certificates: []tls.Certificate{o.cert}, NextProtos: []string{"http/1.1"}})
	in := bufio.NewReader(conn)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		if r.URL.Path != "/lie" {
			body := lying.Truth(r.Method, r.RequestURI)
			if _, err := fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Own: %s\r\n\r\n%s", len(body), r.RequestURI, body); err != nil {
				return
			}
			continue
		}
		o.mu.Lock()
		answer, cut, whole := o.answer, o.cut, o.whole
		o.mu.Unlock()
		// Two records in one segment.
		held.hold = true
		conn.Write(answer[:cut])
		conn.Write(answer[cut:])
		held.hold = false
		if _, err := c.Write(held.buf); err != nil {
			return
		}
		held.buf = nil
		if !whole {
			conn.Close()
			return
		}
	}
}

// segments holds writes back while it is told to.
type segments struct {
	net.Conn
	hold bool
	buf  []byte
}

func (s *segments) Write(b []byte) (int, error) {
	if s.hold {
		s.buf = append(s.buf, b...)
		return len(b), nil
	}
	return s.Conn.Write(b)
}

// FuzzRequests sends the same bytes by both paths: the origin must see the same
// requests, and what is refused is refused alike.
func FuzzRequests(f *testing.F) {
	for _, seed := range [][3]string{
		{"GET / HTTP/1.1", "origin.test", "X: y"}, {"HEAD /a?b=c HTTP/1.1", "origin.test:443", "Connection: keep-alive, X\r\nX: 1"},
		{"OPTIONS * HTTP/1.1", "origin.test", "X: y"}, {"GET https://origin.test/x HTTP/1.1", "origin.test", "X: y"},
		{"GET //x/y HTTP/1.1", "origin.test", "X: y"}, {"GET /%zz HTTP/1.1", "origin.test", "X: y"}, {"GET /a#b HTTP/1.1", "origin.test", "X: y"},
		{"GET / HTTP/9.9", "origin.test", "X: y"}, {"GET / HTTP/1.2", "origin.test", "X: y"}, {"GET / HTTP/1.0", "", "X: y"},
		{"CONNECT origin.test:443 HTTP/1.1", "origin.test:443", "X: y"}, {"GET /a b HTTP/1.1", "origin.test", "X: y"},
		{"GET / HTTP/1.1", "ORIGIN.test", "X: y"}, {"GET / HTTP/1.1", "origin.test:0443", "X: y"}, {"GET / HTTP/1.1", "ｏrigin.test", "X: y"},
		{"GET / HTTP/1.1", "origin.test.", "X: y"}, {"GET / HTTP/1.1", "other.test", "X: y"}, {"GET / HTTP/1.1", "a@origin.test", "X: y"},
		{"GET / HTTP/1.1", "origin.test", "X : y"}, {"GET / HTTP/1.1", "origin.test", "X: a\x00b"}, {"GET / HTTP/1.1", "origin.test", " folded"},
		{"GET /é HTTP/1.1", "origin.test", "X: \xe9"}, {"GET /?a;b&c=%zz HTTP/1.1", "origin.test", "Host: origin.test"},
		{"GET / HTTP/1.1", "origin.test", "Te: trailers"}, {"GET / HTTP/1.1", "origin.test", "X: y\r\n\r\nGET /second HTTP/1.1\r\nHost: origin.test"},
		{"get / HTTP/1.1", "origin.test", "X: y"}, {"PRI * HTTP/2.0", "origin.test", "X: y"}, {"GET /? HTTP/1.1", "origin.test", "Forwarded: for=x"},
		{"GET / HTTP/1.1", "origin.test", "Pragma: no-cache"}, {"DELETE /x HTTP/1.1", "origin.test", "User-Agent: "},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	root := proxytest.NewCA(f, "root")
	addr := proxytest.Listen(f, echo(root.Issue(f, nil, nil, "origin.test"), func(string) {}))
	tn := proxytest.Start(f, proxytest.Setup{Roots: root.Pool(), ConnectTo: map[string]string{"origin.test:443": addr}})
	f.Fuzz(func(t *testing.T, line, host, field string) {
		text := line + "\r\nHost: " + host + "\r\n" + field + "\r\n\r\n"
		if waits(text) {
			t.Skip()
		}
		a, b := (&person{tn: tn}).exchange(t, text), (&person{tn: tn, primed: true}).exchange(t, text)
		if diff := cmp.Diff(a, b); diff != "" {
			t.Errorf("%q: hand-written (-) and net/http (+):\n%s", text, diff)
		}
	})
}

const lastRequest = "GET /end HTTP/1.1\r\nHost: origin.test\r\nConnection: close\r\n\r\n"

// waits reports whether a server would wait for more than the last request, or
// leave HTTP.
func waits(text string) bool {
	in := bufio.NewReader(strings.NewReader(text + lastRequest))
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return false
		}
		if r.ContentLength != 0 || len(r.TransferEncoding) > 0 || r.Header.Get("Upgrade") != "" || r.Header.Get("Expect") != "" {
			return true
		}
	}
}

// exchange sends the text and a last request and returns every answer.
func (p *person) exchange(t testing.TB, text string) (all []seen) {
	p.connect(t)
	defer p.hangUp()
	io.WriteString(p.conn, text+lastRequest)
	for {
		method := http.MethodGet
		if len(all) == 0 && strings.HasPrefix(text, "HEAD ") {
			method = http.MethodHead
		}
		got, last := p.answer(t, method)
		if got.Aborted {
			return all
		}
		if got.Status >= 400 && got.Header.Get("X-Echo") == "" { // refused: the words may differ
			got = seen{Status: got.Status}
		}
		all = append(all, got)
		if last {
			return all
		}
	}
}

// echo is an origin that answers with the request as it came, and tells its line.
func echo(cert tls.Certificate, tell func(line string)) func(net.Conn) {
	return func(c net.Conn) {
		defer c.Close()
		conn := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}})
		in := bufio.NewReader(conn)
		for {
			var lines []string
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				if line = strings.TrimRight(line, "\r\n"); line == "" {
					break
				}
				lines = append(lines, line)
			}
			tell(lines[0])
			slices.Sort(lines[1:])
			body := strings.Join(lines, "\n")
			saw := fmt.Sprintf("%q", body)
			if strings.HasPrefix(lines[0], "HEAD ") {
				body = ""
			}
			if _, err := fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Echo: %s\r\n\r\n%s", len(body), saw, body); err != nil {
				return
			}
		}
	}
}

// FuzzDeniedRequests sends the same bytes by both paths under rules on requests: what is
// denied never reaches the origin, in any spelling or place, and both paths decide alike.
func FuzzDeniedRequests(f *testing.F) {
	for _, seed := range [][2]string{
		{"GET /admin HTTP/1.1", "X: y"}, {"GET /x/..%2fadmin HTTP/1.1", "X: y"}, {"GET /ok HTTP/1.1", "X: y\r\n\r\nGET /admin HTTP/1.1\r\nHost: origin.test"},
		{"DELETE /x HTTP/1.1", "X: y"}, {"delete /x HTTP/1.0", "X: y"}, {"POST /x HTTP/1.1", "X-HTTP-Method-Override: DELETE"}, {"GET /x HTTP/1.1", "X-Original-URL: /admin"},
		{"GET https://origin.test/admin HTTP/1.1", "X: y"}, {"GET //admin HTTP/1.1", "X: y"}, {"OPTIONS * HTTP/1.1", "X: y"}, {`GET /\admin HTTP/1.1`, "X: y"},
		{"GET /admin;x HTTP/1.1", "X: y"}, {"HEAD /ADMIN/x HTTP/1.1", "X: y"}, {"GET /?/admin HTTP/1.1", "X: y"}, {"GET /%61dmin HTTP/1.1", "Te: trailers"},
		{"GET /ok HTTP/1.1", "X: y\nX: \n\nDELETE / HTTP/1.1\nHost: origin.test"}, {"GET /#/../admin HTTP/1.1", "X: y"},
		{"GET / HTTP/1.1", "X: y\r\n\r\nGET /admin HTTP/1.1\r\nH.te: origin.test"},
	} {
		f.Add(seed[0], seed[1])
	}
	root := proxytest.NewCA(f, "root")
	var mu sync.Mutex
	var lines []string
	answer := echo(root.Issue(f, nil, nil, "origin.test"), func(line string) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, line)
	})
	tn := proxytest.Start(f, proxytest.Setup{Roots: root.Pool(), ConnectTo: map[string]string{"origin.test:443": proxytest.Listen(f, answer)},
		Rules: policy.Rules{Deny: []string{"origin.test/admin/**", "DELETE origin.test"}}})
	f.Fuzz(func(t *testing.T, line, field string) {
		text := line + "\r\nHost: origin.test\r\n" + field + "\r\n\r\n"
		if waits(text) {
			t.Skip()
		}
		a, b := (&person{tn: tn}).exchange(t, text), (&person{tn: tn, primed: true}).exchange(t, text)
		if diff := cmp.Diff(a, b); diff != "" {
			t.Errorf("%q: hand-written (-) and net/http (+):\n%s", text, diff)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, line := range lines {
			method, target, _ := strings.Cut(line, " ")
			target, _, _ = strings.Cut(target, " ")
			target, _, _ = strings.Cut(target, "?")
			decoded, err := url.PathUnescape(target)
			if err != nil {
				decoded = target
			}
			read := path.Clean(strings.ToLower(strings.ReplaceAll(decoded, `\`, "/")))
			if strings.EqualFold(method, "DELETE") || read == "/admin" || strings.HasPrefix(read, "/admin/") {
				t.Errorf("%q: the origin was asked %q", text, line)
			}
		}
		lines = nil
	})
}

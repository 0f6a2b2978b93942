package http1_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/egress/http1"
	"github.com/agentproxy/agentproxy/proxy/egress/message"
	"github.com/agentproxy/agentproxy/proxy/egress/wire"
	"github.com/agentproxy/agentproxy/proxy/proxytest"
	"github.com/agentproxy/agentproxy/proxy/proxytest/tcp"
	"github.com/agentproxy/agentproxy/proxy/status"
)

// headBuffer is how large a head the path takes, in bytes.
const headBuffer = 8 << 10

// egress is what the path sees of one, with one origin behind it.
type egress struct {
	dial func() (*http1.Conn, error)

	// What it answers.
	refusal   *status.Failure
	overHTTP2 bool
	second    http.RoundTripper // stands for HTTP/2

	mu     sync.Mutex
	idle   []*http1.Conn
	dialed int
	active int
	failed []error
	broken []*message.BrokenError
}

var errRefusesHTTP1 = errors.New("no HTTP/1.1 here")

func (e *egress) Begin(*http.Request) *status.Failure { e.active++; return e.refusal }
func (e *egress) End()                                { e.active-- }
func (e *egress) OverHTTP1() bool                     { return !e.overHTTP2 }
func (e *egress) Refused(err error) bool              { return errors.Is(err, errRefusesHTTP1) }
func (e *egress) Report(*status.Failure)              {}

func (e *egress) Connect() (*http1.Conn, bool, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n := len(e.idle); n > 0 {
		c := e.idle[n-1]
		e.idle = e.idle[:n-1]
		return c, true, nil
	}
	e.dialed++
	c, err := e.dial()
	return c, false, err
}

func (e *egress) Keep(c *http1.Conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !c.Reusable() {
		c.Close()
		return
	}
	e.idle = append(e.idle, c)
}

func (e *egress) RoundTrip(r *http.Request, path string) (*http.Response, error) {
	r.URL.Path = path
	return e.second.RoundTrip(r)
}

func (e *egress) Failed(err error) *status.Failure {
	e.failed = append(e.failed, err)
	return &status.Failure{Kind: status.OriginFailed, Code: http.StatusBadGateway, By: "origin", Detail: err.Error()}
}

func (e *egress) Broken(err *message.BrokenError) { e.broken = append(e.broken, err) }

// stage is a client before the path, and an origin behind it.
type stage struct {
	*egress
	client *net.TCPConn
	in     *bufio.Reader
	ended  chan outcome
}

type outcome struct {
	rest     []byte
	handOver bool
}

type buffers struct{}

func (buffers) Get() []byte { return make([]byte, 4096) }
func (buffers) Put([]byte)  {}

func start(t *testing.T, h http.HandlerFunc, configure ...func(*egress)) *stage {
	t.Helper()
	root := proxytest.NewCA(t, "root")
	addr := proxytest.Origin(t, root.Issue(t, nil, nil, "origin.test"), h, func(s *httptest.Server) { s.EnableHTTP2 = false })
	e := &egress{dial: func() (*http1.Conn, error) {
		raw, err := net.Dial("tcp4", addr)
		if err != nil {
			return nil, err
		}
		w, err := wire.New(raw)
		if err != nil {
			return nil, err
		}
		c := tls.Client(w, &tls.Config{ServerName: "origin.test", RootCAs: root.Pool()})
		return http1.NewConn(c), c.Handshake()
	}}
	for _, f := range configure {
		f(e)
	}
	c, near := tcp.Pair(t)
	s := &stage{egress: e, client: c, in: bufio.NewReader(c), ended: make(chan outcome, 1)}
	t.Cleanup(func() {
		c.Close()
		<-s.ended
		for _, conn := range e.idle {
			conn.Close()
		}
	})
	c.SetDeadline(time.Now().Add(30 * time.Second))
	go func() {
		defer close(s.ended)
		rest, handOver := http1.Serve(near, near, e, http1.Options{HeadTimeout: time.Minute, Buffers: buffers{}})
		near.Close()
		s.ended <- outcome{rest, handOver}
	}()
	return s
}

// finish ends the client's connection, after which what the path has done to the
// egress may be looked at.
func (s *stage) finish() outcome {
	s.client.CloseWrite()
	return <-s.ended
}

// ask sends a request as it is and returns the answer with its body.
func (s *stage) ask(t *testing.T, method, text string) (*http.Response, string) {
	t.Helper()
	if _, err := io.WriteString(s.client, text); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(s.in, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	return res, proxytest.Body(t, res)
}

func get(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: origin.test\r\n\r\n" }

func TestRequestsShareAConnection(t *testing.T) {
	t.Parallel()
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Saw", fmt.Sprint(r.Method, " ", r.RequestURI, " ", r.Header.Get("X-Hop")))
		io.WriteString(w, "body of "+r.URL.Path)
	})
	for i := range 5 {
		path := fmt.Sprintf("/a%%2Fb/%d?x=1;y", i)
		res, body := s.ask(t, "GET", "GET "+path+" HTTP/1.1\r\nHost: origin.test\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n")
		if want := "GET " + path; res.StatusCode != 200 || res.Header.Get("X-Saw") != want || body != fmt.Sprintf("body of /a/b/%d", i) {
			t.Errorf("%d %q %q, want %q", res.StatusCode, res.Header.Get("X-Saw"), body, want)
		}
	}
	if res, body := s.ask(t, "HEAD", "HEAD /h HTTP/1.1\r\nHost: origin.test\r\n\r\n"); res.ContentLength != int64(len("body of /h")) || body != "" {
		t.Errorf("HEAD: %v %q", res.ContentLength, body)
	}
	s.finish()
	if s.dialed != 1 || s.active != 0 {
		t.Errorf("%d connections, %d requests under way", s.dialed, s.active)
	}
}

func TestStreamsAndTrailers(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "first ")
		w.(http.Flusher).Flush()
		<-next
		io.WriteString(w, "second")
		w.Header().Set("X-Sum", "12")
	})
	io.WriteString(s.client, get("/"))
	res, err := http.ReadResponse(s.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, len("first "))
	if _, err := io.ReadFull(res.Body, first); err != nil { // before the rest is sent
		t.Fatal(err)
	}
	close(next)
	if rest := proxytest.Body(t, res); string(first)+rest != "first second" || res.Trailer.Get("X-Sum") != "12" {
		t.Errorf("%q%q, %v", first, rest, res.Trailer)
	}
}

func TestInterimAnswers(t *testing.T) {
	t.Parallel()
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>")
		w.WriteHeader(http.StatusEarlyHints)
		io.WriteString(w, "done")
	})
	io.WriteString(s.client, get("/"))
	if res, err := http.ReadResponse(s.in, nil); err != nil || res.StatusCode != 103 || res.Header.Get("Link") == "" {
		t.Fatalf("%v, %v", res, err)
	}
	if res, err := http.ReadResponse(s.in, nil); err != nil || res.StatusCode != 200 || proxytest.Body(t, res) != "done" {
		t.Fatalf("%v, %v", res, err)
	}
}

// What is not simple is handed over with every byte that was read of it.
func TestWhatIsHandedOver(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"a method with effects": "POST / HTTP/1.1\r\nHost: origin.test\r\nContent-Length: 4\r\n\r\nbody",
		"a body":                "GET / HTTP/1.1\r\nHost: origin.test\r\nContent-Length: 4\r\n\r\nbody",
		"chunks":                "GET / HTTP/1.1\r\nHost: origin.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"an upgrade":            "GET / HTTP/1.1\r\nHost: origin.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		"an expectation":        "GET / HTTP/1.1\r\nHost: origin.test\r\nExpect: 100-continue\r\n\r\n",
		"HTTP/1.0":              "GET / HTTP/1.0\r\nHost: origin.test\r\n\r\n",
		"absolute form":         "GET https://origin.test/ HTTP/1.1\r\nHost: origin.test\r\n\r\n",
		"two slashes":           "GET //x/ HTTP/1.1\r\nHost: origin.test\r\n\r\n",
		"bare line feeds":       "GET / HTTP/1.1\nHost: origin.test\n\n",
		"a space in a name":     "GET / HTTP/1.1\r\nHost: origin.test\r\nX Y: 1\r\n\r\n",
		"a bad host":            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
		"no HTTP":               "hello\r\n\r\n",
		"a large head":          "GET / HTTP/1.1\r\nHost: origin.test\r\nX-Large: " + strings.Repeat("x", headBuffer) + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") })
			if res, _ := s.ask(t, "GET", get("/simple")); res.StatusCode != 200 {
				t.Fatal(res.Status)
			}
			io.WriteString(s.client, text)
			got := <-s.ended
			// A head that is too large is handed over as far as it was read.
			if !got.handOver || len(got.rest) == 0 || !strings.HasPrefix(text, string(got.rest)) || len(got.rest) < min(len(text), headBuffer) {
				t.Errorf("handed over %v: %.80q", got.handOver, got.rest)
			}
		})
	}
}

func TestTheEndOfAClientIsNotHandedOver(t *testing.T) {
	t.Parallel()
	s := start(t, func(w http.ResponseWriter, r *http.Request) {})
	if got := s.finish(); got.handOver {
		t.Errorf("%q is handed over", got.rest)
	}
}

func TestARefusalEndsTheConnection(t *testing.T) {
	t.Parallel()
	s := start(t, func(w http.ResponseWriter, r *http.Request) { t.Error("the origin was asked") }, func(e *egress) {
		e.refusal = &status.Failure{Kind: status.Misdirected, Code: http.StatusMisdirectedRequest, Detail: "the wrong host"}
	})
	res, body := s.ask(t, "GET", get("/"))
	if got := s.finish(); got.handOver || s.active != 0 {
		t.Errorf("%+v", got)
	}
	if res.StatusCode != 421 || !strings.Contains(body, "the wrong host") || s.dialed != 0 {
		t.Errorf("%s %q", res.Status, body)
	}
}

// An idle connection that the origin has closed is replaced, unnoticed.
func TestAStaleConnection(t *testing.T) {
	t.Parallel()
	s := start(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") })
	s.ask(t, "GET", get("/"))
	closed := func() bool { // as an origin does with one that is idle
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.idle) > 0 {
			s.idle[0].NetConn().Close()
		}
		return len(s.idle) > 0
	}
	for !closed() { // it is kept behind the answer
		time.Sleep(time.Millisecond)
	}
	res, body := s.ask(t, "GET", get("/"))
	s.finish()
	if res.StatusCode != 200 || body != "ok" || s.dialed != 2 {
		t.Errorf("%s %q on connection %d", res.Status, body, s.dialed)
	}
}

func TestAnOriginThatFails(t *testing.T) {
	t.Parallel()
	s := start(t, nil, func(e *egress) { e.dial = func() (*http1.Conn, error) { return nil, errors.New("nobody is there") } })
	if res, body := s.ask(t, "GET", get("/")); res.StatusCode != 502 || !strings.Contains(body, "nobody is there") {
		t.Errorf("%s %q", res.Status, body)
	}
	s = start(t, func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) })
	res, _ := s.ask(t, "GET", get("/"))
	s.finish()
	if res.StatusCode != 502 || len(s.failed) != 1 {
		t.Errorf("%s, %v", res.Status, s.failed)
	}
}

// An answer that is cut never looks whole, and is told of.
func TestACutAnswer(t *testing.T) {
	t.Parallel()
	for _, framing := range []string{"a length", "chunks"} {
		s := start(t, func(w http.ResponseWriter, r *http.Request) {
			if framing == "a length" {
				w.Header().Set("Content-Length", "100")
			}
			io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		})
		io.WriteString(s.client, get("/"))
		res, err := http.ReadResponse(s.in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(res.Body); err == nil || !bytes.HasPrefix([]byte("half"), got) {
			t.Errorf("%s: %q, %v", framing, got, err)
		}
		<-s.ended
		if len(s.broken) != 1 || s.broken[0].Read != 4 {
			t.Errorf("%s: told of %v", framing, s.broken)
		}
	}
}

// An answer that the client does not wait for is given up.
func TestAClientThatHangsUp(t *testing.T) {
	t.Parallel()
	asked, gone := make(chan struct{}), make(chan struct{})
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
		close(gone)
	})
	io.WriteString(s.client, get("/"))
	<-asked
	s.client.Close()
	<-gone
	if <-s.ended; len(s.failed) != 0 {
		t.Errorf("blamed on the origin: %v", s.failed)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// An origin that prefers HTTP/2, or refuses HTTP/1.1, is asked over that.
func TestOverHTTP2(t *testing.T) {
	t.Parallel()
	second := roundTripper(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Status: "200 OK", ProtoMajor: 2, ContentLength: -1, Header: http.Header{"X-Path": {r.URL.Path}},
			Body: io.NopCloser(strings.NewReader("over 2")), Trailer: http.Header{"X-Sum": {"1"}}}, nil
	})
	for name, configure := range map[string]func(*egress){
		"preferred": func(e *egress) { e.overHTTP2 = true },
		"refused":   func(e *egress) { e.dial = func() (*http1.Conn, error) { return nil, errRefusesHTTP1 } },
	} {
		s := start(t, nil, configure, func(e *egress) { e.second = second })
		for range 2 {
			res, body := s.ask(t, "GET", get("/p"))
			if res.StatusCode != 200 || body != "over 2" || res.Header.Get("X-Path") != "/p" || res.Trailer.Get("X-Sum") != "1" {
				t.Errorf("%s: %v %q %v", name, res.Header, body, res.Trailer)
			}
		}
	}
	s := start(t, nil, func(e *egress) {
		e.overHTTP2 = true
		e.second = roundTripper(func(*http.Request) (*http.Response, error) { return nil, errors.New("stream refused") })
	})
	if res, body := s.ask(t, "GET", get("/")); res.StatusCode != 502 || !strings.Contains(body, "stream refused") {
		t.Errorf("%s %q", res.Status, body)
	}
}

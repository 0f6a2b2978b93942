package egress_test

import (
	"bufio"
	"bytes"
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
	"time"

	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/proxytest"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/coder/websocket"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// asked is a request of testdata/requests.txt.
type asked struct {
	line, method, target string
	header               []string // name, value
	sent                 string   // what the origin is to see, "" when it is refused
	reason               string
}

// scenario is a policy with requests.
type scenario struct {
	name  string
	rules policy.Rules
	asked []asked
}

func scenarios(t *testing.T) (list []scenario) {
	t.Helper()
	text, err := os.ReadFile("testdata/requests.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		word, rest, _ := strings.Cut(line, " ")
		s := &scenario{}
		if len(list) > 0 {
			s = &list[len(list)-1]
		}
		switch word {
		case "", "#":
		case "==":
			list = append(list, scenario{name: rest})
		case "default":
			s.rules.Default = rest
		case "allow":
			s.rules.Allow = append(s.rules.Allow, rest)
		case "deny":
			s.rules.Deny = append(s.rules.Deny, rest)
		default:
			a := asked{line: line, method: word}
			a.target, rest, _ = strings.Cut(rest, " ")
			if field, after, ok := strings.Cut(strings.TrimPrefix(rest, "["), "] "); ok && rest[0] == '[' {
				name, value, _ := strings.Cut(field, ": ")
				a.header, rest = []string{name, value}, after
			}
			kind, rest, _ := strings.Cut(rest, " ")
			if kind == "->" {
				a.sent = rest
			} else {
				a.reason = rest
			}
			s.asked = append(s.asked, a)
		}
	}
	return list
}

// told is what a client got.
type told struct {
	code         string
	header       http.Header
	body, reason string
}

// asker sends requests one after the other on one connection.
type asker interface {
	ask(t *testing.T, a asked) told
}

// TestRequestRules holds the egress to testdata/requests.txt: what is refused gets the
// reason and no origin sees it, what passes is sent as it was judged, and the
// connection goes on in either case.
func TestRequestRules(t *testing.T) {
	count := 0
	for _, s := range scenarios(t) {
		count += len(s.asked)
		for name, origin := range map[string]func(*httptest.Server){"h1": onlyHTTP1, "h2": onlyHTTP2} {
			t.Run(s.name+", origin "+name, func(t *testing.T) { testScenario(t, s, origin) })
		}
	}
	if count < 120 {
		t.Errorf("only %d requests", count)
	}
}

func testScenario(t *testing.T, s scenario, origin func(*httptest.Server)) {
	var seen atomic.Value
	root := proxytest.NewCA(t, "root")
	addr := proxytest.Origin(t, root.Issue(t, nil, nil, "origin.test"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen.Store(r.Method + " " + r.RequestURI)
		fmt.Fprintf(w, "%d", len(body))
	}), origin, generalOptions)
	tn := proxytest.Start(t, proxytest.Setup{Rules: s.rules, Roots: root.Pool(), ConnectTo: map[string]string{"origin.test:443": addr}})
	for name, client := range map[string]asker{"fast path": newHTTP1(t, tn, false), "net/http": newHTTP1(t, tn, true), "HTTP/2": newHTTP2(t, tn)} {
		for _, a := range s.asked {
			if _, overHTTP2 := client.(*http2Asker); overHTTP2 && !strings.HasPrefix(a.target, "/") && a.target != "*" {
				continue // there is no absolute form
			} else if overHTTP2 && a.header != nil && a.header[0] == "Upgrade" {
				continue // nor an upgrade
			}
			seen.Store("")
			got, before := client.ask(t, a), len(tn.Failures())
			if saw := seen.Load().(string); saw != a.sent {
				t.Errorf("%s: %s: the origin saw %q", name, a.line, saw)
			}
			if a.sent != "" {
				if got.code != "200" || got.reason != "" {
					t.Errorf("%s: %s: %+v", name, a.line, got)
				}
				continue
			}
			if got.code != "403" || !strings.Contains(got.reason, a.reason) || got.header.Get(status.ErrorHeader) != "policy_denied" {
				t.Errorf("%s: %s: %+v", name, a.line, got)
			}
			if a.method != "HEAD" && !strings.Contains(got.body, got.reason) {
				t.Errorf("%s: %s: the body is %q", name, a.line, got.body)
			}
			if all := tn.Failures(); before != len(all) || !recorded(all[before-1], a) {
				t.Errorf("%s: %s: recorded %+v", name, a.line, all[len(all)-1])
			}
		}
	}
}

// recorded reports whether a failure is the request's, without its query.
func recorded(f *status.Failure, a asked) bool {
	query := ""
	if i := strings.IndexByte(a.target, '?'); i >= 0 {
		query = a.target[i+1:]
	}
	e := f.Entry()
	return f.Kind == status.PolicyDenied && f.Rule != "" && f.Code == 403 && e.Method == strings.ToUpper(a.method) && e.Outcome == status.Refused &&
		(query == "" || !strings.Contains(fmt.Sprint(e, f.Detail), query))
}

type http1Asker struct {
	conn net.Conn
	in   *bufio.Reader
}

// newHTTP1 begins a connection; a primed one has left the hand-written path.
func newHTTP1(t *testing.T, tn *proxytest.Tunnel, primed bool) *http1Asker {
	c := &http1Asker{conn: dial(t, tn, "http/1.1")}
	c.conn.SetDeadline(time.Now().Add(guard))
	c.in = bufio.NewReader(c.conn)
	if primed {
		io.WriteString(c.conn, "TRACE /prime HTTP/1.1\nHost: origin.test\n\n")
		res, err := http.ReadResponse(c.in, nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
	}
	return c
}

func (c *http1Asker) ask(t *testing.T, a asked) told {
	t.Helper()
	fmt.Fprintf(c.conn, "%s %s HTTP/1.1\r\nHost: origin.test\r\n", a.method, a.target)
	if a.header != nil {
		fmt.Fprintf(c.conn, "%s: %s\r\n", a.header[0], a.header[1])
	}
	if hasBody(a.method) {
		io.WriteString(c.conn, "Content-Length: 4\r\n\r\nbody")
	} else {
		io.WriteString(c.conn, "\r\n")
	}
	res, err := http.ReadResponse(c.in, &http.Request{Method: a.method})
	if err != nil {
		t.Fatalf("%s: %v", a.line, err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil || res.Close {
		t.Fatalf("%s: %v, close %v", a.line, err, res.Close)
	}
	return told{res.Status[:3], res.Header, string(body), res.Header.Get(status.ReasonHeader)}
}

func hasBody(method string) bool { return slices.Contains([]string{"POST", "PUT", "PATCH"}, method) }

type http2Asker struct {
	conn   net.Conn
	framer *http2.Framer
	block  bytes.Buffer
	enc    *hpack.Encoder
	stream uint32
}

func newHTTP2(t *testing.T, tn *proxytest.Tunnel) *http2Asker {
	c := &http2Asker{conn: dial(t, tn, "h2"), stream: 1}
	c.conn.SetDeadline(time.Now().Add(guard))
	c.enc = hpack.NewEncoder(&c.block)
	io.WriteString(c.conn, http2.ClientPreface)
	c.framer = http2.NewFramer(c.conn, c.conn)
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.framer.WriteSettings()
	return c
}

func (c *http2Asker) ask(t *testing.T, a asked) (got told) {
	t.Helper()
	fields := h2(":method", a.method, ":scheme", "https", ":authority", "origin.test", ":path", a.target)
	if a.header != nil {
		fields = append(fields, h2(strings.ToLower(a.header[0]), a.header[1])...)
	}
	c.block.Reset()
	for _, field := range fields {
		c.enc.WriteField(field)
	}
	c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: c.stream, BlockFragment: c.block.Bytes(), EndHeaders: true, EndStream: !hasBody(a.method)})
	if hasBody(a.method) {
		c.framer.WriteData(c.stream, true, []byte("body"))
	}
	defer func() { c.stream += 2 }()
	for {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			t.Fatalf("%s: %v", a.line, err)
		}
		if frame.Header().StreamID != c.stream {
			continue
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			got.code, got.header = frame.PseudoValue("status"), http.Header{}
			for _, field := range frame.RegularFields() {
				got.header.Add(field.Name, field.Value)
			}
			got.reason = got.header.Get(status.ReasonHeader)
		case *http2.DataFrame:
			got.body += string(frame.Data())
		case *http2.RSTStreamFrame:
			return got // of what we still sent
		}
		if frame.Header().Flags.Has(http2.FlagDataEndStream) {
			return got
		}
	}
}

// What one connection carries in one go is judged request by request: neither a body
// nor bytes behind it bring a second one past the rules.
func TestNoSecondRequestIsSmuggled(t *testing.T) {
	for name, c := range map[string]struct {
		sent string
		want []string // statuses, then what the origin has seen
		seen []string
	}{
		"pipelined": {"GET /ok HTTP/1.1\r\nHost: origin.test\r\n\r\nGET /admin HTTP/1.1\r\nHost: origin.test\r\n\r\nGET /ok2 HTTP/1.1\r\nHost: origin.test\r\n\r\n",
			[]string{"200", "403", "200"}, []string{"GET /ok", "GET /ok2"}},
		"in a body": {"POST /ok HTTP/1.1\r\nHost: origin.test\r\nContent-Length: 41\r\n\r\nGET /admin HTTP/1.1\r\nHost: origin.test\r\n\r\n",
			[]string{"200"}, []string{"POST /ok"}},
		"behind a body": {"POST /ok HTTP/1.1\r\nHost: origin.test\r\nContent-Length: 2\r\n\r\nxxGET /admin HTTP/1.1\r\nHost: origin.test\r\n\r\n",
			[]string{"200", "403"}, []string{"POST /ok"}},
		"behind a refused body": {"POST /admin HTTP/1.1\r\nHost: origin.test\r\nContent-Length: 2\r\n\r\nxxGET /ok HTTP/1.1\r\nHost: origin.test\r\n\r\n",
			[]string{"403", "200"}, []string{"GET /ok"}},
		"behind chunks": {"POST /ok HTTP/1.1\r\nHost: origin.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\nHost: origin.test\r\n\r\n",
			[]string{"200", "403"}, []string{"POST /ok"}},
		"in two lengths": {"POST /ok HTTP/1.1\r\nHost: origin.test\r\nContent-Length: 41\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\nHost: origin.test\r\n\r\n",
			[]string{"200"}, []string{"POST /ok"}},
		"in the target":      {"GET /ok HTTP/1.1\nGET /admin HTTP/1.1\r\nHost: origin.test\r\n\r\n", []string{"400"}, nil},
		"for another host":   {"GET /ok HTTP/1.1\r\nHost: other.test\r\n\r\n", []string{"421"}, nil},
		"of another host":    {"GET https://other.test/ok HTTP/1.1\r\nHost: origin.test\r\n\r\n", []string{"421"}, nil},
		"with a second Host": {"GET /ok HTTP/1.1\r\nHost: origin.test\r\nHost: other.test\r\n\r\n", []string{"400"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var seen []string
			root := proxytest.NewCA(t, "root")
			addr := proxytest.Origin(t, root.Issue(t, nil, nil, "origin.test"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				seen = append(seen, r.Method+" "+r.RequestURI)
				io.Copy(w, r.Body)
			}), onlyHTTP1)
			tn := proxytest.Start(t, proxytest.Setup{Rules: policy.Rules{Deny: []string{"origin.test/admin"}}, Roots: root.Pool(), ConnectTo: map[string]string{"origin.test:443": addr}})
			conn := dial(t, tn, "http/1.1")
			conn.SetDeadline(time.Now().Add(guard))
			io.WriteString(conn, c.sent)
			in := bufio.NewReader(conn)
			for _, want := range c.want {
				res, err := http.ReadResponse(in, nil)
				if err != nil || res.Status[:3] != want {
					t.Fatalf("want %s: %v, %v", want, res, err)
				}
				io.Copy(io.Discard, res.Body)
			}
			conn.Close()
			if !slices.Equal(seen, c.seen) {
				t.Errorf("the origin saw %q, want %q", seen, c.seen)
			}
		})
	}
}

// A redirect is followed by a request of its own, which is judged.
func TestRedirectIsJudged(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/admin/x", http.StatusFound) })
	root := proxytest.NewCA(t, "root")
	addr := proxytest.Origin(t, root.Issue(t, nil, nil, "origin.test"), h, onlyHTTP1)
	tn := proxytest.Start(t, proxytest.Setup{Rules: policy.Rules{Deny: []string{"origin.test/admin/**"}}, Roots: root.Pool(), ConnectTo: map[string]string{"origin.test:443": addr}})
	for _, h2 := range []bool{false, true} {
		client := tn.Client(t, h2)
		client.CheckRedirect = nil
		res, err := client.Get("https://origin.test/start")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 403 || res.Request.URL.Path != "/admin/x" || res.Header.Get(status.ReasonHeader) == "" {
			t.Errorf("h2 %v: %s %s", h2, res.Status, res.Request.URL)
		}
	}
}

// A WebSocket is begun by a request, which is judged; what it carries is its own.
func TestWebSocketIsJudged(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		kind, message, _ := c.Read(r.Context())
		c.Write(r.Context(), kind, message)
		c.Close(websocket.StatusNormalClosure, "")
	})
	root := proxytest.NewCA(t, "root")
	addr := proxytest.Origin(t, root.Issue(t, nil, nil, "origin.test"), h, onlyHTTP1)
	tn := proxytest.Start(t, proxytest.Setup{Rules: policy.Rules{Default: "deny", Allow: []string{"GET origin.test/socket"}}, Roots: root.Pool(), ConnectTo: map[string]string{"origin.test:443": addr}})
	client := &websocket.DialOptions{HTTPClient: tn.Client(t, false)}
	c, _, err := websocket.Dial(t.Context(), "wss://origin.test//socket", client)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	if err := c.Write(t.Context(), websocket.MessageText, []byte("DELETE /admin HTTP/1.1")); err != nil {
		t.Fatal(err)
	}
	if _, got, err := c.Read(t.Context()); err != nil || string(got) != "DELETE /admin HTTP/1.1" {
		t.Errorf("%q, %v", got, err)
	}
	if _, res, err := websocket.Dial(t.Context(), "wss://origin.test/socket/other", client); err == nil || res == nil || res.StatusCode != 403 {
		t.Errorf("%v, %v", res, err)
	}
}

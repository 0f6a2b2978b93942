package status

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
)

// read parses what was written, as a client does, and reports what it holds.
func read(t *testing.T, raw []byte) (*http.Response, string) {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), &http.Request{Method: http.MethodGet})
	if err != nil {
		t.Fatalf("%v in %q", err, raw)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

// The reason of a refused CONNECT stands in the reason phrase, in a header and in
// the body, since clients show one or the other.
func TestRefusalSaysItThreeTimes(t *testing.T) {
	t.Parallel()
	f := &Failure{Kind: PolicyDenied, Host: "api.example:443", Detail: "denied by *.example", Code: http.StatusForbidden, Advice: "ask for it"}
	res, body := read(t, f.Refusal())
	if res.Status != "403 policy denied: denied by *.example" {
		t.Errorf("status line %q", res.Status)
	}
	if res.Header.Get(ErrorHeader) != "policy_denied" || res.Header.Get(ReasonHeader) != "denied by *.example" {
		t.Errorf("headers %v", res.Header)
	}
	if want := "agentproxy: policy_denied · api.example:443 · denied by *.example\nagentproxy: ask for it\n"; body != want {
		t.Errorf("body %q, want %q", body, want)
	}
	if !res.Close || res.ContentLength != int64(len(body)) {
		t.Errorf("close %v, length %d", res.Close, res.ContentLength)
	}
}

// An answer to a request says the same as a refusal does.
func TestRespondSaysWhatRefusalDoes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		code   int
		header string // that this status must have (RFC 9110)
		want   string
	}{
		{http.StatusMethodNotAllowed, "Allow", "CONNECT"},
		{http.StatusProxyAuthRequired, "Proxy-Authenticate", `Basic realm="agentproxy"`},
		{http.StatusForbidden, "Allow", ""},
		{http.StatusBadGateway, "X-Content-Type-Options", "nosniff"},
	} {
		f := &Failure{Kind: PlainHTTP, Host: "a.example:80", Detail: "GET", Code: c.code}
		w := httptest.NewRecorder()
		f.Respond(w)
		res, body := read(t, f.Refusal())
		if w.Code != c.code || res.StatusCode != c.code {
			t.Errorf("%d: %d and %d", c.code, w.Code, res.StatusCode)
		}
		if w.Body.String() != body || body != f.Text() || strings.Count(body, "\n") != 1 {
			t.Errorf("%d: bodies %q and %q", c.code, w.Body, body)
		}
		for _, h := range []http.Header{w.Header(), res.Header} {
			if h.Get(c.header) != c.want || h.Get(ErrorHeader) != "plain_http" || !strings.HasPrefix(h.Get("Content-Type"), "text/plain") {
				t.Errorf("%d: %v", c.code, h)
			}
		}
	}
}

// An upstream's own words are passed on: its status, its headers but those of its
// connection, and its body with the length that it has here.
func TestRefusalPassesTheUpstreamsWordsOn(t *testing.T) {
	t.Parallel()
	upstream := http.Header{"Proxy-Authenticate": {`Negotiate`, `Basic realm="corp"`}, "Transfer-Encoding": {"chunked"}, "Content-Length": {"4711"},
		"Connection": {"keep-alive"}, "Proxy-Connection": {"keep-alive"}, "Keep-Alive": {"timeout=5"}, "X-Why": {"because"}}
	f := &Failure{Kind: ProxyAuthRequired, Code: http.StatusProxyAuthRequired, Detail: "ours", Answer: &Answer{Status: "407 Who are you?", Header: upstream, Body: []byte("<h1>Log in</h1>")}}
	res, body := read(t, f.Refusal())
	if res.Status != "407 Who are you?" || body != "<h1>Log in</h1>" || len(res.TransferEncoding) != 0 || !res.Close {
		t.Errorf("%q, %q, %v, close %v", res.Status, body, res.TransferEncoding, res.Close)
	}
	if got := res.Header.Values("Proxy-Authenticate"); len(got) != 2 || res.Header.Get("X-Why") != "because" {
		t.Errorf("%v", res.Header)
	}
	for _, name := range []string{"Proxy-Connection", "Keep-Alive", ErrorHeader} {
		if res.Header.Get(name) != "" {
			t.Errorf("%s: %q", name, res.Header.Get(name))
		}
	}
	if upstream.Get("Transfer-Encoding") != "chunked" {
		t.Error("the upstream's header was changed in place")
	}
}

// Nothing that a failure holds can end the head early or add a header to it.
func TestAnswersCannotBeSplit(t *testing.T) {
	t.Parallel()
	const evil = "x\r\nSet-Cookie: a=b\r\n\r\n<script>"
	for name, f := range map[string]*Failure{
		"detail":   {Kind: OriginTLS, Code: 502, Detail: evil},
		"upstream": {Kind: ConnectRejected, Code: 403, Answer: &Answer{Status: "403 " + evil, Header: http.Header{"X-Why": {evil}}}},
	} {
		res, _ := read(t, f.Refusal())
		if res.Header.Get("Set-Cookie") != "" || strings.ContainsAny(res.Status, "\r\n") {
			t.Errorf("%s: %q, %v", name, res.Status, res.Header)
		}
	}
}

// A long reason is cut, and says so; a phrase is short, since clients choke on more.
func TestLongReasonsAreCut(t *testing.T) {
	t.Parallel()
	f := &Failure{Kind: OriginTLS, Code: 502, Detail: strings.Repeat("long ", 200)}
	if p := f.Phrase(); len(p) != 240 || !strings.HasSuffix(p, "...") {
		t.Errorf("%d bytes: %q", len(p), p)
	}
	res, body := read(t, f.Refusal())
	if reason := res.Header.Get(ReasonHeader); len(reason) > 400 || !strings.HasSuffix(reason, "...") {
		t.Errorf("%d bytes", len(reason))
	}
	if !strings.Contains(body, f.Detail) {
		t.Error("the body does not say all of it")
	}
}

// Cause leaves out addresses and calls, which the sentence around it has.
func TestCause(t *testing.T) {
	t.Parallel()
	refused := os.NewSyscallError("connect", syscall.ECONNREFUSED)
	for _, c := range []struct {
		err  error
		want string
	}{
		{&net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, Err: refused}, "connection refused"},
		{fmt.Errorf("wrapped: %w", &net.OpError{Op: "read", Err: refused}), "connection refused"},
		{refused, "connection refused"},
		{&net.OpError{Op: "dial", Err: errors.New("i/o timeout")}, "i/o timeout"},
		{errors.New("as it is"), "as it is"},
	} {
		if got := Cause(c.err); got != c.want {
			t.Errorf("%v: %q, want %q", c.err, got, c.want)
		}
	}
}

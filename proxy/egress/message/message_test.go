package message

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/proxy/egress/wire"
	"github.com/agentproxy/agentproxy/proxy/proxytest/tcp"
)

func TestVet(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		code    int
		upgrade bool
		refused bool
	}{
		"ok": {200, false, false}, "no content": {204, false, false}, "not modified": {304, false, false}, "the last": {999, false, false},
		"too small": {99, false, true}, "too large": {1000, false, true},
		"an upgrade that was asked for": {101, true, false}, "one that was not": {101, false, true},
	} {
		res := &http.Response{StatusCode: c.code, Header: http.Header{"Content-Length": {"5"}}}
		if err := Vet(res, c.upgrade); (err != nil) != c.refused {
			t.Errorf("%s: %v", name, err)
		}
		// A client would wait for a body that never comes (RFC 9110 §8.6).
		if hasLength := res.Header.Get("Content-Length") != ""; hasLength == (c.code == 204 || c.code == 304) {
			t.Errorf("%s: a length is %v", name, hasLength)
		}
	}
}

func TestStatusLine(t *testing.T) {
	t.Parallel()
	for status, want := range map[string]string{
		"404 Nothing Here": "404 Nothing Here", "404 ": "404 ", "404": "404 ", "404 two\x00parts": "404 Not Found", "404 a\r\nSet-Cookie: x": "404 Not Found",
	} {
		if got := StatusLine(&http.Response{StatusCode: 404, Status: status}); got != want {
			t.Errorf("%q becomes %q, want %q", status, got, want)
		}
	}
}

func TestDropHopByHop(t *testing.T) {
	t.Parallel()
	h := http.Header{
		"Connection": {"close, X-Own", "x-other"}, "X-Own": {"1"}, "X-Other": {"1"}, "Keep-Alive": {"1"}, "Proxy-Authorization": {"secret"},
		"Transfer-Encoding": {"chunked"}, "Upgrade": {"h2c"}, "Te": {"trailers"}, "Content-Type": {"text/plain"}, "X-End-To-End": {"1"},
	}
	DropHopByHop(h)
	if len(h) != 2 || h.Get("Content-Type") == "" || h.Get("X-End-To-End") == "" {
		t.Errorf("left: %v", h)
	}
}

func TestCleanTrailer(t *testing.T) {
	t.Parallel()
	h := http.Header{"Grpc-Status": {"0"}, "Content-Length": {"1"}, "Set-Cookie": {"a=b"}, "Connection": {"close"}, "Host": {"x"}, "Location": {"/"}, "X-Sum": {"1"}}
	CleanTrailer(h)
	if len(h) != 2 || h.Get("Grpc-Status") == "" || h.Get("X-Sum") == "" {
		t.Errorf("left: %v", h)
	}
}

// A body that ends with the connection is whole only when TLS says so.
func TestCloseDelimited(t *testing.T) {
	t.Parallel()
	client, server := tcp.Pair(t)
	w, err := wire.New(client)
	if err != nil {
		t.Fatal(err)
	}
	body := func(res *http.Response) error {
		res.Body = io.NopCloser(strings.NewReader("text"))
		CloseDelimited(res, w)
		_, err := io.ReadAll(res.Body)
		return err
	}
	delimited := func() *http.Response { return &http.Response{ProtoMajor: 1, ContentLength: -1} }
	if err := body(delimited()); err != nil {
		t.Errorf("not cut yet: %v", err)
	}
	server.Close()
	if _, err := w.Read(make([]byte, 1)); err != io.EOF || !w.Cut() {
		t.Fatalf("%v, cut %v", err, w.Cut())
	}
	if err := body(delimited()); !errors.Is(err, errNoCloseNotify) {
		t.Errorf("a cut body reads as whole: %v", err)
	}
	for name, res := range map[string]*http.Response{
		"with a length": {ProtoMajor: 1, ContentLength: 4}, "chunked": {ProtoMajor: 1, ContentLength: -1, TransferEncoding: []string{"chunked"}}, "HTTP/2": {ProtoMajor: 2, ContentLength: -1},
	} {
		if err := body(res); err != nil {
			t.Errorf("%s ends by itself: %v", name, err)
		}
	}
}

func TestBrokenError(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]*BrokenError{
		"after 3 of 9 bytes: it closed the connection": {3, 9, io.ErrUnexpectedEOF},
		"after 3 bytes: connection reset by peer":      {3, -1, &net.OpError{Op: "read", Net: "tcp", Err: errors.New("connection reset by peer")}},
	} {
		if err.Error() != want || !errors.Is(err, err.Err) {
			t.Errorf("%q, want %q", err, want)
		}
	}
}

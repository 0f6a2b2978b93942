package egress_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/agentproxy/agentproxy/proxy/proxytest"
	"github.com/agentproxy/agentproxy/proxy/status"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// What cannot be carried as it was meant never reaches an origin, of either
// protocol, and the refusal says why.
func TestRequestsThatAreNotCarried(t *testing.T) {
	for name, c := range map[string]struct {
		fields []hpack.HeaderField // over HTTP/2
		line   string              // over HTTP/1.1
		reason string
	}{
		"CONNECT":           {h2(":method", "CONNECT", ":authority", "origin.test:443"), "CONNECT origin.test:443 HTTP/1.1", "CONNECT inside the tunnel"},
		"CONNECT of a path": {nil, "CONNECT /x HTTP/1.1", "CONNECT inside the tunnel"},
		"a blank in the path": {h2(":method", "GET", ":scheme", "https", ":authority", "origin.test", ":path", "/x HTTP/1.0"), "",
			"has a blank"},
		"a request in the path": {h2(":method", "GET", ":scheme", "https", ":authority", "origin.test", ":path", "/x?a b HTTP/1.1"), "",
			"has a blank"},
		"a method that is none": {h2(":method", "GET /evil HTTP/1.1", ":scheme", "https", ":authority", "origin.test", ":path", "/"), "",
			"is no token"},
	} {
		for _, origin := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, origin h2 %v", name, origin), func(t *testing.T) {
				var reached atomic.Int64
				tn := counting(t, &reached, origin)
				if c.fields != nil {
					code, body := askHTTP2(t, tn, c.fields)
					if code != "400" || !strings.Contains(body, c.reason) {
						t.Errorf("HTTP/2: %s %q", code, body)
					}
				}
				if c.line != "" {
					res, body := askLine(t, tn, c.line+"\r\nHost: origin.test:443\r\n\r\n")
					if res.StatusCode != 400 || !strings.Contains(body, c.reason) || !res.Close {
						t.Errorf("HTTP/1.1: %s %q, close %v", res.Status, body, res.Close)
					}
				}
				if f := tn.WaitFailure(t); f.Kind != status.BadRequest || f.By != "front" {
					t.Errorf("recorded: %+v", f)
				}
				if n := reached.Load(); n > 0 {
					t.Errorf("%d requests reached the origin", n)
				}
			})
		}
	}
}

// Extended CONNECT (RFC 8441) is not carried; nothing of it reaches an origin.
func TestExtendedConnectIsRefused(t *testing.T) {
	var reached atomic.Int64
	tn := counting(t, &reached, true)
	code, _ := askHTTP2(t, tn, h2(":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", "origin.test", ":path", "/"))
	if code != "400" && code != "reset" {
		t.Errorf("answered with %s", code)
	}
	if n := reached.Load(); n > 0 {
		t.Errorf("%d requests reached the origin", n)
	}
}

// A request for the server as a whole is the origin's to answer, and a Host in
// an odd spelling reaches it in the normal one.
func TestOddRequestsReachTheOrigin(t *testing.T) {
	for _, origin := range []bool{false, true} {
		for _, c := range [][3]string{
			{"OPTIONS * HTTP/1.1", "origin.test", "OPTIONS * origin.test"},
			{"GET https://origin.test/x?y HTTP/1.1", "origin.test", "GET /x?y origin.test"},
			{"GET /x HTTP/1.1", "ORIGIN.Test", "GET /x origin.test"},
			{"GET /x HTTP/1.1", "origin.test:443", "GET /x origin.test:443"},
			{"GET /x HTTP/1.1", "origin.test:0443", "GET /x origin.test:443"},
			{"GET /x HTTP/1.1", "origin.test.", "GET /x origin.test"},
			{"GET /x HTTP/1.0", "origin.test", "GET /x origin.test"},
		} {
			t.Run(fmt.Sprintf("%s, Host %s, origin h2 %v", c[0], c[1], origin), func(t *testing.T) {
				tn := counting(t, new(atomic.Int64), origin)
				if res, body := askLine(t, tn, c[0]+"\r\nHost: "+c[1]+"\r\n\r\n"); res.StatusCode != 200 || body != c[2] {
					t.Errorf("%s %q, want %q", res.Status, body, c[2])
				}
			})
		}
	}
	for line, want := range map[string]int{"GET / HTTP/9.9": 505, "GET / HTTP/2.0": 505, "PRI * HTTP/2.0": 400} {
		tn := counting(t, new(atomic.Int64), false)
		if res, _ := askLine(t, tn, line+"\r\nHost: origin.test\r\n\r\n"); res.StatusCode != want {
			t.Errorf("%s: %s, want %d", line, res.Status, want)
		}
	}
}

// counting runs a tunnel to an origin that says what it was asked.
func counting(t *testing.T, reached *atomic.Int64, overHTTP2 bool) *proxytest.Tunnel {
	t.Helper()
	configure := onlyHTTP1
	if overHTTP2 {
		configure = onlyHTTP2
	}
	root := proxytest.NewCA(t, "root")
	addr := proxytest.Origin(t, root.Issue(t, nil, nil, "origin.test"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached.Add(1)
		fmt.Fprint(w, r.Method, " ", r.RequestURI, " ", r.Host)
	}), configure, generalOptions)
	return proxytest.Start(t, proxytest.Setup{Roots: root.Pool(), ConnectTo: map[string]string{"origin.test:443": addr}})
}

func h2(pairs ...string) (fields []hpack.HeaderField) {
	for i := 0; i < len(pairs); i += 2 {
		fields = append(fields, hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	return fields
}

func dial(t *testing.T, tn *proxytest.Tunnel, protocol string) *tls.Conn {
	t.Helper()
	raw, res := tn.Connect(t, "origin.test:443")
	if res.StatusCode != 200 {
		t.Fatal(res.Status)
	}
	return tls.Client(raw, &tls.Config{ServerName: "origin.test", RootCAs: tn.Roots, NextProtos: []string{protocol}})
}

func askLine(t *testing.T, tn *proxytest.Tunnel, text string) (*http.Response, string) {
	t.Helper()
	c := dial(t, tn, "http/1.1")
	io.WriteString(c, text)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

// askHTTP2 sends fields that no client library would, and returns the status, or
// "reset", and the body.
func askHTTP2(t *testing.T, tn *proxytest.Tunnel, fields []hpack.HeaderField) (code, body string) {
	t.Helper()
	c := dial(t, tn, "h2")
	io.WriteString(c, http2.ClientPreface)
	f := http2.NewFramer(c, c)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	f.WriteSettings()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, field := range fields {
		enc.WriteField(field)
	}
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			t.Fatalf("no answer: %v", err)
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			code = frame.PseudoValue("status")
			if frame.StreamEnded() {
				return code, body
			}
		case *http2.DataFrame:
			body += string(frame.Data())
			if frame.StreamEnded() {
				return code, body
			}
		case *http2.RSTStreamFrame:
			if code != "" {
				return code, body
			}
			return "reset", ""
		}
	}
}

package egress_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/proxytest"
	"github.com/agentproxy/agentproxy/proxy/proxytest/raced"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/coder/websocket"
)

// The four combinations of protocols carry everything that HTTP has.
func eachProtocol(t *testing.T, h http.Handler, test func(t *testing.T, c *http.Client, tn *proxytest.Tunnel)) {
	for _, origin := range []struct {
		name      string
		configure func(*httptest.Server)
	}{{"h1", onlyHTTP1}, {"h2", onlyHTTP2}} {
		tn := proxytest.ToOrigin(t, h, origin.configure)
		for _, h2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("client h2 %v, origin %s", h2, origin.name), func(t *testing.T) {
				test(t, tn.Client(t, h2), tn)
			})
		}
	}
}

func TestRequestsPassUnchanged(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(err)
		}
		w.Header()["Date"], w.Header()["Content-Type"] = nil, nil
		w.Header().Set("X-Saw", r.Method+" "+r.RequestURI+" "+r.Host)
		w.Header().Set("X-Saw-Headers", fmt.Sprint(r.Header["X-Forwarded-For"], r.Header["User-Agent"], r.Header["Accept-Encoding"], r.Header["Via"], r.Header["Cookie"]))
		w.Header().Add("Set-Cookie", "a=1")
		w.Header().Add("Set-Cookie", "b=2")
		w.WriteHeader(418)
		w.Write(bytes.ToUpper(body))
	})
	eachProtocol(t, h, func(t *testing.T, c *http.Client, _ *proxytest.Tunnel) {
		const uri = `/a%2Fb/../c%20d/"q"//e?x=1;y=%zz&z`
		r, err := http.NewRequest("PATCH", "https://origin.test/", strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		r.URL.Opaque = uri
		r.Header["User-Agent"] = nil
		r.Header.Set("X-Forwarded-For", "192.0.2.9")
		r.Header.Set("Cookie", "c=3")
		res, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != 418 || string(body) != "HELLO" {
			t.Errorf("got %d %q", res.StatusCode, body)
		}
		if got, want := res.Header.Get("X-Saw"), "PATCH "+uri+" origin.test"; got != want {
			t.Errorf("origin saw %s\nwant       %s", got, want)
		}
		if got, want := res.Header.Get("X-Saw-Headers"), "[192.0.2.9] [] [] [] [c=3]"; got != want {
			t.Errorf("origin saw headers %s, want %s", got, want)
		}
		if got := res.Header.Values("Set-Cookie"); len(got) != 2 {
			t.Errorf("Set-Cookie: %q", got)
		}
		for _, name := range []string{"Date", "Content-Type", "Via"} {
			if v, ok := res.Header[name]; ok {
				t.Errorf("%s was added: %q", name, v)
			}
		}
	})
}

func TestTrailersAndStreaming(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		w.WriteHeader(200)
		rc := http.NewResponseController(w)
		rc.EnableFullDuplex()
		rc.Flush()
		// Each line is answered before the next is sent.
		lines := bufio.NewScanner(r.Body)
		n := 0
		for lines.Scan() {
			n++
			fmt.Fprintf(w, "%d %s\n", n, lines.Text())
			rc.Flush()
		}
		w.Header().Set("X-Sum", fmt.Sprint(n))
	})
	eachProtocol(t, h, func(t *testing.T, c *http.Client, _ *proxytest.Tunnel) {
		pr, pw := io.Pipe()
		res, err := c.Post("https://origin.test/", "text/plain", pr)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		answers := bufio.NewReader(res.Body)
		for i := 1; i <= 3; i++ {
			fmt.Fprintf(pw, "line\n")
			got, err := answers.ReadString('\n')
			if err != nil || got != fmt.Sprintf("%d line\n", i) {
				t.Fatalf("got %q, %v", got, err)
			}
		}
		pw.Close()
		if _, err := io.Copy(io.Discard, answers); err != nil {
			t.Fatal(err)
		}
		if got := res.Trailer.Get("X-Sum"); got != "3" {
			t.Errorf("trailer %q, want 3", got)
		}
	})
}

// An origin may answer for good while the client still sends, and the client
// hear it before it has sent all.
func TestAnswerBeforeTheRequestEnds(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex() // else a server of HTTP/1.1 reads on first
		w.Header().Set("Trailer", "Reason")
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, "no\n")
		w.Header().Set("Reason", "early")
	})
	eachProtocol(t, h, func(t *testing.T, c *http.Client, _ *proxytest.Tunnel) {
		for range 10 {
			body, more := io.Pipe()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			r, err := http.NewRequestWithContext(ctx, "POST", "https://origin.test/", body)
			if err != nil {
				t.Fatal(err)
			}
			go more.Write([]byte("begun"))
			res, err := c.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(res.Body)
			if err != nil || string(text) != "no\n" || res.ProtoMajor == 2 && res.Trailer.Get("Reason") != "early" {
				t.Fatalf("%q, trailer %v, %v", text, res.Trailer, err)
			}
			res.Body.Close()
			more.Close()
			cancel()
		}
	})
}

func TestServerSentEventsAreFlushedAtOnce(t *testing.T) {
	next := make(chan struct{})
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			<-next // the client asks for the next one only when it has seen this one
		}
	})
	eachProtocol(t, h, func(t *testing.T, c *http.Client, _ *proxytest.Tunnel) {
		res, err := c.Get("https://origin.test/events")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		br := bufio.NewReader(res.Body)
		for i := range 3 {
			line, err := br.ReadString('\n')
			if err != nil || line != fmt.Sprintf("data: %d\n", i) {
				t.Fatalf("got %q, %v", line, err)
			}
			br.ReadString('\n')
			next <- struct{}{}
		}
	})
}

func TestExpectContinue(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refuse" {
			w.WriteHeader(http.StatusExpectationFailed)
			return
		}
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	})
	tn := proxytest.ToOrigin(t, h, onlyHTTP1)
	for _, c := range []struct {
		path  string
		code  int
		reads bool
	}{{"/take", 200, true}, {"/refuse", 417, false}} {
		client := tn.Client(t, false)
		client.Transport.(*http.Transport).ExpectContinueTimeout = time.Minute
		var read atomic.Bool
		body := readerFunc(func(b []byte) (int, error) {
			if read.Swap(true) {
				return 0, io.EOF
			}
			return copy(b, "body"), nil
		})
		r, err := http.NewRequest("PUT", "https://origin.test"+c.path, io.NopCloser(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Expect", "100-continue")
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != c.code || read.Load() != c.reads {
			t.Errorf("%s: status %d, body read %v", c.path, res.StatusCode, read.Load())
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

func TestWebSocket(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"echo"}})
		if err != nil {
			return
		}
		defer c.CloseNow()
		c.SetReadLimit(1 << 20)
		for {
			kind, data, err := c.Read(r.Context())
			if err != nil {
				return
			}
			if err := c.Write(r.Context(), kind, data); err != nil {
				return
			}
		}
	})
	// The origin offers HTTP/2 as well; the upgrade must find HTTP/1.1.
	tn := proxytest.ToOrigin(t, h)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c, _, err := websocket.Dial(ctx, "wss://origin.test/ws", &websocket.DialOptions{HTTPClient: tn.Client(t, false), Subprotocols: []string{"echo"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	c.SetReadLimit(1 << 20)
	for _, size := range []int{0, 1, 125, 70000, 500000} {
		want := bytes.Repeat([]byte{'x'}, size)
		if err := c.Write(ctx, websocket.MessageBinary, want); err != nil {
			t.Fatal(err)
		}
		_, got, err := c.Read(ctx)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("size %d: %d bytes back, %v", size, len(got), err)
		}
	}
	if c.Subprotocol() != "echo" {
		t.Errorf("subprotocol %q", c.Subprotocol())
	}
	c.Close(websocket.StatusNormalClosure, "bye")
}

// period is the length after which the test pattern repeats; a prime, so that
// a lost or doubled buffer shows.
const period = 65521

var block = func() []byte {
	b := make([]byte, 4*period)
	for i := range b {
		b[i] = byte((i % period) * 7 >> 3)
	}
	return b
}()

// pattern is an endless deterministic stream.
type pattern struct{ at int }

func (p *pattern) Read(b []byte) (int, error) {
	n := copy(b, block[p.at:])
	p.at = (p.at + n) % period
	return n, nil
}

// check reads r to its end and says "intact" or what is wrong.
func check(r io.Reader, size int64) string {
	buf := make([]byte, 64<<10)
	var n int64
	for {
		got, err := r.Read(buf)
		if at := int(n % period); !bytes.Equal(buf[:got], block[at:at+got]) {
			return fmt.Sprintf("differs after byte %d", n)
		}
		n += int64(got)
		switch {
		case err == io.EOF && n == size:
			return "intact"
		case err != nil:
			return fmt.Sprintf("%v after %d bytes of %d", err, n, size)
		}
	}
}

// Bodies far larger than any buffer pass in both directions, intact and
// without being held.
func TestLargeBodies(t *testing.T) {
	size := int64(2 << 30)
	if raced.Enabled || testing.Short() {
		size = 128 << 20
	}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "PUT" {
			io.WriteString(w, check(r.Body, size))
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(size))
		io.Copy(w, io.LimitReader(new(pattern), size))
	})
	tn := proxytest.ToOrigin(t, h, onlyHTTP1)
	c := tn.Client(t, false)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	res, err := c.Get("https://origin.test/")
	if err != nil {
		t.Fatal(err)
	}
	if got := check(res.Body, size); got != "intact" {
		t.Errorf("download: %s", got)
	}
	res.Body.Close()
	r, err := http.NewRequest("PUT", "https://origin.test/", io.LimitReader(new(pattern), size))
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = size
	if res, err = c.Do(r); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(res.Body)
	res.Body.Close()
	if string(got) != "intact" {
		t.Errorf("upload: %s, %v", got, err)
	}
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > 256<<20 {
		t.Errorf("the heap grew by %d MB for bodies of %d MB", grown>>20, size>>20)
	}
}

func TestThousandConcurrentRequests(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.RawQuery) })
	eachProtocol(t, h, func(t *testing.T, c *http.Client, tn *proxytest.Tunnel) {
		var wg sync.WaitGroup
		var failed atomic.Int64
		n := 1000
		if raced.Enabled {
			n = 250 // handshakes are ten times slower
		}
		for i := range n {
			wg.Go(func() {
				want := fmt.Sprint("n=", i)
				res, err := c.Get("https://origin.test/?" + want)
				if err != nil {
					failed.Add(1)
					t.Log(err)
					return
				}
				defer res.Body.Close()
				if got, err := io.ReadAll(res.Body); err != nil || string(got) != want {
					failed.Add(1)
					t.Logf("got %q, %v", got, err)
				}
			})
		}
		wg.Wait()
		if n := failed.Load(); n > 0 {
			t.Errorf("%d requests failed", n)
		}
		if f := tn.Failures(); len(f) > 0 {
			t.Errorf("failures: %v", f[0])
		}
	})
}

// Later visits to an origin use the connection of earlier ones.
func TestOriginConnectionsArePooled(t *testing.T) {
	var conns atomic.Int64
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") })
	tn := proxytest.ToOrigin(t, h, func(s *httptest.Server) {
		s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
			if st == http.StateNew {
				conns.Add(1)
			}
		}
	})
	for range 20 {
		c := tn.Client(t, false)
		res, err := c.Get("https://origin.test/")
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		c.CloseIdleConnections()
	}
	// A client may come before its predecessor's connection is back: it has its
	// answer a moment earlier.
	if n := conns.Load(); n > 5 {
		t.Errorf("20 visits made %d connections to the origin", n)
	}
}

func TestMisdirectedRequests(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "secret") })
	for _, c := range []struct{ name, sni, host string }{
		{"another Host", "origin.test", "other.test"},
		{"another port", "origin.test", "origin.test:8443"},
		{"another SNI", "other.test", "origin.test"},
		{"a Host that is no host", "origin.test", "a b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tn := proxytest.ToOrigin(t, h)
			raw, res := tn.Connect(t, "origin.test:443")
			if res.StatusCode != 200 {
				t.Fatal(res.Status)
			}
			// The client of an attacker does not mind whose certificate it gets,
			// so the test verifies the leaf against the CONNECT host instead.
			conn := tls.Client(raw, &tls.Config{ServerName: c.sni, InsecureSkipVerify: true, VerifyConnection: func(cs tls.ConnectionState) error {
				_, err := cs.PeerCertificates[0].Verify(x509.VerifyOptions{DNSName: "origin.test", Roots: tn.Roots})
				return err
			}})
			fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", c.host)
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(answer.Body)
			if want := 421; answer.StatusCode != want && c.name != "a Host that is no host" || strings.Contains(string(body), "secret") || answer.StatusCode < 400 {
				t.Errorf("got %s: %s", answer.Status, body)
			}
			if answer.StatusCode == 421 {
				if f := tn.WaitFailure(t); f.Kind != status.Misdirected {
					t.Errorf("failure %v", f)
				}
			}
		})
	}
	t.Run("the same host in other spellings", func(t *testing.T) {
		tn := proxytest.ToOrigin(t, h)
		raw, res := tn.Connect(t, "ORIGIN.test.:443")
		if res.StatusCode != 200 {
			t.Fatal(res.Status)
		}
		conn := tls.Client(raw, &tls.Config{ServerName: "origin.test", RootCAs: tn.Roots})
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: Origin.Test:443\r\n\r\n")
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || answer.StatusCode != 200 {
			t.Errorf("got %v, %v", answer, err)
		}
	})
}

// An origin that breaks off is answered with a 502 that says so, and one that
// breaks off in the middle of a body never looks complete.
func TestOriginBreaksOff(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "half")
			w.(http.Flusher).Flush()
		}
		panic(http.ErrAbortHandler)
	})
	eachProtocol(t, h, func(t *testing.T, c *http.Client, tn *proxytest.Tunnel) {
		res, err := c.Post("https://origin.test/head", "text/plain", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 502 || res.Header.Get(status.ErrorHeader) != string(status.OriginFailed) {
			t.Errorf("got %s %v", res.Status, res.Header)
		}
		if res, err = c.Get("https://origin.test/body"); err != nil {
			return // cut before the head was out
		}
		if got, err := io.ReadAll(res.Body); err == nil {
			t.Errorf("a cut body looks complete: %q", got)
		}
		res.Body.Close()
	})
}

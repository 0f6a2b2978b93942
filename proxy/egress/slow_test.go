package egress_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/proxytest"
)

// heldPerReader bounds what an origin gets rid of for a client that does not
// read: a window of HTTP/2 and the buffers of four sockets.
const heldPerReader = 32 << 20

// stubborn is an origin that has more to send than anybody holds, and takes no
// upload where it is asked to.
type stubborn struct {
	begun chan struct{} // one for each transfer
	sent  sync.Map      // bytes by request number
	n     atomic.Int64
}

func (s *stubborn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/flood":
		sent := new(atomic.Int64)
		s.sent.Store(s.n.Add(1), sent)
		chunk := make([]byte, 256<<10)
		for i := 0; ; i++ {
			n, err := w.Write(chunk)
			if sent.Add(int64(n)); err != nil {
				return
			}
			if i == 1 { // more than is held on the way for long
				s.begun <- struct{}{}
			}
		}
	case "/ignore":
		io.ReadFull(r.Body, make([]byte, 1))
		s.begun <- struct{}{}
		<-r.Context().Done()
	default:
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "ok %s", body)
	}
}

func stubbornTunnel(t *testing.T, configure func(*httptest.Server)) (*stubborn, *proxytest.Tunnel) {
	t.Helper()
	s := &stubborn{begun: make(chan struct{}, 1000)}
	root := proxytest.NewCA(t, "root")
	addr := proxytest.Origin(t, root.Issue(t, nil, nil, "origin.test"), s, configure)
	return s, proxytest.Start(t, proxytest.Setup{Roots: root.Pool(), ConnectTo: map[string]string{"origin.test:443": addr}})
}

func onlyHTTP2(s *httptest.Server) {
	s.TLS.NextProtos = []string{"h2"}
	p := new(http.Protocols)
	p.SetHTTP2(true)
	s.Config.Protocols = p
	// As servers do that know no limit.
	s.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 100000}
}

func onlyHTTP1(s *httptest.Server) { s.EnableHTTP2 = false }

// answered asks as other clients, of both protocols, and as those given.
func answered(t *testing.T, tn *proxytest.Tunnel, more ...*http.Client) {
	t.Helper()
	clients := append(more, tn.Client(t, false), tn.Client(t, false), tn.Client(t, true), tn.Client(t, true))
	for i, c := range clients {
		for _, method := range []string{"GET", "POST"} {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			body := ""
			if method == "POST" {
				body = "body"
			}
			r, err := http.NewRequestWithContext(ctx, method, "https://origin.test/ok", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			res, err := c.Do(r)
			if err != nil {
				t.Fatalf("client %d, %s: %v", i, method, err)
			}
			got, err := io.ReadAll(res.Body)
			res.Body.Close()
			cancel()
			if err != nil || string(got) != "ok "+body {
				t.Fatalf("client %d, %s: %q, %v", i, method, got, err)
			}
		}
	}
}

// However many clients do not read, the others of the same host are answered.
func TestSlowReadersStopNobodyElse(t *testing.T) {
	for n, h2 := range map[int]bool{17: false, 40: true, 100: false} {
		t.Run(fmt.Sprintf("%d readers, h2 %v", n, h2), func(t *testing.T) {
			origin, tn := stubbornTunnel(t, onlyHTTP2)
			for range n {
				open(t, tn.Client(t, h2), "https://origin.test/flood")
			}
			for range n {
				<-origin.begun
			}
			answered(t, tn)
			origin.sent.Range(func(_, sent any) bool {
				if b := sent.(*atomic.Int64).Load(); b > heldPerReader {
					t.Errorf("%d MB were taken from the origin for a client that does not read", b>>20)
				}
				return true
			})
		})
	}
}

// open asks and does not read.
func open(t *testing.T, c *http.Client, url string) {
	t.Helper()
	res, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
}

// Streams that a client does not read do not stop others on its connection.
func TestUnreadStreamsStopNoOtherStream(t *testing.T) {
	for name, configure := range map[string]func(*httptest.Server){"h1": onlyHTTP1, "h2": onlyHTTP2} {
		t.Run("origin "+name, func(t *testing.T) {
			origin, tn := stubbornTunnel(t, configure)
			c := tn.Client(t, true)
			for range 20 {
				open(t, c, "https://origin.test/flood")
			}
			for range 20 {
				<-origin.begun
			}
			answered(t, tn, c)
		})
	}
}

// Uploads that an origin does not take stop no other client's.
func TestIgnoredUploadsStopNobodyElse(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("client h2 %v", h2), func(t *testing.T) {
			origin, tn := stubbornTunnel(t, onlyHTTP2)
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			t.Cleanup(wg.Wait)
			t.Cleanup(cancel)
			for range 20 {
				c := tn.Client(t, h2)
				wg.Go(func() {
					r, err := http.NewRequestWithContext(ctx, "POST", "https://origin.test/ignore", endless{})
					if err != nil {
						return
					}
					if res, err := c.Do(r); err == nil {
						res.Body.Close()
					}
				})
			}
			for range 20 {
				<-origin.begun
			}
			answered(t, tn)
		})
	}
}

type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }

// generalOptions lets an origin answer OPTIONS * itself.
func generalOptions(s *httptest.Server) { s.Config.DisableGeneralOptionsHandler = true }

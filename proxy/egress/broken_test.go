package egress_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/proxy/proxytest"
	"github.com/agentproxy/agentproxy/proxy/proxytest/lying"
	"github.com/agentproxy/agentproxy/proxy/status"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// An answer that breaks off behind its head is recorded as the origin's doing,
// with how far it came.
func TestOriginsThatBreakOffAreRecorded(t *testing.T) {
	ends := map[string]func(*testing.T, tls.Certificate) func(net.Conn){}
	for _, end := range []string{"close", "fin", "rst"} {
		ends["HTTP/1.1, "+end] = func(t *testing.T, cert tls.Certificate) func(net.Conn) { return breaksOffHTTP1(t, cert, end) }
	}
	for name, end := range map[string]func(*http2.Framer, net.Conn){
		"INTERNAL_ERROR": reset(http2.ErrCodeInternal),
		"CANCEL":         reset(http2.ErrCodeCancel),
		"REFUSED_STREAM": reset(http2.ErrCodeRefusedStream),
		"PROTOCOL_ERROR": reset(http2.ErrCodeProtocol),
		"NO_ERROR":       reset(http2.ErrCodeNo),
		"GOAWAY":         func(f *http2.Framer, c net.Conn) { f.WriteGoAway(1, http2.ErrCodeInternal, nil); c.Close() },
		"fin":            func(_ *http2.Framer, c net.Conn) { c.Close() },
		"end of stream":  func(f *http2.Framer, _ net.Conn) { f.WriteData(1, true, nil) },
		"garbage":        func(_ *http2.Framer, c net.Conn) { c.Write(bytes.Repeat([]byte{0xff}, 100)); c.Close() },
	} {
		ends["HTTP/2, "+name] = func(_ *testing.T, cert tls.Certificate) func(net.Conn) { return breaksOffHTTP2(cert, end) }
	}
	for name, end := range ends {
		for _, h2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, client h2 %v", name, h2), func(t *testing.T) {
				root := proxytest.NewCA(t, "root")
				addr := proxytest.Listen(t, end(t, root.Issue(t, nil, nil, "origin.test")))
				tn := proxytest.Start(t, proxytest.Setup{Roots: root.Pool(), ConnectTo: map[string]string{"origin.test:443": addr}})
				if got, _ := ask(t, tn.Client(t, h2), "GET", "https://origin.test"+lying.Path+"0", ""); got != "200 cut" && got != "gone" {
					t.Errorf("the client saw %q", got)
				}
				f := tn.WaitFailure(t)
				if f.Kind != status.OriginFailed || f.By != "origin" || !strings.Contains(f.Detail, "origin.test:443 broke off its answer after 4 of 100000 bytes: ") {
					t.Errorf("recorded: %+v", f)
				}
			})
		}
	}
}

func breaksOffHTTP1(t *testing.T, cert tls.Certificate, end string) func(net.Conn) {
	s, err := lying.Parse("broken", `
		expect 200 cut
		record "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhalf"
		segment
		`+pauseBefore[end]+`
		`+end)
	if err != nil {
		t.Fatal(err)
	}
	return (&lying.Origin{Scripts: []*lying.Script{s}, Cert: cert}).Serve
}

// A reset may take back what was sent just before.
var pauseBefore = map[string]string{"rst": "pause 100ms"}

// breaksOffHTTP2 answers the first stream with 4 of 100,000 bytes and ends as
// it is told.
func breaksOffHTTP2(cert tls.Certificate, end func(*http2.Framer, net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		conn := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}})
		defer c.Close()
		if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		f := http2.NewFramer(conn, conn)
		f.WriteSettings()
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			headers, ok := frame.(*http2.HeadersFrame)
			if !ok || headers.StreamID != 1 {
				continue
			}
			var block bytes.Buffer
			enc := hpack.NewEncoder(&block)
			enc.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
			enc.WriteField(hpack.HeaderField{Name: "content-length", Value: "100000"})
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true})
			f.WriteData(1, false, []byte("half"))
			end(f, conn)
		}
	}
}

func reset(code http2.ErrCode) func(*http2.Framer, net.Conn) {
	return func(f *http2.Framer, _ net.Conn) { f.WriteRSTStream(1, code) }
}

// A client that leaves is not the origin's fault, whenever it leaves.
func TestClientsThatLeaveAreNotRecorded(t *testing.T) {
	for name, configure := range map[string]func(*testing.T) (*stubborn, *proxytest.Tunnel){
		"h1": func(t *testing.T) (*stubborn, *proxytest.Tunnel) { return stubbornTunnel(t, onlyHTTP1) },
		"h2": func(t *testing.T) (*stubborn, *proxytest.Tunnel) { return stubbornTunnel(t, onlyHTTP2) },
	} {
		for _, h2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("client h2 %v, origin %s", h2, name), func(t *testing.T) {
				origin, tn := configure(t)
				for range 3 {
					c := tn.Client(t, h2)
					res, err := c.Get("https://origin.test/flood")
					if err != nil {
						t.Fatal(err)
					}
					<-origin.begun
					io.ReadFull(res.Body, make([]byte, 1000))
					res.Body.Close()
					// An upload that is broken off.
					r, err := http.NewRequest("POST", "https://origin.test/ok", io.MultiReader(strings.NewReader("begun"), failing{}))
					if err != nil {
						t.Fatal(err)
					}
					r.ContentLength = 1 << 20
					if res, err := c.Do(r); err == nil {
						res.Body.Close()
						t.Error("a broken upload was answered: ", res.Status)
					}
					c.CloseIdleConnections()
				}
				tn.Front.Close() // waits for what is under way
				for _, f := range tn.Failures() {
					if f.By == "origin" {
						t.Errorf("recorded: %v", f)
					}
				}
			})
		}
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }

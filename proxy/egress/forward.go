package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/status"
)

// forwarder carries the requests of re-terminated clients to origins,
// unchanged but for the hop-by-hop headers (RFC 9110 §7.6.1).
type forwarder struct {
	origins *origins
	proxy   httputil.ReverseProxy
	// any speaks what the origin prefers, http1 HTTP/1.1 where the origin likes
	// it, upgrades HTTP/1.1 in any case.
	any, http1, upgrades *http.Transport
	// idle are the connections of the lanes.
	idle *pool
}

func newForwarder(o *origins) *forwarder {
	f := &forwarder{origins: o, idle: newPool(o)}
	f.any = newTransport(func(ctx context.Context, t policy.Target) (*tls.Conn, error) {
		return o.get(ctx, t, "h2", "http/1.1")
	})
	f.http1 = newTransport(o.getHTTP1)
	f.upgrades = newTransport(func(ctx context.Context, t policy.Target) (*tls.Conn, error) {
		return o.dialTLS(ctx, t, "http/1.1")
	})
	f.proxy = httputil.ReverseProxy{
		Rewrite:        rewrite,
		Transport:      f,
		ModifyResponse: amend,
		ErrorHandler:   f.fail,
		ErrorLog:       discard,
		BufferPool:     &bufferPool{},
	}
	return f
}

func newTransport(get func(context.Context, policy.Target) (*tls.Conn, error)) *http.Transport {
	return &http.Transport{
		DialTLSContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			t, err := policy.ParseTarget(addr)
			if err != nil {
				return nil, err
			}
			return get(ctx, t)
		},
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxIdleConns:           1024,
		MaxIdleConnsPerHost:    128,
		IdleConnTimeout:        90 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 1 << 20,
		ReadBufferSize:         32 << 10,
		WriteBufferSize:        32 << 10,
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerStream:     4 << 20,
			MaxReceiveBufferPerConnection: 64 << 20,
		},
	}
}

func (f *forwarder) close() {
	f.any.CloseIdleConnections()
	f.http1.CloseIdleConnections()
	f.upgrades.CloseIdleConnections()
	f.idle.close()
}

// ServeHTTP forwards one request.
func (f *forwarder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := r.Context().Value(clientKey{}).(*clientConn)
	c.requests.Add(1)
	if why := c.misdirected(r); why != "" {
		failure := misdirected(c, why)
		c.report(failure)
		failure.Respond(w)
		return
	}
	if r.ProtoMajor == 1 {
		// An origin may answer before it has read all; so may we (errors only
		// where the protocol has no such thing).
		_ = http.NewResponseController(w).EnableFullDuplex()
	}
	body := &upload{ReadCloser: r.Body, client: w, http2: r.ProtoMajor == 2}
	r = r.WithContext(context.WithValue(r.Context(), uploadKey{}, body))
	if r.Body != http.NoBody {
		r.Body = body
	}
	f.proxy.ServeHTTP(w, r)
}

// RoundTrip chooses the transport. An HTTP/1.1 client is served over HTTP/1.1,
// which is faster than a change of protocol and keeps its meaning; only its
// first request takes a connection that CONNECT has dialled ahead and that
// turned out to be HTTP/2. An upgrade needs HTTP/1.1 (RFC 9113 §8.6 took it out
// of HTTP/2).
func (f *forwarder) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("Upgrade") != "" {
		return f.upgrades.RoundTrip(r)
	}
	c := r.Context().Value(clientKey{}).(*clientConn)
	t := c.session.target
	if c.http2 || !f.origins.prefersHTTP1(t, c.requests.Load() == 1) {
		return f.any.RoundTrip(r)
	}
	res, err := f.http1.RoundTrip(r)
	var failure *status.Failure
	if errors.As(err, &failure) && failure.Reason == noHTTP1 {
		// Refused before a byte of the request was sent.
		f.origins.onlyHTTP2(t)
		return f.any.RoundTrip(r)
	}
	return res, err
}

// rewrite addresses the request to the CONNECT target and undoes what
// ReverseProxy tidies up: signed URLs and forwarding headers must pass as they
// came.
func rewrite(pr *httputil.ProxyRequest) {
	c := pr.In.Context().Value(clientKey{}).(*clientConn)
	pr.Out.URL.RawQuery, pr.Out.URL.ForceQuery = pr.In.URL.RawQuery, pr.In.URL.ForceQuery
	address(pr.Out, c.session.target, pr.In.RequestURI)
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if values, ok := pr.In.Header[name]; ok {
			pr.Out.Header[name] = values
		}
	}
}

// address makes the request one to the target, its path as it was written and
// not re-encoded.
func address(r *http.Request, t policy.Target, uri string) {
	r.URL.Scheme, r.URL.Host = "https", t.String()
	if path, _, _ := strings.Cut(uri, "?"); strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "//") {
		r.URL.Opaque = path
	}
}

type uploadKey struct{}

// upload is a request's body, as its client sends it.
type upload struct {
	io.ReadCloser
	client http.ResponseWriter
	http2  bool
	ended  atomic.Bool
}

func (u *upload) Read(b []byte) (int, error) {
	n, err := u.ReadCloser.Read(b)
	if err != nil {
		u.ended.Store(true)
	}
	return n, err
}

// abandon ends an upload that nobody wants any more. Without it the transport
// would wait for the client to go on, and the client for its answer.
func (u *upload) abandon() {
	switch {
	case u.ended.Load():
	case u.http2:
		u.ReadCloser.Close()
	default: // closing would read on; the connection is of no further use
		_ = http.NewResponseController(u.client).SetReadDeadline(time.Unix(1, 0))
	}
}

// download is the body of an origin's answer. When it is closed the origin has
// said all, whatever the client still sends.
type download struct {
	io.ReadCloser
	upload *upload
}

func (d *download) Close() error {
	d.upload.abandon()
	return d.ReadCloser.Close()
}

// amend stops net/http from adding what the origin did not send, and from
// waiting for what the client has not.
func amend(res *http.Response) error {
	u := res.Request.Context().Value(uploadKey{}).(*upload)
	for _, name := range []string{"Date", "Content-Type"} {
		if _, ok := res.Header[name]; !ok {
			u.client.Header()[name] = nil
		}
	}
	if res.StatusCode != http.StatusSwitchingProtocols && res.Request.Body != nil {
		res.Body = &download{res.Body, u}
	}
	return nil
}

// fail answers a request that could not be carried.
func (f *forwarder) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // the client has gone
	}
	c := r.Context().Value(clientKey{}).(*clientConn)
	failure := f.failure(c, err)
	c.report(failure)
	failure.Respond(w)
}

// failure words an error of a round trip.
func (f *forwarder) failure(c *clientConn, err error) *status.Failure {
	t := c.session.target
	var failure *status.Failure
	switch {
	case errors.As(err, &failure):
		return failure
	case f.origins.wantsClientCert(t):
		// In TLS 1.3 a refusal comes after our handshake, as an alert or, when
		// our request crosses it, as a broken connection.
		return certRequested(t, err)
	}
	failure = c.session.failure(status.OriginFailed, "origin", fmt.Sprintf("%s broke off the request: %s", t, cause(err)))
	failure.Code = http.StatusBadGateway
	return failure
}

func misdirected(c *clientConn, why string) *status.Failure {
	failure := c.session.failure(status.Misdirected, "front", why)
	failure.Code = http.StatusMisdirectedRequest
	return failure
}

// bufferPool lends copy buffers to ReverseProxy.
type bufferPool struct{ pool sync.Pool }

const copyBuffer = 64 << 10

func (p *bufferPool) Get() []byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, copyBuffer)
}

func (p *bufferPool) Put(b []byte) { p.pool.Put(&b) }

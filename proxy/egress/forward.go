package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agentproxy/agentproxy/proxy/egress/http1"
	"github.com/agentproxy/agentproxy/proxy/egress/message"
	"github.com/agentproxy/agentproxy/proxy/egress/wire"
	"github.com/agentproxy/agentproxy/proxy/handshake"
	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/status"
)

// forwarder carries the requests of re-terminated clients to origins,
// unchanged but for the hop-by-hop headers (RFC 9110 §7.6.1).
type forwarder struct {
	origins *origins
	proxy   httputil.ReverseProxy
	// http1 speaks HTTP/1.1 where the origin likes it, upgrades in any case.
	http1, upgrades *http.Transport
	// any speak what the origin prefers; each carries one client's requests to
	// one origin at a time. These are unused.
	any *pool[*http.Transport]
	// active counts the requests under way.
	active atomic.Int64
	// idle are connections of the fast path.
	idle *pool[*http1.Conn]
}

func newForwarder(o *origins) *forwarder {
	f := &forwarder{origins: o}
	f.idle = newPool(func(c *http1.Conn) { c.Close() })
	f.any = newPool((*http.Transport).CloseIdleConnections)
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
		// The streams of one client together cannot use up the connection.
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerStream:     originWindow,
			MaxReceiveBufferPerConnection: clientStreams * originWindow,
		},
	}
}

// originWindow is what an HTTP/2 stream of an origin may send ahead of its
// reader, in bytes; at 50 ms that is 40 MB/s.
const originWindow = 2 << 20

func (f *forwarder) close() {
	f.any.close()
	f.http1.CloseIdleConnections()
	f.upgrades.CloseIdleConnections()
	f.idle.close()
}

// dropIdle closes the connections to origins that nobody uses.
func (f *forwarder) dropIdle() {
	f.any.drain()
	f.idle.drain()
	f.http1.CloseIdleConnections()
	f.upgrades.CloseIdleConnections()
	f.origins.dropAllReady()
}

// ServeHTTP forwards one request.
func (f *forwarder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.active.Add(1)
	defer f.active.Add(-1)
	c := r.Context().Value(clientKey{}).(*clientConn)
	c.requests.Add(1)
	if failure := c.refusal(r); failure != nil {
		c.report(failure)
		if r.ProtoMajor == 1 {
			w.Header().Set("Connection", "close")
		}
		failure.Respond(w)
		return
	}
	if failure := c.judge(r); failure != nil {
		c.report(failure)
		decline(w, r, failure)
		return
	}
	c.session.carried.add(r.Method)
	if r.ProtoMajor == 1 {
		// An origin may answer before it has read all; so may we (errors only
		// where the protocol has no such thing).
		_ = http.NewResponseController(w).EnableFullDuplex()
	}
	body := &upload{ReadCloser: r.Body, client: w, http2: r.ProtoMajor == 2}
	ctx := httptrace.WithClientTrace(r.Context(), body.trace())
	r = r.WithContext(context.WithValue(ctx, uploadKey{}, body))
	if r.Body == http.NoBody || r.ContentLength == 0 {
		body.ended.Store(true)
	} else {
		r.Body = body
		if r.ProtoMajor == 1 {
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			c.watch(ctx, cancel)
			r = r.WithContext(ctx)
		}
	}
	f.proxy.ServeHTTP(w, r)
}

// RoundTrip chooses the transport. An HTTP/1.1 client is served over HTTP/1.1,
// which is faster than a change of protocol and keeps its meaning; only its
// first request takes a connection that CONNECT has dialled ahead and that
// turned out to be HTTP/2. An upgrade needs HTTP/1.1 (RFC 9113 §8.6 took it out
// of HTTP/2).
func (f *forwarder) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(_ int, header textproto.MIMEHeader) error {
			message.DropHopByHop(http.Header(header))
			return nil
		},
	}))
	if r.Header.Get("Upgrade") != "" {
		return f.upgrades.RoundTrip(r)
	}
	c := r.Context().Value(clientKey{}).(*clientConn)
	t := c.session.target
	if c.http2 || !f.origins.prefersHTTP1(t, c.requests.Load() == 1) {
		return f.share(c, r)
	}
	res, err := send(f.http1, r)
	var failure *status.Failure
	if errors.As(err, &failure) && failure.Reason == handshake.NoHTTP1 {
		// Refused before a byte of the request was sent.
		f.origins.onlyHTTP2(t)
		return f.share(c, r)
	}
	return res, err
}

// send is t.RoundTrip, once more for each idle connection that turns out to
// have ended.
func send(t *http.Transport, r *http.Request) (*http.Response, error) {
	u, ok := r.Context().Value(uploadKey{}).(*upload)
	if !ok { // of the fast path: without a body, and idempotent
		return t.RoundTrip(r)
	}
	for {
		try := r
		if r.Body != nil {
			try = r.WithContext(r.Context())
			try.Body = lent{u}
		}
		res, err := t.RoundTrip(try)
		if err == nil || r.Context().Err() != nil || !u.unsent() {
			return res, err
		}
	}
}

// share sends the request over the transport that the client's requests under
// way share, or else over an unused one. No two clients share an HTTP/2
// connection at the same time: its flow control would let one that does not
// read, or an origin that does not read one's upload, stop all others
// (RFC 9113 §5.2.1).
func (f *forwarder) share(c *clientConn, r *http.Request) (*http.Response, error) {
	t := c.session.target
	res, err := send(c.shared.borrow(f, t), r)
	if err != nil {
		c.shared.giveBack(f, t)
		return nil, err
	}
	res.Body = &borrowed{ReadCloser: res.Body, giveBack: sync.OnceFunc(func() { c.shared.giveBack(f, t) })}
	return res, nil
}

// shared is the transport of a client's requests under way.
type shared struct {
	mu        sync.Mutex
	transport *http.Transport
	users     int
}

func (s *shared) borrow(f *forwarder, t policy.Target) *http.Transport {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users == 0 {
		var ok bool
		if s.transport, ok = f.any.take(t); !ok {
			s.transport = newTransport(func(ctx context.Context, t policy.Target) (*tls.Conn, error) {
				return f.origins.get(ctx, t, "h2", "http/1.1")
			})
		}
	}
	s.users++
	return s.transport
}

func (s *shared) giveBack(f *forwarder, t policy.Target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users--; s.users == 0 {
		f.any.put(t, s.transport)
		s.transport = nil
	}
}

// borrowed is the body of an answer that came over a shared transport.
type borrowed struct {
	io.ReadCloser
	giveBack func()
}

func (b *borrowed) Close() error {
	defer b.giveBack()
	return b.ReadCloser.Close()
}

// rewrite addresses the request to the CONNECT target and undoes what
// ReverseProxy tidies up: signed URLs and forwarding headers must pass as they
// came.
func rewrite(pr *httputil.ProxyRequest) {
	c := pr.In.Context().Value(clientKey{}).(*clientConn)
	pr.Out.URL.RawQuery, pr.Out.URL.ForceQuery = pr.In.URL.RawQuery, pr.In.URL.ForceQuery
	address(pr.Out, c.session.target, pr.In.RequestURI)
	pr.Out.Host = c.authority(pr.In.Host)
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

// upload is a request's body, as its client sends it, and what else is to be
// known of the request until it is answered.
type upload struct {
	io.ReadCloser
	client http.ResponseWriter
	http2  bool
	ended  atomic.Bool
	// broken: the client has broken it off, or sent what is no body.
	broken atomic.Bool
	// began: some of it has been read. closed: the transport wants no more.
	began, closed atomic.Bool
	// out is the HTTP/1.1 connection that the request went out on.
	out     atomic.Pointer[outgoing]
	interim int // answers so far
}

// outgoing is a connection as a request finds it.
type outgoing struct {
	wire   *wire.Wire
	reused bool
	sent   int64 // bytes, before the request
}

// unsent reports whether the request's connection was an idle one that ended
// before a byte of the request was sent, so that any request may go out again.
// net/http tries again only what is idempotent (Request, "Idempotency-Key").
func (u *upload) unsent() bool {
	out := u.out.Load()
	return out != nil && out.reused && out.wire.Sent() == out.sent && !u.began.Load()
}

// lent is an upload for a transport, which closes what it is given, even when it
// fails before it has read any.
type lent struct{ *upload }

func (l lent) Close() error {
	if !l.began.Load() {
		return nil
	}
	l.closed.Store(true)
	return l.upload.Close()
}

func (u *upload) Read(b []byte) (int, error) {
	u.began.Store(true)
	n, err := u.ReadCloser.Read(b)
	if err != nil {
		if err != io.EOF && !u.ended.Load() && !u.closed.Load() {
			u.broken.Store(true)
		}
		u.ended.Store(true)
	}
	return n, err
}

// trace watches the transport: it notes the connection, and stops an origin
// that sends interim answers without end.
func (u *upload) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotConn: func(got httptrace.GotConnInfo) {
			conn, ok := got.Conn.(*tls.Conn)
			if !ok || isHTTP2(conn) {
				u.out.Store(nil)
				return
			}
			w := wire.Of(conn)
			u.out.Store(&outgoing{w, got.Reused, w.Sent()})
			if got.Reused && !w.Settle() {
				w.Close() // the transport takes another
			}
		},
		Got1xxResponse: func(int, textproto.MIMEHeader) error {
			if u.interim++; u.interim > message.MaxInterim {
				return message.ErrTooManyInterim
			}
			return nil
		},
	}
}

// abandon ends an upload that nobody wants any more. Without it the transport
// would wait for the client to go on, and the client for its answer.
func (u *upload) abandon() {
	switch {
	case u.ended.Swap(true):
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
	res    *http.Response
	client *clientConn
	read   int64
	broken bool
}

func (d *download) Read(b []byte) (int, error) {
	n, err := d.ReadCloser.Read(b)
	d.read += int64(n)
	switch {
	case err == nil, d.broken:
	case err == io.EOF:
		message.CleanTrailer(d.res.Trailer)
	default:
		d.broken = true
		if r := d.res.Request; r.Context().Err() == nil && !d.upload.broken.Load() { // the client is there
			d.client.report(d.client.brokeOff(&message.BrokenError{Read: d.read, Length: d.res.ContentLength, Err: err}))
			if !r.ProtoAtLeast(1, 1) {
				d.client.cut()
			}
		}
	}
	return n, err
}

func (d *download) Close() error {
	d.upload.abandon()
	return d.ReadCloser.Close()
}

// amend refuses what no client must see, and stops net/http from adding what
// the origin did not send and from waiting for what the client has not.
func amend(res *http.Response) error {
	r := res.Request
	if err := message.Vet(res, r.Header.Get("Upgrade") != ""); err != nil {
		return err
	}
	u := r.Context().Value(uploadKey{}).(*upload)
	for _, name := range []string{"Date", "Content-Type"} {
		if _, ok := res.Header[name]; !ok {
			u.client.Header()[name] = nil
		}
	}
	if res.StatusCode == http.StatusSwitchingProtocols {
		return nil
	}
	if out := u.out.Load(); out != nil {
		message.CloseDelimited(res, out.wire)
	}
	message.CleanTrailer(res.Trailer)
	res.Body = &download{ReadCloser: res.Body, upload: u, res: res, client: r.Context().Value(clientKey{}).(*clientConn)}
	return nil
}

// fail answers a request that could not be carried.
func (f *forwarder) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil || r.Context().Value(uploadKey{}).(*upload).broken.Load() {
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
	failure = c.session.failure(status.OriginFailed, "origin", fmt.Sprintf("%s broke off the request: %s", t, status.Cause(err)))
	failure.Code = http.StatusBadGateway
	return failure
}

// brokeOff words an answer that broke off behind its head: no status can tell
// the client of it any more.
func (c *clientConn) brokeOff(err *message.BrokenError) *status.Failure {
	t := c.session.target
	by, detail := "origin", fmt.Sprintf("%s broke off its answer %s", t, err)
	if err.Err == message.ErrStopped {
		by, detail = "front", fmt.Sprintf("the answer of %s ended %s", t, err)
	}
	failure := c.session.failure(status.OriginFailed, by, detail)
	failure.Err = err
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

package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agentproxy/agentproxy/proxy/egress/http1"
	"github.com/agentproxy/agentproxy/proxy/handoff"
	"github.com/agentproxy/agentproxy/proxy/handshake"
	"github.com/agentproxy/agentproxy/proxy/idle"
	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/status"
	"golang.org/x/net/http/httpguts"
)

const (
	clientHandshakeTimeout = 15 * time.Second
	clientHeadTimeout      = 2 * time.Minute // browsers open connections ahead of need
	// hangUpCheck is how often a client that uploads is looked at.
	hangUpCheck = time.Second
)

var discard = log.New(io.Discard, "", 0)

// session is an accepted tunnel to one target. The front hands it the client's
// connection by Serve; for everybody else it is an ordinary net.Conn whose far
// end is re-terminated the same way.
type session struct {
	egress *Egress
	target policy.Target
	// granted is true when somebody has let the target pass that the policy refuses.
	granted bool
	// judged is what the policy in force says of the target.
	judged atomic.Pointer[judged]
	// refused is why the target is not reached, for a Refuser's.
	refused *status.Failure
	carried tally

	start sync.Once
	pipe  net.Conn
}

// Serve re-terminates TLS on the client's connection and serves it until it is
// closed. Failures that the client cannot be told by CONNECT go to report.
func (s *session) Serve(client net.Conn, report func(*status.Failure), taken func()) {
	defer client.Close()
	config, err := s.egress.cfg.CA.Config(s.target.Host.String())
	if err != nil {
		report(s.failure(status.OriginFailed, "front", "minting a leaf failed: "+err.Error()))
		return
	}
	records := &recordConn{Conn: client}
	conn := tls.Server(records, config)
	c := &clientConn{Conn: conn, tls: conn, records: records, session: s, report: report, taken: taken}
	// In a goroutine of its own: it needs a large stack that an idle tunnel
	// should not keep.
	handshake := make(chan error, 1)
	go func() { handshake <- c.handshake() }()
	if err := <-handshake; err != nil {
		report(s.handshakeFailure(err))
		return
	}
	held := records.release()
	attach := func(watched net.Conn) net.Conn {
		c.Conn = watched
		return c
	}
	if c.http2 {
		s.egress.h2.Serve(conn, attach)
		return
	}
	if s.egress.cfg.Local != nil {
		s.egress.h1.Serve(conn, attach)
		return
	}
	// A client that has not asked for anything yet costs no buffers.
	if !held && idle.Wait(client) != nil {
		return
	}
	if rest, handOver := http1.Serve(c, client, fastPath{c}, http1.Options{HeadTimeout: clientHeadTimeout, Buffers: s.egress.forward.proxy.BufferPool}); handOver {
		s.egress.h1.Serve(handoff.Prefixed(conn, rest), attach)
	}
}

func (s *session) failure(kind status.Kind, by, detail string) *status.Failure {
	return &status.Failure{TS: status.Now(), Kind: kind, Host: s.target.String(), By: by, Detail: detail}
}

// handshakeFailure says why the client's handshake failed.
func (s *session) handshakeFailure(err error) *status.Failure {
	var notTLS tls.RecordHeaderError
	switch {
	case errors.As(err, &notTLS):
		return s.failure(status.NotTLS, "client", "the client spoke something other than TLS inside the tunnel")
	case handshake.Alert(err) != "":
		return s.rejected(err)
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		f := s.failure(status.ClientTLSRejected, "client", "the client closed during the TLS handshake, as some do that distrust the CA")
		f.Reason = "closed"
		return f
	}
	f := s.failure(status.ClientTLSRejected, "client", "TLS handshake with the client failed: "+err.Error())
	f.Reason = "handshake"
	return f
}

func (s *session) rejected(err error) *status.Failure {
	f := s.failure(status.ClientTLSRejected, "client", "the client did not accept our certificate: "+handshake.Alert(err))
	f.Reason, f.Err = "alert", err
	return f
}

// clientConn is a client's connection after the handshake. Its first read
// tells whether the client took our certificate: in TLS 1.3 the server's
// handshake is complete before the client has judged.
type clientConn struct {
	net.Conn
	tls     *tls.Conn
	records *recordConn // below tls
	session *session
	report  func(*status.Failure)
	taken   func()
	sni     string
	http2   bool

	requests atomic.Int64
	used     atomic.Bool
	// addressed is a Host that was found to be the target's.
	addressed atomic.Pointer[addressed]
	shared    shared
}

// addressed is a Host as the client wrote it, and in its normal form.
type addressed struct{ host, authority string }

type clientKey struct{}

// handshake shakes hands with the client, and notes what was agreed on.
func (c *clientConn) handshake() error {
	// A deadline in place of a context, which takes a goroutine.
	c.tls.SetDeadline(time.Now().Add(clientHandshakeTimeout))
	defer c.tls.SetDeadline(time.Time{})
	if err := c.tls.Handshake(); err != nil {
		return err
	}
	state := c.tls.ConnectionState()
	c.sni, c.http2 = state.ServerName, state.NegotiatedProtocol == "h2"
	return nil
}

func (c *clientConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && !c.used.Load() && c.used.CompareAndSwap(false, true) {
		c.taken()
	}
	if err != nil && !c.used.Load() && handshake.Alert(err) != "" {
		c.used.Store(true)
		c.report(c.session.rejected(err))
	}
	return n, err
}

// Write sends what takes several records as one segment.
func (c *clientConn) Write(b []byte) (int, error) {
	if len(b) <= maxPlaintext {
		return c.Conn.Write(b)
	}
	return c.records.gather(c.Conn.Write, b)
}

// CloseWrite lets an upgraded connection be half-closed (httputil.ReverseProxy).
func (c *clientConn) CloseWrite() error {
	return c.tls.CloseWrite()
}

// raw is the client's connection below TLS.
func (c *clientConn) raw() net.Conn { return c.records.Conn }

// watch cancels a context when the client hangs up before it is done. It is for
// a request with a body: net/http looks for that only behind the body, which an
// origin may never take.
func (c *clientConn) watch(ctx context.Context, cancel func()) {
	var again *time.Timer
	again = time.AfterFunc(time.Hour, func() {
		switch {
		case ctx.Err() != nil:
		case idle.HungUp(c.raw()):
			cancel()
		default:
			again.Reset(hangUpCheck)
		}
	})
	again.Reset(hangUpCheck)
}

// cut closes the connection in such a way that the client cannot take it for the
// end of an answer: without close_notify, and with a reset where that can be had.
func (c *clientConn) cut() {
	raw := c.raw()
	if tcp, ok := raw.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	raw.Close()
}

// refusal returns why a request is not carried at all, or nil.
func (c *clientConn) refusal(r *http.Request) *status.Failure {
	why := ""
	switch {
	case r.Method == http.MethodConnect:
		why = "CONNECT inside the tunnel to " + c.session.target.String() + " is not carried: ask the proxy itself for another tunnel"
	case r.Method == "PRI": // RFC 9113 §11.6
		why = "HTTP/2 was begun in a connection for which HTTP/1.1 was agreed"
	case !httpguts.ValidHeaderFieldName(r.Method):
		why = "the method is no token"
	case !fitsRequestLine(r.RequestURI):
		why = "the path has a blank or a control character in it"
	}
	if why != "" {
		failure := c.session.failure(status.BadRequest, "front", why)
		failure.Code = http.StatusBadRequest
		return failure
	}
	if why := c.misdirected(r); why != "" {
		failure := c.session.failure(status.Misdirected, "front", why)
		failure.Code = http.StatusMisdirectedRequest
		return failure
	}
	return nil
}

// fitsRequestLine reports whether a request line with the target is read as it
// was meant (RFC 9112 §3): HTTP/2 can carry targets with which it is not.
func fitsRequestLine(target string) bool {
	for i := range len(target) {
		if target[i] <= ' ' || target[i] == 0x7f {
			return false
		}
	}
	return true
}

// authority is the request's Host in its normal form, so that the origin cannot
// read it as another host than the one that was judged. A port stays when it was
// written.
func (c *clientConn) authority(host string) string {
	if known := c.addressed.Load(); known != nil && known.host == host {
		return known.authority
	}
	t := c.session.target
	full := t.String()
	name := full[:strings.LastIndexByte(full, ':')]
	switch {
	case host == "":
		return ""
	case strings.LastIndexByte(host, ':') > strings.LastIndexByte(host, ']') && !strings.HasSuffix(host, ":"):
		return full
	}
	return name
}

// misdirected returns why the request does not belong to the CONNECT host
// (RFC 9110 §15.5.20), "" when it does.
func (c *clientConn) misdirected(r *http.Request) string {
	if known := c.addressed.Load(); known != nil && known.host == r.Host {
		return ""
	}
	t := c.session.target
	if c.sni != "" {
		if h, err := policy.ParseHost(c.sni); err != nil || h != t.Host {
			return "the TLS server name " + quote(c.sni) + " is not the CONNECT host " + t.Host.String()
		}
	}
	if r.Host == "" && !r.ProtoAtLeast(1, 1) {
		return ""
	}
	got, err := policy.ParseAuthority(r.Host, t.Port)
	if err != nil || got != t {
		return "the request is for " + quote(r.Host) + ", not for the CONNECT host " + t.String()
	}
	c.addressed.Store(&addressed{r.Host, c.authority(r.Host)})
	return ""
}

// quote is what a client sent as a host, without what else it may have sent there.
func quote(s string) string { return `"` + status.HostOnly(s) + `"` }

// The net.Conn side: a pipe whose far end Serve takes.

func (s *session) conn() net.Conn {
	s.start.Do(func() {
		near, far := net.Pipe()
		s.pipe = near
		go s.Serve(far, func(*status.Failure) {}, func() {})
	})
	return s.pipe
}

// closedPipe stands for the pipe of a session that is closed before anybody
// has used it as a connection, as after Serve.
var closedPipe = func() net.Conn {
	near, _ := net.Pipe()
	near.Close()
	return near
}()

// Close starts nothing that has not been started.
func (s *session) Close() error {
	s.start.Do(func() { s.pipe = closedPipe })
	return s.pipe.Close()
}

func (s *session) Read(b []byte) (int, error)         { return s.conn().Read(b) }
func (s *session) Write(b []byte) (int, error)        { return s.conn().Write(b) }
func (s *session) LocalAddr() net.Addr                { return pipeAddr{} }
func (s *session) RemoteAddr() net.Addr               { return pipeAddr{} }
func (s *session) SetDeadline(t time.Time) error      { return s.conn().SetDeadline(t) }
func (s *session) SetReadDeadline(t time.Time) error  { return s.conn().SetReadDeadline(t) }
func (s *session) SetWriteDeadline(t time.Time) error { return s.conn().SetWriteDeadline(t) }

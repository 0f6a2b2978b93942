package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http/httptrace"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/agentproxy/agentproxy/proxy/egress/wire"
	"github.com/agentproxy/agentproxy/proxy/handshake"
	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/status"
	"golang.org/x/sync/singleflight"
)

const (
	// dialTimeout bounds name, TCP and TLS together, so that the client gets
	// its answer within five seconds.
	dialTimeout = 4500 * time.Millisecond
	// laterDialTimeout bounds the dials of requests inside a tunnel, which may
	// come a thousand at once.
	laterDialTimeout = 30 * time.Second
	// readyTimeout is how long a verified connection waits for its first
	// request. Servers give up on a silent client after some more.
	readyTimeout = 8 * time.Second
)

// origins dials and verifies origins, and remembers which are connected.
type origins struct {
	cfg    Config
	policy *atomic.Pointer[policy.Policy]
	flight singleflight.Group

	mu      sync.Mutex
	byKey   map[policy.Target]*origin
	closing bool
}

// origin is what is known of one target.
type origin struct {
	// open counts verified connections that live, in use or pooled; http1 those
	// of them that speak HTTP/1.1.
	open, http1 int
	// judgedBy is the policy by which the last of them was dialled.
	judgedBy *policy.Policy
	// ready are connections dialled ahead, not yet handed to a transport.
	ready []*tls.Conn
	// certRequested: it has asked for a client certificate. http2Only: it has
	// refused HTTP/1.1. These outlive the connections.
	certRequested, http2Only bool
}

func newOrigins(cfg Config, p *atomic.Pointer[policy.Policy]) *origins {
	return &origins{cfg: cfg, policy: p, byKey: map[policy.Target]*origin{}}
}

// ensure returns nil once the target has a live verified connection: at once
// when one is pooled, else after dialling one for the first request to use.
// Concurrent first visits dial once.
func (o *origins) ensure(ctx context.Context, t policy.Target) error {
	judge := o.policy.Load()
	o.mu.Lock()
	known := o.at(t).open > 0 && o.at(t).judgedBy == judge
	o.mu.Unlock()
	if known {
		return nil
	}
	done := o.flight.DoChan(fmt.Sprintf("%s %p", t, judge), func() (any, error) {
		// Detached: the first of several clients may give up alone.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dialTimeout)
		defer cancel()
		conn, err := o.dialTLS(ctx, t, "h2", "http/1.1")
		if err != nil {
			return nil, err
		}
		o.keepReady(t, conn)
		return nil, nil
	})
	select {
	case r := <-done:
		return r.Err
	case <-ctx.Done():
		return timeout(t, "the origin", ctx.Err())
	}
}

func (o *origins) keepReady(t policy.Target, conn *tls.Conn) {
	o.mu.Lock()
	closing := o.closing
	if !closing {
		og := o.keep(t)
		og.ready = append(og.ready, conn)
	}
	o.mu.Unlock()
	if closing {
		conn.Close()
		return
	}
	time.AfterFunc(readyTimeout, func() { o.dropReady(t, conn) })
}

// dropReady closes a connection that no request came for.
func (o *origins) dropReady(t policy.Target, conn *tls.Conn) {
	o.mu.Lock()
	og := o.at(t)
	i := slices.Index(og.ready, conn)
	if i >= 0 {
		og.ready = slices.Delete(og.ready, i, i+1)
	}
	o.mu.Unlock()
	if i >= 0 {
		conn.Close()
	}
}

// takeReady returns a connection dialled ahead that speaks one of protos, the
// oldest, or nil. No protocol negotiated means HTTP/1.1.
func (o *origins) takeReady(t policy.Target, protos []string) *tls.Conn {
	o.mu.Lock()
	defer o.mu.Unlock()
	og := o.at(t)
	i := slices.IndexFunc(og.ready, func(c *tls.Conn) bool {
		return !isHTTP2(c) || slices.Contains(protos, "h2")
	})
	if i < 0 {
		return nil
	}
	conn := og.ready[i]
	og.ready = slices.Delete(og.ready, i, i+1)
	return conn
}

func isHTTP2(c *tls.Conn) bool { return c.ConnectionState().NegotiatedProtocol == "h2" }

// get returns a verified connection for a transport.
func (o *origins) get(ctx context.Context, t policy.Target, protos ...string) (*tls.Conn, error) {
	if conn := o.takeReady(t, protos); conn != nil {
		return conn, nil
	}
	ctx, cancel := context.WithTimeout(ctx, laterDialTimeout)
	defer cancel()
	return o.dialTLS(ctx, t, protos...)
}

// prefersHTTP1 reports whether a request of an HTTP/1.1 client should go over
// HTTP/1.1: unless the origin refuses that, or this is the client's first
// request and only an HTTP/2 connection is there.
func (o *origins) prefersHTTP1(t policy.Target, first bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	og := o.at(t)
	return !og.http2Only && (!first || og.http1 > 0 || og.open == 0)
}

// getHTTP1 is get for HTTP/1.1. An origin that speaks HTTP/2 when asked for it
// and, offered only HTTP/1.1, chooses nothing, would rather not: RFC 7301 §3.2
// wants an alert then, which not all servers send.
func (o *origins) getHTTP1(ctx context.Context, t policy.Target) (*tls.Conn, error) {
	conn, err := o.get(ctx, t, "http/1.1")
	if err != nil || conn.ConnectionState().NegotiatedProtocol != "" {
		return conn, err
	}
	o.mu.Lock()
	og := o.at(t)
	reluctant := og.open > og.http1
	o.mu.Unlock()
	if reluctant {
		conn.Close()
		return nil, tlsFailure(t, handshake.ErrNoHTTP1)
	}
	return conn, nil
}

// onlyHTTP2 remembers that the origin refuses HTTP/1.1.
func (o *origins) onlyHTTP2(t policy.Target) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.keep(t).http2Only = true
}

// wantsClientCert reports whether the target has asked for a client certificate.
func (o *origins) wantsClientCert(t policy.Target) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.at(t).certRequested
}

// at returns the origin's entry for looking at; the lock is held. A target that
// was never connected has an empty one, which is not kept.
func (o *origins) at(t policy.Target) *origin {
	if og := o.byKey[t]; og != nil {
		return og
	}
	return new(origin)
}

// keep is at for writing.
func (o *origins) keep(t policy.Target) *origin {
	og := o.at(t)
	o.byKey[t] = og
	return og
}

func (o *origins) close() {
	o.mu.Lock()
	o.closing = true
	o.mu.Unlock()
	o.dropAllReady()
}

// dropAllReady closes what was dialled ahead.
func (o *origins) dropAllReady() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, og := range o.byKey {
		for _, conn := range og.ready {
			go conn.Close()
		}
		og.ready = nil
	}
}

// dialTLS dials, handshakes and verifies.
func (o *origins) dialTLS(ctx context.Context, t policy.Target, protos ...string) (*tls.Conn, error) {
	judge := o.policy.Load() // at the latest: dialTCP may find another
	raw, err := o.dialTCP(ctx, t)
	if err != nil {
		return nil, err
	}
	tracked, err := wire.New(raw)
	if err != nil {
		raw.Close()
		return nil, dialFailure(t, err, "")
	}
	var asked atomic.Bool
	conn := tls.Client(tracked, &tls.Config{
		ServerName:       t.Host.String(),
		RootCAs:          o.cfg.Roots,
		NextProtos:       protos,
		MinVersion:       tls.VersionTLS12,
		VerifyConnection: handshake.RefuseWeak,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			asked.Store(true)
			return new(tls.Certificate), nil
		},
	})
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		switch {
		case ctx.Err() != nil:
			return nil, timeout(t, "the TLS handshake with "+raw.RemoteAddr().String(), err)
		case asked.Load() && handshake.Alert(err) != "":
			return nil, certRequested(t, err)
		}
		return nil, tlsFailure(t, err)
	}
	o.opened(t, tracked, judge, isHTTP2(conn), asked.Load())
	return conn, nil
}

// opened counts a verified connection until it is closed.
func (o *origins) opened(t policy.Target, c *wire.Wire, judge *policy.Policy, http2, asked bool) {
	count := func(n int) {
		o.mu.Lock()
		defer o.mu.Unlock()
		og := o.keep(t)
		og.open += n
		if !http2 {
			og.http1 += n
		}
		og.certRequested = og.certRequested || asked
		if n > 0 {
			og.judgedBy = judge
		}
		if og.open == 0 && len(og.ready) == 0 && !og.certRequested && !og.http2Only {
			delete(o.byKey, t)
		}
	}
	c.OnClose = func() { count(-1) }
	count(1)
}

// dialTCP resolves and dials. The policy judges each address at the moment it
// is dialled, so no other answer of the resolver can come between.
func (o *origins) dialTCP(ctx context.Context, t policy.Target) (net.Conn, error) {
	address, mapped := o.cfg.ConnectTo[t.String()]
	if !mapped {
		address = t.String()
	}
	var refusal atomic.Pointer[policy.Decision]
	var chain aliases
	judge := o.policy.Load()
	dialer := net.Dialer{Resolver: chain.watch(o.cfg.Resolver, judge, t)}
	if !mapped {
		dialer.ControlContext = func(_ context.Context, _, addr string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(addr)
			if err != nil {
				return err
			}
			if d := chain.judge(judge, t, ap.Addr()); !d.Allowed {
				refusal.CompareAndSwap(nil, &d)
				return errors.New(d.Reason)
			}
			return nil
		}
	}
	waiting := new(waitingFor)
	conn, err := dialer.DialContext(waiting.trace(ctx), "tcp", address)
	if err == nil {
		return conn, nil
	}
	if d := refusal.Load(); d != nil {
		return nil, d.Failure(t)
	}
	return nil, dialFailure(t, err, waiting.String())
}

// waitingFor remembers what a dial is busy with, for the answer when it takes
// too long.
type waitingFor struct {
	mu   sync.Mutex
	what string
}

func (w *waitingFor) set(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.what = fmt.Sprintf(format, args...)
}

func (w *waitingFor) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.what
}

func (w *waitingFor) trace(ctx context.Context) context.Context {
	w.set("the name server")
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		ConnectStart: func(_, addr string) { w.set("a TCP connection to %s", addr) },
	})
}

func timeout(t policy.Target, what string, err error) *status.Failure {
	return &status.Failure{TS: status.Now(), Kind: status.OriginTimeout, Code: 504, Host: t.String(), By: "origin",
		Detail: fmt.Sprintf("%s did not answer in time: waited for %s", t, what), Err: err}
}

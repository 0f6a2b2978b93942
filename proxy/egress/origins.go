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

	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/status"
	"golang.org/x/sync/singleflight"
)

const (
	// dialTimeout bounds name, TCP and TLS together, so that the client gets
	// its answer within five seconds.
	dialTimeout = 4500 * time.Millisecond
	// readyTimeout is how long a verified connection waits for its first
	// request. Servers give up on a silent client after some more.
	readyTimeout = 8 * time.Second
)

// origins dials and verifies origins, and remembers which are connected.
type origins struct {
	cfg    Config
	flight singleflight.Group

	mu      sync.Mutex
	byKey   map[string]*origin
	closing bool
}

// origin is what is known of one target.
type origin struct {
	open          int         // verified connections that live, in use or pooled
	ready         []*tls.Conn // dialled ahead, not yet handed to a transport
	certRequested atomic.Bool // it has asked for a client certificate
}

func newOrigins(cfg Config) *origins {
	return &origins{cfg: cfg, byKey: map[string]*origin{}}
}

// ensure returns nil once the target has a live verified connection: at once
// when one is pooled, else after dialling one for the first request to use.
// Concurrent first visits dial once.
func (o *origins) ensure(ctx context.Context, t policy.Target) error {
	key := t.String()
	o.mu.Lock()
	known := o.byKey[key] != nil && o.byKey[key].open > 0
	o.mu.Unlock()
	if known {
		return nil
	}
	done := o.flight.DoChan(key, func() (any, error) {
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
	og := o.byKey[t.String()]
	kept := og != nil && !o.closing
	if kept {
		og.ready = append(og.ready, conn)
	}
	o.mu.Unlock()
	if !kept {
		conn.Close()
		return
	}
	time.AfterFunc(readyTimeout, func() { o.dropReady(t, conn) })
}

// dropReady closes a connection that no request came for.
func (o *origins) dropReady(t policy.Target, conn *tls.Conn) {
	o.mu.Lock()
	og := o.byKey[t.String()]
	i := -1
	if og != nil {
		i = slices.Index(og.ready, conn)
	}
	if i >= 0 {
		og.ready = slices.Delete(og.ready, i, i+1)
	}
	o.mu.Unlock()
	if i >= 0 {
		conn.Close()
	}
}

// takeReady returns a connection dialled ahead, the oldest, or nil.
func (o *origins) takeReady(t policy.Target) *tls.Conn {
	o.mu.Lock()
	defer o.mu.Unlock()
	og := o.byKey[t.String()]
	if og == nil || len(og.ready) == 0 {
		return nil
	}
	conn := og.ready[0]
	og.ready = og.ready[1:]
	return conn
}

// get returns a verified connection for a transport.
func (o *origins) get(ctx context.Context, t policy.Target) (*tls.Conn, error) {
	if conn := o.takeReady(t); conn != nil {
		return conn, nil
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return o.dialTLS(ctx, t, "h2", "http/1.1")
}

// wantsClientCert tells whether the target has asked for a client certificate.
func (o *origins) wantsClientCert(t policy.Target) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	og := o.byKey[t.String()]
	return og != nil && og.certRequested.Load()
}

func (o *origins) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closing = true
	for _, og := range o.byKey {
		for _, conn := range og.ready {
			go conn.Close()
		}
		og.ready = nil
	}
}

// dialTLS dials, handshakes and verifies.
func (o *origins) dialTLS(ctx context.Context, t policy.Target, protos ...string) (*tls.Conn, error) {
	raw, err := o.dialTCP(ctx, t)
	if err != nil {
		return nil, err
	}
	og := o.opened(t)
	tracked := &trackedConn{Conn: raw, onClose: func() { o.closed(t) }}
	conn := tls.Client(tracked, &tls.Config{
		ServerName:       t.Host.String(),
		RootCAs:          o.cfg.Roots,
		NextProtos:       protos,
		MinVersion:       tls.VersionTLS12,
		VerifyConnection: refuseWeak,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			og.certRequested.Store(true)
			return new(tls.Certificate), nil
		},
	})
	if err := conn.HandshakeContext(ctx); err != nil {
		tracked.Close()
		if ctx.Err() != nil {
			return nil, timeout(t, "the TLS handshake with "+raw.RemoteAddr().String(), err)
		}
		if og.certRequested.Load() && rejection(err) != "" {
			return nil, certRequested(t, err)
		}
		return nil, tlsFailure(t, conn, err)
	}
	return conn, nil
}

func (o *origins) opened(t policy.Target) *origin {
	o.mu.Lock()
	defer o.mu.Unlock()
	og := o.byKey[t.String()]
	if og == nil {
		og = new(origin)
		o.byKey[t.String()] = og
	}
	og.open++
	return og
}

func (o *origins) closed(t policy.Target) {
	o.mu.Lock()
	defer o.mu.Unlock()
	og := o.byKey[t.String()]
	if og.open--; og.open == 0 && !og.certRequested.Load() {
		delete(o.byKey, t.String())
	}
}

// dialTCP resolves and dials. The policy judges each address at the moment it
// is dialled, so no other answer of the resolver can come between.
func (o *origins) dialTCP(ctx context.Context, t policy.Target) (net.Conn, error) {
	address, mapped := o.cfg.ConnectTo[t.String()]
	if !mapped {
		address = t.String()
	}
	dialer := net.Dialer{Resolver: o.cfg.Resolver}
	var refusal atomic.Pointer[policy.Decision]
	if !mapped {
		dialer.ControlContext = func(_ context.Context, _, addr string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(addr)
			if err != nil {
				return err
			}
			if d := o.cfg.Policy.CheckAddr(t, ap.Addr()); !d.Allowed {
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
		return nil, denied(t, *d)
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

// trackedConn tells once when it is closed.
type trackedConn struct {
	net.Conn
	once    sync.Once
	onClose func()
}

func (c *trackedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.onClose)
	return err
}

func timeout(t policy.Target, what string, err error) *status.Failure {
	return &status.Failure{TS: status.Now(), Kind: status.OriginTimeout, Code: 504, Host: t.String(), By: "origin",
		Detail: fmt.Sprintf("%s did not answer in time: waited for %s", t, what), Err: err}
}

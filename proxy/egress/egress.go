// Package egress is the embedded egress: it decides policy, dials and verifies
// the origin, re-terminates TLS with a leaf of our authority and forwards
// requests. Egress.Tunnel is a proxy.TunnelFunc.
package egress

import (
	"context"
	"crypto/x509"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/handoff"
	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/status"
)

// Config is what an Egress is made of.
type Config struct {
	// Policy is the one to begin with; see Egress.SetPolicy.
	Policy *policy.Policy
	CA     *ca.Authority
	// Roots verify origins.
	Roots *x509.CertPool
	// ConnectTo maps host:port to the address dialled in its place; such an
	// address is the user's own word and not checked against the policy.
	ConnectTo map[string]string
	// Ask waits for an answer about a request that the policy refuses and that may be
	// allowed, and returns it; nil asks nobody.
	Ask func(client net.Conn, t policy.Target, r policy.Request, why string) bool
	// Resolver resolves names; nil means the system's.
	Resolver *net.Resolver
	// Local answers every request in place of the origins, for every target:
	// then there is neither policy nor dialling.
	Local http.Handler
}

// Egress carries requests to origins. Close it to drop its connections.
type Egress struct {
	cfg     Config
	policy  atomic.Pointer[policy.Policy]
	origins *origins
	h1, h2  *clientServer
	forward *forwarder
}

// New starts an egress.
func New(cfg Config) *Egress {
	e := &Egress{cfg: cfg}
	e.policy.Store(cfg.Policy)
	e.origins = newOrigins(cfg, &e.policy)
	e.forward = newForwarder(e.origins)
	protocols := func(set func(*http.Protocols, bool)) *http.Protocols {
		p := new(http.Protocols)
		set(p, true)
		return p
	}
	handler := http.Handler(e.forward)
	if cfg.Local != nil {
		handler = cfg.Local
	}
	// The handshake is ours (see session.Serve), so net/http sees a plain
	// connection and HTTP/2 without TLS is HTTP/2 behind our TLS.
	e.h1 = newClientServer(handler, protocols((*http.Protocols).SetHTTP1))
	e.h2 = newClientServer(handler, protocols((*http.Protocols).SetUnencryptedHTTP2))
	return e
}

// SetPolicy puts another policy in force, for what is opened and for what is asked
// from now on, in tunnels that are open as well. Connections to origins that are in use
// go on; idle ones are dropped, since it may judge their addresses otherwise.
func (e *Egress) SetPolicy(p *policy.Policy) {
	e.policy.Store(p)
	e.forward.dropIdle()
}

// Active is how many requests are under way.
func (e *Egress) Active() int64 { return e.forward.active.Load() }

// Close stops serving and drops every connection.
func (e *Egress) Close() {
	e.h1.close()
	e.h2.close()
	e.forward.close()
	e.origins.close()
}

// Tunnel answers a CONNECT. It returns once the origin is known to be good
// (policy, name, address, TCP, TLS, certificate) or with a *status.Failure.
func (e *Egress) Tunnel(ctx context.Context, target string) (net.Conn, error) {
	t, err := policy.ParseTarget(target)
	if err != nil {
		return nil, &status.Failure{TS: status.Now(), Kind: status.BadRequest, Code: http.StatusBadRequest,
			Host: target, By: "front", Detail: err.Error(), Err: err}
	}
	if e.cfg.Local != nil {
		return &session{egress: e, target: t}, nil
	}
	p := e.policy.Load()
	granted := policy.Granted(ctx)
	if d := p.Decide(t); !p.Lets(d) && !(granted && p.MayAllow(t)) {
		return nil, d.Failure(t)
	}
	if _, ok := p.Passthrough(t); ok {
		return e.origins.dialTCP(ctx, t)
	}
	if err := e.origins.ensure(ctx, t); err != nil {
		return nil, err
	}
	return &session{egress: e, target: t, granted: granted}, nil
}

// clientServer is a net/http server that is fed connections one by one.
type clientServer struct {
	*handoff.Listener
	server *http.Server
}

func newClientServer(h http.Handler, p *http.Protocols) *clientServer {
	s := &clientServer{Listener: handoff.New(pipeAddr{})}
	s.server = &http.Server{
		Handler:           h,
		Protocols:         p,
		ErrorLog:          discard,
		ReadHeaderTimeout: clientHeadTimeout,
		IdleTimeout:       10 * time.Minute,
		MaxHeaderBytes:    1 << 20,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, clientKey{}, c.(*clientConn))
		},
		DisableGeneralOptionsHandler: true, // OPTIONS * is for the origin
		// The uploads of one client together cannot use up its connection.
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          clientStreams,
			MaxReceiveBufferPerStream:     clientWindow,
			MaxReceiveBufferPerConnection: clientStreams * clientWindow,
		},
	}
	go s.server.Serve(s.Listener)
	return s
}

func (s *clientServer) close() {
	s.Listener.Close()
	s.server.Close()
}

const (
	// clientStreams is how many requests a client may have under way on one
	// HTTP/2 connection, clientWindow how many bytes of each it may send ahead.
	// All windows together stay below 2^31 (RFC 9113 §6.9.1).
	clientStreams = 1000
	clientWindow  = 1 << 20
)

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "egress" }

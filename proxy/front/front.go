// Package front is the loopback listener that tools are pointed at.
// It accepts CONNECT, answers the status routes, carries the absolute-form
// https:// requests of old clients, and explains everything else.
package front

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agentproxy/agentproxy/proxy"
	"github.com/agentproxy/agentproxy/proxy/guard"
	"github.com/agentproxy/agentproxy/proxy/handoff"
	"github.com/agentproxy/agentproxy/proxy/idle"
	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/status"
)

// Limits on what a client may send and how long it may take.
const (
	maxHead       = 16 << 10
	headTimeout   = 10 * time.Second
	answerTimeout = 4800 * time.Millisecond // Node gives a CONNECT up after five seconds
)

// Front serves one listener. Fill in the fields, then call Serve.
type Front struct {
	Tunnel proxy.TunnelFunc
	// Routes answers everything that is not CONNECT (see Routes).
	Routes http.Handler
	// Report is told of each failure, with the client it happened to. It must
	// return quickly.
	Report func(net.Conn, *status.Failure)
	// Ask waits for leave to open a tunnel that would be refused, where there is somebody
	// to give it; nil asks nobody.
	Ask func(conn net.Conn, target string) bool
	// Opened is told of each tunnel that has been opened, with its client and what carries
	// it, before a byte passes; nil is told nothing. Of what it returns, taken is told when the
	// client is known to have taken the certificate, ended when the tunnel has ended.
	Opened func(client net.Conn, target string, tunnel net.Conn) (taken, ended func())
	// Authorize decides on Proxy-Authorization credentials; nil lets everybody in.
	Authorize func(user, password string) bool
	// HeadTimeout is how long a request head may take; 0 means 10 seconds.
	HeadTimeout time.Duration
	// Admit decides on a new connection; nil admits all. It keeps other users out.
	Admit func(net.Conn) *status.Failure
	// Fault is told of a panic, which ends the connection that it happened on and
	// no other; nil is told nothing.
	Fault func(*guard.Fault)

	open, total atomic.Int64
	turned      atomic.Int64 // connections that are being turned away
	lastActive  atomic.Int64 // unix nanoseconds

	mu       sync.Mutex
	conns    map[net.Conn]struct{}
	relays   map[net.Conn]net.Conn // of conns, those that are merely passed on, and where to
	closed   bool
	stopped  bool // closed to new ones
	listener net.Listener
	http     *http.Server
	plain    *handoff.Listener
	wg       sync.WaitGroup
}

type connKey struct{}

// ClientConn returns the connection that a request to the front came on.
func ClientConn(r *http.Request) net.Conn {
	c, _ := r.Context().Value(connKey{}).(net.Conn)
	return c
}

// Counts returns how many tunnels are open now and were opened in all.
func (f *Front) Counts() (open, total int64) { return f.open.Load(), f.total.Load() }

// LastActive is when the last tunnel was opened or closed; looking at the
// status page is no activity.
func (f *Front) LastActive() time.Time { return time.Unix(0, f.lastActive.Load()) }

// Serve accepts connections until Close. It returns nil after Close.
func (f *Front) Serve(l net.Listener) error {
	if f.HeadTimeout == 0 {
		f.HeadTimeout = headTimeout
	}
	f.mu.Lock()
	f.listener, f.conns, f.relays = l, map[net.Conn]struct{}{}, map[net.Conn]net.Conn{}
	f.plain = handoff.New(l.Addr())
	f.http = &http.Server{Handler: f.Routes, ErrorLog: discard, ReadHeaderTimeout: f.HeadTimeout, MaxHeaderBytes: maxHead,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) }}
	// One request a connection: CONNECT is then recognised in one place.
	f.http.SetKeepAlivesEnabled(false)
	f.mu.Unlock()
	f.touch()
	go f.http.Serve(f.plain)
	var delay time.Duration
	for {
		conn, err := l.Accept()
		if err != nil {
			if f.isClosed() {
				return nil
			}
			// Out of descriptors, most likely: wait as net/http does.
			delay = min(max(2*delay, 5*time.Millisecond), time.Second)
			time.Sleep(delay)
			continue
		}
		delay = 0
		if f.add(conn) {
			go func() {
				// A new goroutine, since to open a tunnel takes a stack of 8 KiB, and to carry one 2.
				if carry := f.begin(conn); carry != nil {
					go f.serve(conn, carry)
				}
			}()
		}
	}
}

// StopAccepting closes the port. What is under way goes on.
func (f *Front) StopAccepting() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = true
	if f.listener != nil {
		f.listener.Close()
	}
}

// Moving is how many tunnels that are merely passed on have moved bytes of late,
// where the system tells.
func (f *Front) Moving(within time.Duration) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for conn := range f.relays {
		if idle.Moved(conn, within) {
			n++
		}
	}
	return n
}

// Close stops accepting, drops every connection and waits for the handlers.
func (f *Front) Close() error {
	f.mu.Lock()
	f.closed = true
	if f.listener != nil {
		f.listener.Close()
		f.plain.Close()
		f.http.Close()
	}
	for conn := range f.conns {
		conn.Close()
	}
	for _, tunnel := range f.relays { // the client of which may have ended already
		tunnel.Close()
	}
	f.mu.Unlock()
	f.wg.Wait()
	return nil
}

func (f *Front) isClosed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed || f.stopped
}

// add takes a connection, which Close waits for until remove, or closes it when
// the front is closed.
func (f *Front) add(conn net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || f.stopped {
		conn.Close()
		return false
	}
	f.conns[conn] = struct{}{}
	f.wg.Add(1) // under the lock, so that none comes when Close waits
	return true
}

func (f *Front) remove(conn net.Conn) {
	defer f.wg.Done()
	conn.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, conn)
}

// begin handles a connection that was added. It closes the connection when there is nothing to
// carry.
func (f *Front) begin(conn net.Conn) (carry func()) {
	if fault := guard.Do("serving a client", func() { carry = f.handle(conn) }); fault != nil {
		f.fault(fault)
	}
	if carry == nil {
		f.remove(conn)
	}
	return carry
}

// serve serves a connection that was added, and closes it.
func (f *Front) serve(conn net.Conn, handle func()) {
	defer f.remove(conn)
	if fault := guard.Do("serving a client", handle); fault != nil {
		f.fault(fault)
	}
}

func (f *Front) touch() { f.lastActive.Store(time.Now().UnixNano()) }

// handle answers a client's first request. It returns the tunnel to carry, if one was opened.
func (f *Front) handle(conn net.Conn) (carry func()) {
	c := newHeadConn(conn)
	if f.Admit != nil {
		if failure := f.Admit(conn); failure != nil {
			f.turnAway(c, failure)
			return nil
		}
	}
	conn.SetReadDeadline(time.Now().Add(f.HeadTimeout))
	first, err := c.peek(len("CONNECT "))
	switch {
	case err != nil:
		// Nothing, or too little to be a request: a port scan or a dropped
		// preconnect. There is nobody to answer.
	case string(first) == "CONNECT ":
		return f.connect(c)
	case first[0] == 0x16: // a TLS handshake record (RFC 8446 §5.1)
		f.refuse(c, &status.Failure{Kind: status.PlainHTTP, Code: http.StatusBadRequest, By: "front",
			Detail: "the client opened TLS to the proxy port itself instead of sending CONNECT",
			Advice: "write the proxy's URL with http://, not https://; wget2 1.99 cannot use such a proxy at all (use wget or curl)"})
	case first[0] == socks4 || first[0] == socks5:
		f.socks(c, first[0])
	default:
		conn.SetReadDeadline(time.Time{})
		f.plain.Serve(c, nil)
	}
	return nil
}

// connect answers one CONNECT and returns the tunnel to carry.
func (f *Front) connect(c *headConn) (carry func()) {
	head, err := c.readHead(maxHead)
	if err != nil {
		f.refuse(c, badHead(err))
		return nil
	}
	target := head.target
	if f.Authorize != nil && !f.Authorize(head.credentials()) {
		f.refuse(c, &status.Failure{Kind: status.ProxyAuthRequired, Code: http.StatusProxyAuthRequired, By: "front", Host: target,
			Detail: "this egress requires credentials", Advice: "put user:password into the proxy's URL"})
		return nil
	}
	tunnel, err := f.openTunnel(c.Conn, target)
	if err != nil {
		f.refuse(c, failureOf(err, target))
		return nil
	}
	taken, ended := f.opened(c.Conn, target, tunnel)
	// Exactly 200 (RFC 9110 §9.3.6 allows any 2xx; Go, Node and Java do not).
	_, err = io.WriteString(c.Conn, "HTTP/1.1 200 Connection established\r\n\r\n")
	c.Conn.SetDeadline(time.Time{})
	conn, client := c.Conn, c.afterHead()
	return func() {
		defer tunnel.Close()
		defer ended()
		if err == nil {
			f.carry(conn, client, tunnel, taken)
		}
	}
}

// opened tells of a tunnel that was opened.
func (f *Front) opened(client net.Conn, target string, tunnel net.Conn) (taken, ended func()) {
	if f.Opened == nil {
		return func() {}, func() {}
	}
	return f.Opened(client, target, tunnel)
}

// failureOf is the failure that a tunnel was not opened for.
func failureOf(err error, target string) *status.Failure {
	var failure *status.Failure
	if !errors.As(err, &failure) {
		failure = &status.Failure{Kind: status.OriginFailed, Code: http.StatusBadGateway, By: "front", Detail: err.Error(), Err: err}
	}
	if failure.Host == "" {
		failure.Host = target
	}
	return failure
}

// carry carries an open tunnel to its end. client is conn with what has been read
// from it too early.
func (f *Front) carry(conn, client, tunnel net.Conn, taken func()) {
	f.open.Add(1)
	f.total.Add(1)
	f.touch()
	defer func() {
		f.touch()
		f.open.Add(-1)
	}()
	if s, ok := tunnel.(proxy.Server); ok {
		s.Serve(client, func(failure *status.Failure) { f.report(conn, failure) }, taken)
		return
	}
	f.relay(conn, client, tunnel)
}

// relay carries bytes both ways until both have ended or the front is closed. client is conn with what has been read from
// it too early.
func (f *Front) relay(conn, client, tunnel net.Conn) {
	f.mu.Lock()
	f.relays[conn] = tunnel
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.relays, conn)
	}()
	relay(client, tunnel)
}

// openTunnel asks for leave where that is wanted, opens the tunnel, and answers in time even if the tunnel function does
// not come back.
func (f *Front) openTunnel(conn net.Conn, target string) (net.Conn, error) {
	ctx := context.Background()
	if f.Ask != nil && f.Ask(conn, target) {
		ctx = policy.Grant(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		if fault := guard.Do("opening a tunnel", func() { r.conn, r.err = f.Tunnel(ctx, target) }); fault != nil {
			f.fault(fault)
			r = result{err: fault}
		}
		done <- r
	}()
	select {
	case r := <-done:
		return r.conn, r.err
	case <-ctx.Done():
	}
	// One chance more: the tunnel knows best what it was waiting for.
	select {
	case r := <-done:
		return r.conn, r.err
	case <-time.After(100 * time.Millisecond):
	}
	go func() {
		if r := <-done; r.conn != nil {
			r.conn.Close()
		}
	}()
	return nil, &status.Failure{Kind: status.OriginTimeout, Code: http.StatusGatewayTimeout, By: "front",
		Detail: "no answer within five seconds from the egress", Err: ctx.Err()}
}

func (f *Front) fault(fault *guard.Fault) {
	if f.Fault != nil {
		f.Fault(fault)
	}
}

func (f *Front) report(conn net.Conn, failure *status.Failure) {
	if failure.TS.IsZero() {
		failure.TS = status.Now()
	}
	if f.Report != nil {
		f.Report(conn, failure)
	}
}

// maxTurnedAway is how many that may not come in are given the time to read why.
const maxTurnedAway = 64

// turnAway refuses a connection that may be one of very many.
func (f *Front) turnAway(c *headConn, failure *status.Failure) {
	if f.turned.Add(1) <= maxTurnedAway {
		f.refuse(c, failure)
	} else {
		f.report(c.Conn, failure)
		c.Conn.SetWriteDeadline(time.Now().Add(time.Second))
		c.Conn.Write(failure.Refusal())
	}
	f.turned.Add(-1)
}

// refuse reports the failure and answers the client with it.
func (f *Front) refuse(c *headConn, failure *status.Failure) {
	f.report(c.Conn, failure)
	c.Conn.SetWriteDeadline(time.Now().Add(headTimeout))
	if _, err := c.Conn.Write(failure.Refusal()); err != nil {
		return
	}
	c.drain()
}

// head is a parsed CONNECT request.
type head struct {
	target string
	header http.Header
}

func (h *head) credentials() (user, password string) {
	scheme, value, _ := strings.Cut(h.header.Get("Proxy-Authorization"), " ")
	if !strings.EqualFold(scheme, "Basic") {
		return "", ""
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(value))
	if err != nil {
		return "", ""
	}
	user, password, _ = strings.Cut(string(raw), ":")
	return user, password
}

// SameCredentials compares in constant time.
func SameCredentials(user, password, wantUser, wantPassword string) bool {
	u := subtle.ConstantTimeCompare([]byte(user), []byte(wantUser))
	p := subtle.ConstantTimeCompare([]byte(password), []byte(wantPassword))
	return u&p == 1
}

// badHead words an error of readHead.
func badHead(err error) *status.Failure {
	f := &status.Failure{Kind: status.BadRequest, Code: http.StatusBadRequest, By: "front", Detail: err.Error(), Err: err}
	var ne net.Error
	switch {
	case errors.Is(err, errHeadTooLarge):
		f.Code = http.StatusRequestHeaderFieldsTooLarge
	case errors.As(err, &ne) && ne.Timeout():
		f.Code, f.Detail = http.StatusRequestTimeout, "the request head did not arrive in time"
	}
	return f
}

package egress

import (
	"context"
	"errors"
	"net/http"

	"github.com/agentproxy/agentproxy/proxy/egress/http1"
	"github.com/agentproxy/agentproxy/proxy/egress/message"
	"github.com/agentproxy/agentproxy/proxy/handshake"
	"github.com/agentproxy/agentproxy/proxy/status"
)

// fastPath is the egress as package http1 sees it, for one client.
type fastPath struct{ *clientConn }

func (p fastPath) forwarder() *forwarder { return p.session.egress.forward }

func (p fastPath) Begin(r *http.Request) *status.Failure {
	p.forwarder().active.Add(1)
	p.requests.Add(1)
	if failure := p.refusal(r); failure != nil {
		return failure
	}
	r.Host = p.authority(r.Host)
	if failure := p.judge(r); failure != nil {
		return failure
	}
	p.session.carried.add(r.Method)
	return nil
}

func (p fastPath) End() { p.forwarder().active.Add(-1) }

func (p fastPath) OverHTTP1() bool {
	return p.forwarder().origins.prefersHTTP1(p.session.target, p.requests.Load() == 1)
}

func (p fastPath) Refused(err error) bool {
	var failure *status.Failure
	refused := errors.As(err, &failure) && failure.Reason == handshake.NoHTTP1
	if refused {
		p.forwarder().origins.onlyHTTP2(p.session.target)
	}
	return refused
}

func (p fastPath) Connect() (c *http1.Conn, reused bool, err error) {
	f, t := p.forwarder(), p.session.target
	if conn, ok := f.idle.take(t); ok {
		return conn, true, nil
	}
	conn, err := f.origins.getHTTP1(context.Background(), t)
	if err != nil {
		return nil, false, err
	}
	return http1.NewConn(conn), false, nil
}

func (p fastPath) Keep(conn *http1.Conn) {
	if !conn.Reusable() {
		conn.Close()
		return
	}
	p.forwarder().idle.put(p.session.target, conn)
}

func (p fastPath) RoundTrip(r *http.Request, path string) (*http.Response, error) {
	address(r, p.session.target, path)
	return p.forwarder().share(p.clientConn, r)
}

func (p fastPath) Failed(err error) *status.Failure { return p.forwarder().failure(p.clientConn, err) }

func (p fastPath) Report(f *status.Failure) { p.report(f) }

func (p fastPath) Broken(err *message.BrokenError) { p.report(p.brokeOff(err)) }

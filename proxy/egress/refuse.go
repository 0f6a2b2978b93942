package egress

import (
	"net"
	"net/http"

	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/status"
)

// Refuser answers clients that have sent no CONNECT which could be refused: it
// finishes TLS for the host that they mean, and answers each request with the
// reason. A reset would say nothing.
type Refuser struct{ egress *Egress }

// NewRefuser starts one; its leaves are of the authority's.
func NewRefuser(authority *ca.Authority) *Refuser {
	return &Refuser{New(Config{CA: authority, Local: http.HandlerFunc(refuse)})}
}

// Serve answers a client with a failure until it leaves. What goes wrong while
// telling it is not told: the failure itself says more.
func (r *Refuser) Serve(client net.Conn, f *status.Failure) {
	target, err := policy.ParseTarget(f.Host)
	if err != nil {
		client.Close()
		return
	}
	(&session{egress: r.egress, target: target, refused: f}).Serve(client, func(*status.Failure) {}, func() {})
}

// Close drops its connections.
func (r *Refuser) Close() { r.egress.Close() }

func refuse(w http.ResponseWriter, r *http.Request) {
	f := *r.Context().Value(clientKey{}).(*clientConn).session.refused
	if f.Code == http.StatusProxyAuthRequired || f.Code == 0 { // to the client this is the origin, which has no such answer
		f.Code = http.StatusForbidden
	}
	f.Respond(w)
}

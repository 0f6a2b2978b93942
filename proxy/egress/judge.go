package egress

import (
	"net/http"
	"strings"

	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/status"
)

// judge brings a request into its normal form and returns why the rules on requests
// refuse it, or nil. Where a host has no such rules it passes as it came. The request
// is changed in place: net/http's server frames the answer by the method that was sent.
func (c *clientConn) judge(r *http.Request) *status.Failure {
	rules := c.session.requests
	if rules == nil {
		return nil
	}
	t := c.session.target
	request, also, err := policy.ParseRequest(r.Method, r.RequestURI, r.Header)
	var d policy.Decision
	if err != nil {
		d = rules.Unreadable(err)
	} else {
		d = rules.Decide(request, also)
	}
	if !d.Allowed {
		failure := d.RequestFailure(t, request)
		if !c.session.egress.cfg.Policy.Lets(d) {
			return failure
		}
		failure.Reported, failure.Code = true, 0
		c.report(failure)
	}
	if err == nil {
		r.Method, r.RequestURI = request.Method, request.Target()
	}
	return nil
}

// decline answers a request that the policy refuses. The connection goes on, as it
// does after an origin's own 403.
func decline(w http.ResponseWriter, r *http.Request, f *status.Failure) {
	if strings.HasPrefix(strings.ToLower(r.Header.Get("Content-Type")), "application/grpc") {
		f.RespondGRPC(w)
		return
	}
	f.Respond(w)
}

package egress

import (
	"net/http"
	"strings"

	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/status"
)

// judged is what one policy says of a target.
type judged struct {
	policy *policy.Policy
	// refused is set when the target may not be reached any more.
	refused *policy.Decision
	// requests are the rules on requests, nil where the host is all that is judged.
	requests *policy.Requests
}

// judgement is what the policy in force says of the target; it is asked once, until
// there is another.
func (s *session) judgement() *judged {
	p := s.egress.policy.Load()
	j := s.judged.Load()
	if j != nil && j.policy == p {
		return j
	}
	j = &judged{policy: p, requests: p.Requests(s.target)}
	if d := p.Decide(s.target); !p.Lets(d) && !(s.granted && p.MayAllow(s.target)) {
		j.refused = &d
	}
	s.judged.Store(j)
	return j
}

// judge brings a request into its normal form and returns why the rules on requests
// refuse it, or nil. Where a host has no such rules it passes as it came. The request
// is changed in place: net/http's server frames the answer by the method that was sent.
func (c *clientConn) judge(r *http.Request) *status.Failure {
	j := c.session.judgement()
	rules := j.requests
	if rules == nil && j.refused == nil {
		return nil
	}
	t := c.session.target
	request, also, err := policy.ParseRequest(r.Method, r.RequestURI, r.Header)
	if j.refused != nil {
		return j.refused.RequestFailure(t, request)
	}
	var d policy.Decision
	if err != nil {
		d = rules.Unreadable(err)
	} else {
		d = rules.Decide(request, also)
	}
	if !d.Allowed {
		failure := d.RequestFailure(t, request)
		switch ask := c.session.egress.cfg.Ask; {
		case j.policy.Lets(d):
			failure.Reported, failure.Code = true, 0
			c.report(failure)
		case err != nil || ask == nil || !rules.MayAllow(request, also) || !ask(c.raw(), t, request, d.Reason):
			return failure
		}
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

package proxy

import (
	"net/http/httptest"
	"testing"

	"github.com/agentproxy/agentproxy/proxy/status"
)

// An egress listens to other machines; they may not read its status, whatever
// Host they claim.
func TestStatusIsForThisMachine(t *testing.T) {
	rt := &Routes{Status: func() *status.Document { return &status.Document{} }}
	for remote, code := range map[string]int{"127.0.0.1:1": 200, "[::1]:1": 200, "192.0.2.7:1": 403, "[::ffff:192.0.2.7]:1": 403} {
		r := httptest.NewRequest("GET", status.Path, nil)
		r.Host, r.RemoteAddr = "127.0.0.1:3128", remote
		w := httptest.NewRecorder()
		rt.ServeHTTP(w, r)
		if w.Code != code {
			t.Errorf("%s: %d, want %d", remote, w.Code, code)
		}
	}
}

package front

import (
	"net/http"
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

// The page and its event stream answer neither other sites, nor names that are
// bound anew to loopback, nor methods that change something.
func TestPagesAreGuarded(t *testing.T) {
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {})
	rt := &Routes{Pages: map[string]http.Handler{status.Prefix: page, status.EventsPath: page, status.MetricsPath: page}}
	for path := range rt.Pages {
		for _, test := range []struct {
			method, host, header, value string
			code                        int
		}{
			{"GET", "127.0.0.1:1", "", "", 200},
			{"GET", "localhost:1", "Sec-Fetch-Site", "same-origin", 200},
			{"GET", "127.0.0.1:1", "Sec-Fetch-Site", "none", 200},
			{"GET", "127.0.0.1:1", "Sec-Fetch-Site", "cross-site", 403},
			{"GET", "127.0.0.1:1", "Origin", "https://evil.example", 403},
			{"GET", "127.0.0.1:1", "Origin", "null", 403},
			{"GET", "[::1]:1", "", "", 200},
			{"GET", "evil.example:1", "", "", 403},
			{"GET", "localhost.evil.example:1", "", "", 403},
			{"GET", "127.evil.example:1", "", "", 403},
			{"POST", "127.0.0.1:1", "", "", 405},
		} {
			r := httptest.NewRequest(test.method, path, nil)
			r.Host, r.RemoteAddr = test.host, "127.0.0.1:2"
			if test.header != "" {
				r.Header.Set(test.header, test.value)
			}
			w := httptest.NewRecorder()
			rt.ServeHTTP(w, r)
			if w.Code != test.code {
				t.Errorf("%s %s, %+v: %d", test.method, path, test, w.Code)
			}
		}
	}
}

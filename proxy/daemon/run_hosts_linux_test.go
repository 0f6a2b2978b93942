package daemon

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/proxytest"
)

// What a run's requests come to is in the status, by host and method, over HTTP/1 and
// HTTP/2 and while the tunnels are open.
func TestRequestsOfARun(t *testing.T) {
	t.Parallel()
	d := startEdited(t, leadsTo(t, "origin.test", proxytest.OK)+"[policy]\ndeny = [\"origin.test/denied\"]\n").running
	d.attach(t, "a-run", os.Getpid())
	for _, http2 := range []bool{true, false} {
		client := d.client(t)
		client.Transport.(*http.Transport).ForceAttemptHTTP2 = http2
		for _, method := range []string{"GET", "GET", "POST", "FROB"} {
			for _, path := range []string{"/", "/denied"} {
				r, err := http.NewRequest(method, "https://origin.test"+path, strings.NewReader(""))
				if err != nil {
					t.Fatal(err)
				}
				res, err := client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
			}
		}
	}
	got := ""
	for end := time.Now().Add(limit); time.Now().Before(end); {
		if runs := d.document(t).RunHosts; len(runs) == 1 && len(runs[0].Hosts) == 1 {
			h := runs[0].Hosts[0]
			if got = fmt.Sprintf("%s %s: %s, %d refused", runs[0].Run, h.Host, h.Requests(), h.Refused); got == "a-run origin.test:443: GET 4, POST 2, other 2, 8 refused" {
				return
			}
		}
	}
	t.Error(got)
}

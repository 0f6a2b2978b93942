package egress_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/proxytest"
)

// BenchmarkKeepAlive compares requests on kept connections, direct and
// re-terminated, by the protocols on both sides. The ratio is what counts.
func BenchmarkKeepAlive(b *testing.B) {
	page := make([]byte, 1024)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(page) })
	for _, c := range []struct {
		name   string
		client bool
		origin func(*httptest.Server)
	}{{"h1-h1", false, onlyHTTP1}, {"h1-h2", false, onlyHTTP2}, {"h2-h2", true, onlyHTTP2}, {"h2-h1", true, onlyHTTP1}} {
		b.Run(c.name, func(b *testing.B) {
			client := proxytest.ToOrigin(b, h, c.origin).Client(b, c.client)
			get(b, client, "https://origin.test/")
		})
	}
	b.Run("direct", func(b *testing.B) {
		root := proxytest.NewCA(b, "root")
		addr := proxytest.Origin(b, root.Issue(b, nil, nil, "127.0.0.1"), h, onlyHTTP1)
		client := (&proxytest.Tunnel{Roots: root.Pool()}).Client(b, false)
		client.Transport.(*http.Transport).Proxy = nil
		get(b, client, "https://"+addr+"/")
	})
}

// BenchmarkRequestRules is what rules on requests cost: the same requests with rules on
// hosts alone, and with rules on methods and paths beside them. They are sent by turns, in
// batches of a few milliseconds, so that what else the machine does falls on both alike.
// The cost is the median over the pairs of batches.
func BenchmarkRequestRules(b *testing.B) {
	page := make([]byte, 1024)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(page) })
	hosts := policy.Rules{Default: "deny", Allow: []string{"origin.test"}}
	requests := policy.Rules{Default: "deny", Allow: []string{"GET,HEAD origin.test/repos/*/*/contents/**", "POST origin.test/repos/*/issues", "origin.test/org/*.git fetch"},
		Deny: []string{"origin.test/admin/**", "origin.test push"}}
	for _, c := range []struct {
		name   string
		client bool
		origin func(*httptest.Server)
	}{{"h1-h1", false, onlyHTTP1}, {"h2-h2", true, onlyHTTP2}} {
		b.Run(c.name, func(b *testing.B) {
			root := proxytest.NewCA(b, "root")
			addr := proxytest.Origin(b, root.Issue(b, nil, nil, "origin.test"), h, c.origin)
			through := func(rules policy.Rules) *http.Client {
				tn := proxytest.Start(b, proxytest.Setup{Rules: rules, Roots: root.Pool(), ConnectTo: map[string]string{"origin.test:443": addr}})
				return tn.Client(b, c.client)
			}
			plain, judged := through(hosts), through(requests)
			var costs []float64
			for n := 0; b.Loop(); n++ {
				var took [2]time.Duration
				for i := range took {
					at := (i + n) % 2
					took[at] = batch(b, []*http.Client{plain, judged}[at])
				}
				costs = append(costs, 100*(took[1].Seconds()/took[0].Seconds()-1))
			}
			slices.Sort(costs)
			b.ReportMetric(costs[len(costs)/2], "%cost")
		})
	}
}

// batch sends some requests on a few connections, and returns how long that took.
func batch(b *testing.B, client *http.Client) time.Duration {
	begun := time.Now()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 10 {
				res, err := client.Get("https://origin.test/repos/org/name/contents/a/b.go?ref=main")
				if err != nil {
					b.Error(err)
					return
				}
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
		})
	}
	wg.Wait()
	return time.Since(begun)
}

func get(b *testing.B, client *http.Client, url string) {
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			res, err := client.Get(url)
			if err != nil {
				b.Error(err)
				return
			}
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
	})
}

// BenchmarkBulk compares the throughput of large bodies, direct, re-terminated
// and in an opaque tunnel.
func BenchmarkBulk(b *testing.B) {
	const size = 64 << 20
	chunk := make([]byte, 256<<10)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(size))
		for range size / len(chunk) {
			w.Write(chunk)
		}
	})
	root := proxytest.NewCA(b, "root")
	download := func(b *testing.B, client *http.Client, url string) {
		b.SetBytes(size)
		for b.Loop() {
			res, err := client.Get(url)
			if err != nil {
				b.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, res.Body); n != size {
				b.Fatal(n, err)
			}
			res.Body.Close()
		}
	}
	for _, c := range []struct {
		name   string
		client bool
		origin func(*httptest.Server)
	}{{"h1-h1", false, onlyHTTP1}, {"h1-h2", false, onlyHTTP2}, {"h2-h2", true, onlyHTTP2}} {
		b.Run(c.name, func(b *testing.B) {
			download(b, proxytest.ToOrigin(b, h, c.origin).Client(b, c.client), "https://origin.test/")
		})
	}
	addr := proxytest.Origin(b, root.Issue(b, nil, nil, "127.0.0.1", "origin.test"), h, onlyHTTP1)
	b.Run("opaque", func(b *testing.B) {
		tn := proxytest.Start(b, proxytest.Setup{Roots: root.Pool(), Rules: policy.Rules{Passthrough: []string{"origin.test"}},
			ConnectTo: map[string]string{"origin.test:443": addr}})
		tn.Roots = root.Pool()
		download(b, tn.Client(b, false), "https://origin.test/")
	})
	b.Run("direct", func(b *testing.B) {
		client := (&proxytest.Tunnel{Roots: root.Pool()}).Client(b, false)
		client.Transport.(*http.Transport).Proxy = nil
		download(b, client, "https://"+addr+"/")
	})
}

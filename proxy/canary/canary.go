// Package canary is an origin inside the tunnel. Tools that are tried against
// it take the real path (CONNECT, re-terminated TLS, a leaf of our CA) and need
// no network.
package canary

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/agentproxy/agentproxy/proxy"
	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/egress"
)

// Canary is the origin. Close it to drop its connections.
type Canary struct {
	egress *egress.Egress

	mu     sync.Mutex
	trials map[string]contract.Trial
}

// keptTrials is how many trials are remembered at most.
const keptTrials = 10000

// New starts it; its leaves are of the authority's.
func New(authority *ca.Authority) *Canary {
	c := &Canary{trials: map[string]contract.Trial{}}
	c.egress = egress.New(egress.Config{CA: authority, Local: c})
	return c
}

// Close drops its connections.
func (c *Canary) Close() { c.egress.Close() }

// Tunnel returns a TunnelFunc that leads to the canary by its names, and with
// next to everything else.
func (c *Canary) Tunnel(next proxy.TunnelFunc) proxy.TunnelFunc {
	return func(ctx context.Context, target string) (net.Conn, error) {
		trial, ok := trialOf(target)
		if !ok {
			return next(ctx, target)
		}
		c.count(trial, contract.Trial{Connects: 1})
		return c.egress.Tunnel(ctx, target)
	}
}

// trialOf returns the trial that an authority names.
func trialOf(authority string) (string, bool) {
	host, port, err := net.SplitHostPort(authority)
	if err != nil {
		host, port = authority, "443"
	}
	trial, ok := strings.CutSuffix(strings.ToLower(host), "."+contract.CanaryDomain)
	return trial, ok && port == "443"
}

func (c *Canary) count(trial string, add contract.Trial) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, known := c.trials[trial]
	if known || len(c.trials) < keptTrials {
		c.trials[trial] = contract.Trial{Connects: t.Connects + add.Connects, Requests: t.Requests + add.Requests}
	}
}

// Trial returns what was seen of one.
func (c *Canary) Trial(name string) contract.Trial {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.trials[name]
}

// ServeHTTP answers a request for a document.
func (c *Canary) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	trial, _ := trialOf(r.Host)
	c.count(trial, contract.Trial{Requests: 1})
	path := strings.TrimPrefix(r.URL.Path, "/")
	for prefix, serve := range documents {
		if rest, ok := strings.CutPrefix(path, prefix); ok {
			serve(w, r, rest)
			return
		}
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Write([]byte("the canary sings\n"))
}

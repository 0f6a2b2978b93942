package front

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/status"
)

// Routes answers what reaches the front and is not CONNECT: the status routes,
// absolute-form https:// requests when Carry is set, and a 405 that explains
// itself for the rest.
type Routes struct {
	// Status makes the document of /__agentproxy/status.
	Status func() *status.Document
	// CA is the authority's certificate in PEM.
	CA []byte
	// Control serves further routes below /__agentproxy/ by their whole path.
	Control map[string]http.Handler
	// Pages are more of the same that answer GET and HEAD only.
	Pages map[string]http.Handler
	// Carry takes absolute-form https:// requests; nil refuses them.
	Carry http.Handler
	// Report is told of refused requests.
	Report func(net.Conn, *status.Failure)
}

// ServeHTTP implements http.Handler.
func (rt *Routes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasPrefix(r.URL.Path, status.Prefix) && (r.URL.Host == "" || isLoopback(r.URL.Host)):
		rt.own(w, r)
	case rt.Carry != nil && r.URL.Scheme == "https" && r.URL.Host != "":
		rt.Carry.ServeHTTP(w, r)
	default:
		f := plainHTTP(r)
		rt.Report(ClientConn(r), f)
		f.Respond(w)
	}
}

func (rt *Routes) own(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if why := crossSite(r); why != "" {
		http.Error(w, "agentproxy: "+why, http.StatusForbidden)
		return
	}
	if h, ok := rt.Control[r.URL.Path]; ok {
		h.ServeHTTP(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "agentproxy: this route answers GET only", http.StatusMethodNotAllowed)
		return
	}
	if h, ok := rt.Pages[r.URL.Path]; ok {
		h.ServeHTTP(w, r)
		return
	}
	switch r.URL.Path {
	case status.Path:
		w.Header().Set("Content-Type", "application/json")
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		enc.Encode(rt.Status())
	case status.CAPath:
		w.Header().Set("Content-Type", "application/x-pem-file")
		w.Write(rt.CA)
	case status.HealthzPath:
		fmt.Fprintln(w, "ok")
	default:
		http.Error(w, "agentproxy: no such page; try "+status.Prefix+" or "+status.Path, http.StatusNotFound)
	}
}

// crossSite returns why a request may come from a web page and not from the
// user, "" when it does not. A page can name our port under a host of its own
// (DNS rebinding: the Host gives it away) or send requests blindly (the Origin
// and Sec-Fetch-Site headers give them away).
func crossSite(r *http.Request) string {
	if !isLoopback(r.RemoteAddr) {
		return "this page is served to this machine only" // agentproxy egress
	}
	if !isLoopback(r.Host) {
		return "this page is served to loopback hosts only, not to " + status.ASCII(r.Host, 100)
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		if u, err := url.Parse(origin); err != nil || u.Host != r.Host {
			return "cross-site requests are refused"
		}
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return ""
	}
	return "cross-site requests are refused"
}

// isLoopback reports whether an authority, with a port or without, is this machine
// by its spelling.
func isLoopback(authority string) bool {
	target, err := policy.ParseAuthority(authority, 80)
	return err == nil && target.Host.IsLoopback()
}

// methods are those of RFC 9110 §9 and RFC 5789.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodTrace, http.MethodPatch}

// plainHTTP explains a request that is not CONNECT, by what it looks like.
func plainHTTP(r *http.Request) *status.Failure {
	f := &status.Failure{TS: status.Now(), Kind: status.PlainHTTP, Code: http.StatusMethodNotAllowed, By: "front", Host: r.Host}
	what := "a request"
	if slices.Contains(methods, r.Method) { // what else stands there may be anything
		what = r.Method
	}
	switch {
	case r.URL.Scheme == "http" && r.URL.Host != "":
		f.Detail = fmt.Sprintf("%s http://%s was sent to an HTTPS-only proxy, which answers CONNECT only", what, status.ASCII(r.URL.Host, 100))
		f.Advice = "use an https:// URL; look for an http:// registry or repository URL in the tool's configuration, and unset HTTP_PROXY for it"
	case r.URL.Scheme == "https":
		f.Detail = fmt.Sprintf("%s https://%s was sent in absolute form instead of through CONNECT", what, status.ASCII(r.URL.Host, 100))
		f.Advice = "upgrade the client (axios: 1.16.1 or newer), or set compat = true in the [front] section of the configuration"
	default:
		// Not the path: people paste URLs with tokens in them.
		f.Detail = fmt.Sprintf("%s for a page was sent to the proxy as if it were the web server", what)
		f.Advice = "this port is a proxy: give its URL as HTTPS_PROXY, not as the address to fetch from; its status is at " + status.Path
	}
	return f
}

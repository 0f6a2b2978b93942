package front

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httputil"
	"time"

	"github.com/agentproxy/agentproxy/proxy"
	"github.com/agentproxy/agentproxy/proxy/status"
)

// NewCarry returns a handler for absolute-form https:// requests, which axios
// before 1.16.1 sends in place of CONNECT. It opens TLS through the same tunnel
// that CONNECT would have used, so the same policy holds. roots must trust
// whoever re-terminates behind the tunnel; used is told of every request.
func NewCarry(tunnel proxy.TunnelFunc, roots *x509.CertPool, used func(*http.Request), report func(net.Conn, *status.Failure)) http.Handler {
	transport := &http.Transport{
		DialTLSContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, answerTimeout)
			defer cancel()
			raw, err := tunnel(ctx, addr)
			if err != nil {
				return nil, err
			}
			host, _, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			conn := tls.Client(raw, &tls.Config{ServerName: host, RootCAs: roots, MinVersion: tls.VersionTLS12})
			if err := conn.HandshakeContext(ctx); err != nil {
				raw.Close()
				return nil, err
			}
			return conn, nil
		},
		DisableCompression: true,
		IdleConnTimeout:    30 * time.Second,
	}
	proxy := &httputil.ReverseProxy{
		Transport: transport,
		ErrorLog:  discard,
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.Out.Host = pr.In.URL.Host
			pr.Out.URL.RawQuery = pr.In.URL.RawQuery
			pr.Out.Header.Del("Proxy-Authorization")
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			var failure *status.Failure
			if !errors.As(err, &failure) {
				failure = &status.Failure{TS: status.Now(), Kind: status.OriginFailed, Code: http.StatusBadGateway, By: "origin",
					Host: r.URL.Host, Detail: "the request could not be carried: " + err.Error(), Err: err}
			}
			report(ClientConn(r), failure)
			failure.Respond(w)
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		used(r)
		// A client that has sent all may close its side and wait (BusyBox's wget does).
		// To net/http that is a client that has gone, and it cancels the request.
		// One that has gone indeed is noticed when it is answered.
		ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
		defer cancel()
		defer context.AfterFunc(r.Context(), func() { time.AfterFunc(halfClosedTimeout, cancel) })()
		proxy.ServeHTTP(w, r.WithContext(ctx))
	})
}

// halfClosedTimeout is how long a client may wait for the end of its answer that
// has closed its side.
const halfClosedTimeout = 10 * time.Minute

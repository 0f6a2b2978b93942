// Command goproxy is a rival in the benchmark: github.com/elazarl/goproxy, re-terminating
// everything, with its leaves and its connections to the origin kept for the next client.
//
//	goproxy ADDRESS CA.pem KEY.pem ROOTS.pem
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"sync"

	"github.com/elazarl/goproxy"
)

func main() {
	if len(os.Args) != 5 {
		log.Fatal("usage: goproxy ADDRESS CA.pem KEY.pem ROOTS.pem")
	}
	if err := serve(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		log.Fatal(err)
	}
}

func serve(address, cert, key, roots string) error {
	authority, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return err
	}
	pem, err := os.ReadFile(roots)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return fmt.Errorf("%s has no certificate", roots)
	}
	proxy := goproxy.NewProxyHttpServer()
	proxy.CertStore = &leaves{made: map[string]*tls.Certificate{}}
	proxy.Tr = &http.Transport{DialContext: dialHere, TLSClientConfig: &tls.Config{RootCAs: pool}, MaxIdleConns: 1024, MaxIdleConnsPerHost: 128}
	mitm := &goproxy.ConnectAction{Action: goproxy.ConnectMitm, TLSConfig: goproxy.TLSConfigFromCA(&authority)}
	proxy.OnRequest().HandleConnectFunc(func(host string, _ *goproxy.ProxyCtx) (*goproxy.ConnectAction, string) { return mitm, host })
	return http.ListenAndServe(address, proxy)
}

// dialHere dials every name on loopback, where the origin is.
func dialHere(ctx context.Context, network, address string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
}

// leaves are the certificates made so far; goproxy makes one a connection otherwise.
type leaves struct {
	mu   sync.Mutex
	made map[string]*tls.Certificate
}

// Fetch implements goproxy.CertStorage.
func (l *leaves) Fetch(host string, make func() (*tls.Certificate, error)) (*tls.Certificate, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c, ok := l.made[host]; ok {
		return c, nil
	}
	c, err := make()
	if err == nil {
		l.made[host] = c
	}
	return c, err
}

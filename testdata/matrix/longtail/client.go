// Command client fetches https://git.test/echo by the means that it is told, none of which reads HTTPS_PROXY.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/valyala/fasthttp"
	"golang.org/x/net/http2"
)

const url = "https://git.test/echo"

var means = map[string]func() (string, error){
	"transport": func() (string, error) { return get(&http.Transport{}) },
	"dialer":    func() (string, error) { return get(&http.Transport{DialTLSContext: new(tls.Dialer).DialContext}) },
	"tls":       func() (string, error) { return over(tls.Dial("tcp", "git.test:443", nil)) },
	"roots":     ownRoots,
	"resolver":  ownResolver,
	"fasthttp": func() (string, error) {
		_, body, err := fasthttp.Get(nil, url)
		return string(body), err
	},
	"http2": func() (string, error) { return get(&http2.Transport{}) },
}

func main() {
	body, err := means[os.Args[1]]()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(body)
}

func get(transport http.RoundTripper) (string, error) {
	res, err := (&http.Client{Transport: transport}).Get(url)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return string(body), err
}

func over[C net.Conn](conn C, err error) (string, error) {
	if err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, "GET /echo HTTP/1.0\r\nHost: git.test\r\n\r\n"); err != nil {
		return "", err
	}
	body, err := io.ReadAll(conn)
	return string(body), err
}

// ownRoots reads the system's bundle by itself, whatever SSL_CERT_FILE says.
func ownRoots() (string, error) {
	pem, err := os.ReadFile("/etc/ssl/certs/ca-certificates.crt")
	if err != nil {
		return "", err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return get(&http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}})
}

// ownResolver asks a name server of its own choice.
func ownResolver() (string, error) {
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, "192.0.2.53:53")
	}}
	return get(&http.Transport{DialContext: (&net.Dialer{Resolver: resolver}).DialContext})
}

// Command origin is the HTTPS server of the matrix's cases that need none of the machine's registries. On a free port of
// loopback it serves git.test with a certificate of a CA made at start:
//
//	/echo            the request's method, host and body
//	/git/NAME.git/…  the repositories below --repositories, by git's own http-backend
//
// Usage:
//
//	origin --ca ca.pem --repositories dir    # prints its address once ca.pem is written, serves until killed
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const host = "git.test"

func main() {
	ca := flag.String("ca", "", "`file` to write the CA's certificate to")
	repositories := flag.String("repositories", "", "`directory` of bare repositories")
	flag.Parse()
	if *ca == "" || *repositories == "" {
		flag.Usage()
		os.Exit(2)
	}
	log.SetPrefix("origin: ")
	log.Fatal(serve(*ca, *repositories))
}

func serve(ca, repositories string) error {
	git, err := gitBackend(repositories)
	if err != nil {
		return err
	}
	authority, cert, err := issue()
	if err != nil {
		return err
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority})
	if err := os.WriteFile(ca, block, 0o644); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())

	mux := http.NewServeMux()
	mux.HandleFunc("/echo", echo)
	mux.Handle("/git/", git)
	server := &http.Server{Handler: mux, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}}
	return server.ServeTLS(listener, "", "")
}

func echo(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintln(w, r.Method, r.Host)
	io.Copy(w, r.Body)
}

// gitBackend serves the repositories below dir, to anybody and for writing too.
func gitBackend(dir string) (http.Handler, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	git, err := exec.LookPath("git")
	if err != nil {
		return nil, err
	}
	backend := &cgi.Handler{
		Path: git,
		Args: []string{"http-backend"},
		Root: "/git",
		Env:  []string{"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=matrix"},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Package cgi refuses chunked bodies, whose length CGI cannot tell; git's backend reads to the end without it.
		r.TransferEncoding = nil
		backend.ServeHTTP(w, r)
	}), nil
}

// issue makes a CA and a certificate for host.
func issue() (authority []byte, cert tls.Certificate, err error) {
	now := time.Now()
	root := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "matrix origin CA"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(48 * time.Hour),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: host},
		DNSNames:     []string{host},
		NotBefore:    root.NotBefore,
		NotAfter:     root.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, cert, err
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, cert, err
	}
	authority, err = x509.CreateCertificate(rand.Reader, root, root, rootKey.Public(), rootKey)
	if err != nil {
		return nil, cert, err
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, root, leafKey.Public(), rootKey)
	if err != nil {
		return nil, cert, err
	}
	return authority, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: leafKey}, nil
}

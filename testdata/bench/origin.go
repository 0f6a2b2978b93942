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
	"math/big"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

// origin serves HTTPS for the test names until it is killed.
func origin(args []string) error {
	flags := flag.NewFlagSet("bench origin", flag.ExitOnError)
	ca := flags.String("ca", "origin-ca.pem", "`file` to write the CA certificate to")
	flags.Parse(args)

	authority, cert, err := issue("bench.test", "*.bench.test", "opaque.test")
	if err != nil {
		return err
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority})
	if err := os.WriteFile(*ca, block, 0o644); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	// The address comes last: who reads it may connect, and finds the CA written.
	fmt.Println(listener.Addr())

	// No timeouts: idle tunnels are part of what is measured.
	server := &http.Server{
		Handler:   pages(),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}},
	}
	return server.ServeTLS(listener, "", "")
}

// pages are /small, 1 KiB, and /bulk?mb=N, both of known length.
func pages() http.Handler {
	const mib = 1 << 20
	buffer := make([]byte, mib)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /small", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", "1024")
		w.Write(buffer[:1024])
	})
	mux.HandleFunc("GET /bulk", func(w http.ResponseWriter, r *http.Request) {
		mb, err := strconv.Atoi(r.FormValue("mb"))
		if err != nil || mb < 1 {
			http.Error(w, "want ?mb=N", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.Itoa(mb*mib))
		for range mb {
			if _, err := w.Write(buffer); err != nil {
				return
			}
		}
	})
	return mux
}

// issue makes a CA and a certificate for names, both ECDSA P-256.
func issue(names ...string) (authority []byte, cert tls.Certificate, err error) {
	now := time.Now()
	root := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "bench origin CA"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(48 * time.Hour),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: names[0]},
		DNSNames:     names,
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

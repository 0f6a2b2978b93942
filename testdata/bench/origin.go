package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"

	"github.com/agentproxy/agentproxy/proxy/proxytest"
)

// origin serves HTTPS for the test names until it is killed.
func origin(args []string) error {
	flags := flag.NewFlagSet("bench origin", flag.ExitOnError)
	ca := flags.String("ca", "origin-ca.pem", "`file` to write the CA certificate to")
	flags.Parse(args)

	authority := proxytest.NewCA(proxytest.Program{}, "bench origin CA")
	cert := authority.Issue(proxytest.Program{}, nil, nil, "bench.test", "*.bench.test", "opaque.test")
	if err := os.WriteFile(*ca, authority.PEM(), 0o644); err != nil {
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

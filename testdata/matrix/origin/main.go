// Command origin is the HTTPS server of the matrix's cases that need none of the machine's registries. On a free port of
// loopback it serves git.test with a certificate of a CA made at start:
//
//	/echo            the request's method, host and body
//	/ws              a WebSocket that sends back what it gets
//	/git/NAME.git/…  the repositories below --repositories, by git's own http-backend, with a store for large files
//	/files/…         the files below --files
//
// Usage:
//
//	origin --ca ca.pem --repositories dir --files dir    # prints its address once ca.pem is written, serves until killed
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/agentproxy/agentproxy/proxy/proxytest"
	"github.com/coder/websocket"
)

const host = "git.test"

func main() {
	ca := flag.String("ca", "", "`file` to write the CA's certificate to")
	repositories := flag.String("repositories", "", "`directory` of bare repositories")
	files := flag.String("files", "", "`directory` of files")
	flag.Parse()
	if *ca == "" || *repositories == "" || *files == "" {
		flag.Usage()
		os.Exit(2)
	}
	log.SetPrefix("origin: ")
	log.Fatal(serve(*ca, *repositories, *files))
}

func serve(ca, repositories, files string) error {
	git, err := gitBackend(repositories)
	if err != nil {
		return err
	}
	authority := proxytest.NewCA(proxytest.Program{}, "matrix origin CA")
	cert := authority.Issue(proxytest.Program{}, nil, nil, host)
	if err := os.WriteFile(ca, authority.PEM(), 0o644); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())

	mux := http.NewServeMux()
	mux.HandleFunc("/echo", echo)
	mux.HandleFunc("/ws", socket)
	store := &lfs{objects: map[string][]byte{}}
	mux.HandleFunc("POST /git/{repository}/info/lfs/objects/batch", store.batch)
	mux.HandleFunc("/lfs/{oid}", store.object)
	mux.Handle("/git/", git)
	mux.Handle("/files/", http.StripPrefix("/files/", http.FileServer(http.Dir(files))))
	server := &http.Server{Handler: mux, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}}
	return server.ServeTLS(listener, "", "")
}

func echo(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintln(w, r.Method, r.Host)
	io.Copy(w, r.Body)
}

func socket(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // it has told the client
	}
	defer conn.CloseNow()
	for {
		kind, message, err := conn.Read(r.Context())
		if err != nil || conn.Write(r.Context(), kind, message) != nil {
			return
		}
	}
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

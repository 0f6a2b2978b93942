// Command floor is the least that a re-terminating proxy written with Go's own TLS can do,
// as a measure of what is left of it: it takes every client, checks nothing, writes no
// log, and carries HTTP/1 requests whose answers have a Content-Length over connections to
// the origin that it keeps. It is for the benchmark alone.
//
//	floor ADDRESS CA.pem KEY.pem ROOTS.pem
package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"os"
	"strconv"
	"sync"
	"time"
)

func main() {
	if len(os.Args) != 5 {
		log.Fatal("usage: floor ADDRESS CA.pem KEY.pem ROOTS.pem")
	}
	if err := serve(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		log.Fatal(err)
	}
}

// proxy is what connections share.
type proxy struct {
	server, client *tls.Config
	authority      tls.Certificate
	mu             sync.Mutex
	leaves         map[string]*tls.Certificate
	idle           map[string][]*tls.Conn
}

func serve(address, cert, key, roots string) error {
	p := &proxy{leaves: map[string]*tls.Certificate{}, idle: map[string][]*tls.Conn{}}
	var err error
	if p.authority, err = tls.LoadX509KeyPair(cert, key); err != nil {
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
	p.server = &tls.Config{MinVersion: tls.VersionTLS12, DynamicRecordSizingDisabled: true, GetCertificate: p.leaf}
	p.client = &tls.Config{RootCAs: pool, DynamicRecordSizingDisabled: true, ClientSessionCache: tls.NewLRUClientSessionCache(0)}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go p.carry(c)
	}
}

// leaf makes one certificate a host, and keeps it.
func (p *proxy) leaf(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if leaf, ok := p.leaves[hello.ServerName]; ok {
		return leaf, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{hello.ServerName}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, p.authority.Leaf, key.Public(), p.authority.PrivateKey)
	if err != nil {
		return nil, err
	}
	leaf := &tls.Certificate{Certificate: [][]byte{der, p.authority.Certificate[0]}, PrivateKey: key}
	p.leaves[hello.ServerName] = leaf
	return leaf, nil
}

var headEnd = []byte("\r\n\r\n")

// head reads until the end of a head, and returns where that is and how much was read.
func head(r io.Reader, b []byte) (end, n int, err error) {
	for n < len(b) {
		more, err := r.Read(b[n:])
		n += more
		if i := bytes.Index(b[:n], headEnd); i >= 0 {
			return i + len(headEnd), n, nil
		}
		if err != nil {
			return 0, n, err
		}
	}
	return 0, n, errors.New("the head is too long")
}

// carry serves one client.
func (p *proxy) carry(c net.Conn) {
	defer c.Close()
	b := make([]byte, 64<<10)
	end, _, err := head(c, b)
	if err != nil {
		return
	}
	host, _, ok := bytes.Cut(bytes.TrimPrefix(b[:end], []byte("CONNECT ")), []byte(" "))
	if !ok {
		return
	}
	target := string(host)
	if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	client := tls.Server(c, p.server)
	defer client.Close()
	for {
		_, n, err := head(client, b)
		if err != nil {
			return
		}
		if err := p.ask(target, client, b, n); err != nil {
			log.Print(err)
			return
		}
	}
}

// ask carries one request, which is the first n bytes, and its answer.
func (p *proxy) ask(target string, client *tls.Conn, b []byte, n int) error {
	origin, err := p.origin(target)
	if err != nil {
		return err
	}
	if _, err := origin.Write(b[:n]); err != nil {
		origin.Close()
		return err
	}
	end, n, err := head(origin, b)
	if err != nil {
		origin.Close()
		return err
	}
	left, err := length(b[:end])
	if err != nil {
		origin.Close()
		return err
	}
	for left -= n - end; ; left -= n {
		if _, err := client.Write(b[:n]); err != nil {
			origin.Close()
			return err
		}
		if left <= 0 {
			break
		}
		if n, err = origin.Read(b); err != nil {
			origin.Close()
			return err
		}
	}
	p.mu.Lock()
	p.idle[target] = append(p.idle[target], origin)
	p.mu.Unlock()
	return nil
}

// length is the Content-Length of an answer.
func length(head []byte) (int, error) {
	_, value, ok := bytes.Cut(head, []byte("\r\nContent-Length: "))
	if !ok {
		return 0, errors.New("an answer without Content-Length")
	}
	value, _, _ = bytes.Cut(value, []byte("\r\n"))
	return strconv.Atoi(string(value))
}

// origin is a connection to one, on loopback.
func (p *proxy) origin(target string) (*tls.Conn, error) {
	p.mu.Lock()
	if idle := p.idle[target]; len(idle) > 0 {
		p.idle[target] = idle[:len(idle)-1]
		p.mu.Unlock()
		return idle[len(idle)-1], nil
	}
	p.mu.Unlock()
	name, port, err := net.SplitHostPort(target)
	if err != nil {
		return nil, err
	}
	c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return nil, err
	}
	config := p.client.Clone()
	config.ServerName = name
	return tls.Client(c, config), nil
}

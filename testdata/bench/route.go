package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// peerTimeout bounds every wait for a peer, so that a proxy that hangs fails the run instead of stalling it.
const peerTimeout = 30 * time.Second

// A route is one way to the origin. Its roots are exactly the CA that must have signed what the client sees,
// so a handshake that succeeds also proves that the proxy decrypts (its own CA) or does not (the origin's).
type route struct {
	name  string
	roots *x509.CertPool
	proxy string // empty: direct
}

// parseRoute reads NAME=CAFILE[,PROXY].
func parseRoute(s string) (route, error) {
	name, rest, ok := strings.Cut(s, "=")
	if !ok {
		return route{}, fmt.Errorf("%q: want NAME=CAFILE[,PROXY]", s)
	}
	file, proxy, _ := strings.Cut(rest, ",")
	pem, err := os.ReadFile(file)
	if err != nil {
		return route{}, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return route{}, fmt.Errorf("%s: no certificate in it", file)
	}
	return route{name, roots, proxy}, nil
}

// open returns a verified TLS connection to host, which lives at the address origin.
func (r route) open(origin, host string) (*tls.Conn, error) {
	address := origin
	if r.proxy != "" {
		address = r.proxy
	}
	raw, err := net.DialTimeout("tcp", address, peerTimeout)
	if err != nil {
		return nil, err
	}
	raw.SetDeadline(time.Now().Add(peerTimeout))
	if r.proxy != "" {
		if err := connect(raw, authority(origin, host)); err != nil {
			raw.Close()
			return nil, err
		}
	}
	conn := tls.Client(raw, &tls.Config{
		RootCAs:    r.roots,
		ServerName: host,
		NextProtos: []string{"http/1.1"},
		MinVersion: tls.VersionTLS13,
		// OpenSSL before 3.5 knows no post-quantum exchange. One curve for all gives every contender the same work.
		CurvePreferences: []tls.CurveID{tls.X25519},
	})
	if err := conn.Handshake(); err != nil {
		raw.Close()
		return nil, err
	}
	return conn, nil
}

// connect asks for a tunnel. The client speaks first inside it, so nothing can follow the proxy's answer.
func connect(conn net.Conn, target string) error {
	if _, err := fmt.Fprintf(conn, "CONNECT %[1]s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", target); err != nil {
		return err
	}
	var buffer [4096]byte
	answer := buffer[:0]
	for !bytes.HasSuffix(answer, []byte("\r\n\r\n")) {
		if len(answer) == len(buffer) {
			return errors.New("CONNECT: endless answer")
		}
		n, err := conn.Read(buffer[len(answer):])
		if err != nil {
			return fmt.Errorf("CONNECT: %w", err)
		}
		answer = buffer[:len(answer)+n]
	}
	line, _, _ := bytes.Cut(answer, []byte("\r\n"))
	if _, status, _ := bytes.Cut(line, []byte(" ")); !bytes.HasPrefix(status, []byte("200")) {
		return fmt.Errorf("CONNECT: %s", line)
	}
	return nil
}

// authority is host with the origin's port, as CONNECT and Host want it.
func authority(origin, host string) string {
	_, port, _ := net.SplitHostPort(origin)
	return net.JoinHostPort(host, port)
}

// A client sends one request again and again. It parses only what the origin sends: net/http here would take
// the cores that the contenders need.
type client struct {
	conn    *tls.Conn
	reader  *bufio.Reader
	request []byte
}

func newClient(conn *tls.Conn, authority, path string, buffer int) *client {
	request := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, authority)
	return &client{conn, bufio.NewReaderSize(conn, buffer), request}
}

// get reads the whole answer and returns the length of its body.
func (c *client) get() (int, error) {
	if _, err := c.conn.Write(c.request); err != nil {
		return 0, err
	}
	status, err := c.reader.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 200")) {
		return 0, fmt.Errorf("answer: %q", status)
	}
	length := -1
	for {
		line, err := c.reader.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		name, value, more := bytes.Cut(line, []byte(":"))
		if !more {
			break
		}
		if bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, err
			}
		}
	}
	if length < 0 {
		return 0, errors.New("answer without Content-Length")
	}
	return c.reader.Discard(length)
}

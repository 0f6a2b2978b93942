// Package middle is an upstream egress as organisations have them: a CONNECT proxy that
// re-terminates TLS with a CA of its own, and with a defect that can be chosen.
package middle

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/agentproxy/agentproxy/proxy/proxytest"
)

// Defect is what is wrong with one.
type Defect string

// The defects. Each signs with a root of its own, which nobody knows at first.
const (
	Unknown        Defect = "unknown"         // the root is sent
	RootKept       Defect = "root-kept"       // it is not
	NoIntermediate Defect = "no-intermediate" // the leaf comes alone, from below an intermediate
	Expired        Defect = "expired"
	NotYetValid    Defect = "not-yet-valid"
	WrongName      Defect = "wrong-name"
	NoKeyID        Defect = "no-key-id"    // the leaf names no key of its issuer
	NotCritical    Defect = "not-critical" // the root's basicConstraints are not
	Cut            Defect = "cut"          // it hangs up on the ClientHello
	PlainText      Defect = "plain-text"   // it answers the ClientHello with HTTP

	// These answer CONNECT with 200 and the request inside of TLS with what such
	// products answer what they refuse.
	Denied     Defect = "denied"     // 403, and a header that says why
	BlockPage  Defect = "block-page" // 403, and a page for people
	PageAsData Defect = "page-as-data"
	Squid      Defect = "squid"
	Zscaler    Defect = "zscaler"
	Netskope   Defect = "netskope"
	Cloudflare Defect = "cloudflare" // Gateway: it redirects to its page

	Own403 Defect = "own-403" // the origin's own, passed on
)

// Defects are all of them.
var Defects = append([]Defect{Unknown, RootKept, NoIntermediate, Expired, NotYetValid, WrongName, NoKeyID, NotCritical, Cut, PlainText}, slices.Sorted(maps.Keys(answers))...)

// answers are those to requests: status, header, page.
var answers = map[Defect][3]string{
	Denied:     {"403 Forbidden", "X-Deny-Reason: host_not_allowed"},
	BlockPage:  {"403 Forbidden", "Content-Type: text/html", page("Web Page Blocked", "Access to this web site is blocked by your organisation's policy")},
	PageAsData: {"200 OK", "Content-Type: text/html", page("Access Blocked", "This site has been blocked by your administrator")},
	Squid:      {"403 Forbidden", "X-Squid-Error: ERR_ACCESS_DENIED 0", page("ERROR: The requested URL could not be retrieved", "Access Denied.")},
	Zscaler:    {"403 Forbidden", "Server: Zscaler/6.2", page("Security", "Not allowed to browse this category")},
	Netskope:   {"403 Forbidden", "Content-Type: text/html", page("Blocked", "Netskope: this site is blocked by policy")},
	Cloudflare: {"302 Found", "Location: https://blocked.teams.cloudflare.com/?account_id=1", ""},
	Own403:     {"403 Forbidden", "Content-Type: application/json", `{"error": "this token may not read that"}`},
}

func page(title, text string) string {
	return "<!DOCTYPE html>\n<html><head><title>" + title + "</title><style>\nbody { color: red }\n</style></head>\n<body><h1>" + title + "</h1>\n<p>" + text + "</p></body></html>\n"
}

// Proxy is one that runs.
type Proxy struct {
	defect   Defect
	root     *proxytest.CA
	signer   *proxytest.CA
	listener net.Listener
}

// Start starts one on loopback; Close ends it.
func Start(t proxytest.T, d Defect) *Proxy {
	t.Helper()
	if !slices.Contains(Defects, d) {
		t.Fatal("no such defect: " + string(d))
	}
	p := &Proxy{defect: d, root: proxytest.NewCA(t, "Corp Root")}
	if d == NotCritical {
		p.root = proxytest.NewCA(t, "Corp Root", func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Value: []byte{0x30, 0x03, 0x01, 0x01, 0xff}}}
		})
	}
	p.signer = p.root
	if d == NoIntermediate || d == RootKept {
		p.signer = p.root.Intermediate(t, "Corp Issuer")
	}
	var err error
	if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	go p.accept(t)
	return p
}

// URL is that of the proxy, PEM its root.
func (p *Proxy) URL() string { return "http://" + p.listener.Addr().String() }

// PEM is its root.
func (p *Proxy) PEM() []byte { return p.root.PEM() }

// Close stops it.
func (p *Proxy) Close() { p.listener.Close() }

func (p *Proxy) accept(t proxytest.T) {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.serve(t, c)
	}
}

func (p *Proxy) serve(t proxytest.T, c net.Conn) {
	defer c.Close()
	r, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil || r.Method != http.MethodConnect {
		io.WriteString(c, "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")
		return
	}
	io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n")
	switch p.defect {
	case Cut:
		c.Read(make([]byte, 1)) // what is not read makes the end a reset
		return
	case PlainText:
		c.Read(make([]byte, 4096))
		io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		return
	}
	host, _, _ := net.SplitHostPort(r.Host)
	client := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{p.certificate(t, host)}})
	defer client.Close()
	if client.Handshake() != nil {
		return
	}
	if _, err := http.ReadRequest(bufio.NewReader(client)); err != nil {
		return
	}
	answer, ok := answers[p.defect]
	if !ok {
		answer = [3]string{"200 OK", "Content-Type: text/plain", "hello from " + host + "\n"}
	}
	fmt.Fprintf(client, "HTTP/1.1 %s\r\n%s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", answer[0], answer[1], len(answer[2]), answer[2])
}

// certificate is what a host gets.
func (p *Proxy) certificate(t proxytest.T, host string) tls.Certificate {
	signer := *p.signer
	var change func(*x509.Certificate)
	switch p.defect {
	case Expired:
		change = func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	case NotYetValid:
		change = func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }
	case WrongName:
		host = "elsewhere.test"
	case NoKeyID:
		nameless := *p.signer.Cert
		nameless.SubjectKeyId = nil
		signer.Cert = &nameless
	case NoIntermediate:
		change = func(c *x509.Certificate) { c.IssuingCertificateURL = []string{"http://corp.test/issuer.crt"} }
	}
	cert := signer.Issue(t, nil, change, host)
	switch p.defect {
	case NoIntermediate:
		cert.Certificate = cert.Certificate[:1]
	case RootKept:
	default:
		cert.Certificate = append(cert.Certificate, p.root.Cert.Raw)
	}
	return cert
}

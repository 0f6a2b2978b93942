// Package proxytest makes what tests of the tunnel need: certificate
// authorities with good and bad certificates, origins, a name server, and a
// tunnel in front of them. Everything listens on loopback and ends with the
// test.
package proxytest

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy"
	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/egress"
	"github.com/agentproxy/agentproxy/proxy/front"
	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/status"
	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
)

// T is the part of testing.TB that certificates need.
type T interface {
	Helper()
	Fatal(args ...any)
}

// Program is the T of a program that is not a test: a failure ends it.
type Program struct{}

// Helper does nothing.
func (Program) Helper() {}

// Fatal logs and exits.
func (Program) Fatal(args ...any) { log.Fatal(args...) }

// CA is an authority of the test's own.
type CA struct {
	Cert   *x509.Certificate
	Key    crypto.Signer
	parent *CA
}

// NewCA makes a root; changes may spoil it.
func NewCA(t T, name string, changes ...func(*x509.Certificate)) *CA {
	return newCA(t, name, nil, changes...)
}

// Intermediate makes an authority below c.
func (c *CA) Intermediate(t T, name string) *CA { return newCA(t, name, c) }

func newCA(t T, name string, parent *CA, changes ...func(*x509.Certificate)) *CA {
	t.Helper()
	key := ecdsaKey(t)
	template := &x509.Certificate{
		SerialNumber: serial(t), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	for _, change := range changes {
		change(template)
	}
	c := &CA{Cert: template, Key: key, parent: parent}
	issuer := parent
	if issuer == nil {
		issuer = c
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer.Cert, key.Public(), issuer.Key)
	if err != nil {
		t.Fatal(err)
	}
	if c.Cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return c
}

// Issue makes a leaf for names; change may spoil it. The chain holds the
// intermediates.
func (c *CA) Issue(t T, key crypto.Signer, change func(*x509.Certificate), names ...string) tls.Certificate {
	t.Helper()
	if key == nil {
		key = ecdsaKey(t)
	}
	template := &x509.Certificate{
		SerialNumber: serial(t), Subject: pkix.Name{CommonName: "leaf"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, c.Cert, key.Public(), c.Key)
	if err != nil {
		t.Fatal(err)
	}
	chain := [][]byte{der}
	for a := c; a.parent != nil; a = a.parent {
		chain = append(chain, a.Cert.Raw)
	}
	return tls.Certificate{Certificate: chain, PrivateKey: key}
}

// SelfSigned makes a certificate for names that nobody else has signed.
func SelfSigned(t T, names ...string) tls.Certificate {
	t.Helper()
	self := &CA{Key: ecdsaKey(t)}
	self.Cert = &x509.Certificate{Subject: pkix.Name{CommonName: "leaf"}, PublicKey: self.Key.Public()}
	return self.Issue(t, self.Key, nil, names...)
}

// Pool holds c alone.
func (c *CA) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(c.Cert)
	return p
}

// PEM is the certificate in PEM.
func (c *CA) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Cert.Raw})
}

func ecdsaKey(t T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func serial(t T) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Origin serves h over TLS with cert, HTTP/2 and HTTP/1.1, and returns its
// address. configure may change the server.
func Origin(t testing.TB, cert tls.Certificate, h http.Handler, configure ...func(*httptest.Server)) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	s.EnableHTTP2 = true
	s.Config.ErrorLog = discard
	for _, f := range configure {
		f(s)
	}
	s.StartTLS()
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s.Listener.Addr().String()
}

// Refuse returns an address that refuses connections until the test ends: its
// port is taken, so that nobody else comes to listen on it.
func Refuse(t testing.TB) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.CloseOnExec(fd)
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", bound.(*unix.SockaddrInet4).Port)
}

// Listen accepts TCP connections and gives each to serve.
func Listen(t testing.TB, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			wg.Go(func() { serve(c) })
		}
	}()
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return l.Addr().String()
}

// Resolver answers A and AAAA questions from answer and counts nothing else;
// nil means that the name does not exist.
func Resolver(t testing.TB, answer func(name string) []netip.Addr) *net.Resolver {
	t.Helper()
	return AliasResolver(t, nil, answer)
}

// AliasResolver is Resolver with names that are aliases: each of the names that it
// has for one is an alias of the next (CNAME).
func AliasResolver(t testing.TB, aliases map[string][]string, answer func(name string) []netip.Addr) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			if reply := dnsReply(buf[:n], aliases, answer); reply != nil {
				pc.WriteTo(reply, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}

func dnsReply(query []byte, aliases map[string][]string, answer func(string) []netip.Addr) []byte {
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	m.Header.Response, m.Header.RecursionAvailable = true, true
	m.Additionals = nil
	name := q.Name.String()
	owner := q.Name
	for _, alias := range aliases[name[:len(name)-1]] {
		next := dnsmessage.MustNewName(alias + ".")
		h := dnsmessage.ResourceHeader{Name: owner, Type: dnsmessage.TypeCNAME, Class: q.Class}
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.CNAMEResource{CNAME: next}})
		owner = next
	}
	addrs := answer(name[:len(name)-1])
	if addrs == nil {
		m.Header.RCode = dnsmessage.RCodeNameError
	}
	for _, a := range addrs {
		h := dnsmessage.ResourceHeader{Name: owner, Type: q.Type, Class: q.Class, TTL: 0}
		switch {
		case q.Type == dnsmessage.TypeA && a.Is4():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: a.As4()}})
		case q.Type == dnsmessage.TypeAAAA && a.Is6():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	reply, err := m.Pack()
	if err != nil {
		return nil
	}
	return reply
}

// Tunnel is a running front with its failures.
type Tunnel struct {
	URL   *url.URL
	Roots *x509.CertPool
	Front *front.Front

	mu       sync.Mutex
	failures []*status.Failure
}

// Setup describes a tunnel.
type Setup struct {
	Rules     policy.Rules
	Roots     *x509.CertPool
	ConnectTo map[string]string
	Resolver  *net.Resolver
	// Tunnel replaces the embedded egress.
	Tunnel proxy.TunnelFunc
	// Change may alter the front before it serves.
	Change func(*front.Front)
}

// Start runs a tunnel until the test ends.
func Start(t testing.TB, s Setup) *Tunnel {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	authority, err := ca.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	tn := &Tunnel{Roots: x509.NewCertPool()}
	tn.Roots.AddCert(authority.Certificate())
	tunnel := s.Tunnel
	closeEgress := func() {}
	if tunnel == nil {
		p, err := policy.New(s.Rules)
		if err != nil {
			t.Fatal(err)
		}
		e := egress.New(egress.Config{Policy: p, CA: authority, Roots: s.Roots, ConnectTo: s.ConnectTo, Resolver: s.Resolver})
		tunnel, closeEgress = e.Tunnel, e.Close
	}
	record := func(_ net.Conn, f *status.Failure) {
		tn.mu.Lock()
		defer tn.mu.Unlock()
		tn.failures = append(tn.failures, f)
	}
	routes := &front.Routes{
		Status: func() *status.Document { return &status.Document{Enabled: true, RecentRelayFailures: tn.Failures()} },
		CA:     authority.PEM(), Report: record,
		Carry: front.NewCarry(tunnel, tn.Roots, func(*http.Request) {}, record),
	}
	tn.Front = &front.Front{Tunnel: tunnel, Report: record, Routes: routes}
	if s.Change != nil {
		s.Change(tn.Front)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- tn.Front.Serve(l) }()
	t.Cleanup(func() {
		tn.Front.Close()
		closeEgress()
		if err := <-done; err != nil {
			t.Errorf("front: %v", err)
		}
	})
	tn.URL = &url.URL{Scheme: "http", Host: l.Addr().String()}
	return tn
}

// Failures returns what went wrong so far.
func (tn *Tunnel) Failures() []*status.Failure {
	tn.mu.Lock()
	defer tn.mu.Unlock()
	return append([]*status.Failure{}, tn.failures...)
}

// WaitFailure waits for the first failure and returns it; failures that the
// client cannot be told are reported a moment after it has noticed.
func (tn *Tunnel) WaitFailure(t testing.TB) *status.Failure {
	t.Helper()
	for range 500 {
		if list := tn.Failures(); len(list) > 0 {
			return list[0]
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("no failure was reported")
	return nil
}

// Client returns a client behind the tunnel; h2 makes it speak HTTP/2.
func (tn *Tunnel) Client(t testing.TB, h2 bool) *http.Client {
	t.Helper()
	transport := &http.Transport{
		Proxy:               http.ProxyURL(tn.URL),
		TLSClientConfig:     &tls.Config{RootCAs: tn.Roots},
		ForceAttemptHTTP2:   h2,
		DisableCompression:  true,
		MaxIdleConnsPerHost: 64,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Connect sends CONNECT for target and returns the connection and the answer.
func (tn *Tunnel) Connect(t testing.TB, target string) (net.Conn, *http.Response) {
	t.Helper()
	return tn.Send(t, "CONNECT "+target+" HTTP/1.1\r\nHost: "+target+"\r\n\r\n")
}

// OK answers "ok".
var OK = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") })

// ToOrigin starts a tunnel to one origin, origin.test.
func ToOrigin(t testing.TB, h http.Handler, configure ...func(*httptest.Server)) *Tunnel {
	t.Helper()
	root := NewCA(t, "root")
	addr := Origin(t, root.Issue(t, nil, nil, "origin.test"), h, configure...)
	return Start(t, Setup{Roots: root.Pool(), ConnectTo: map[string]string{"origin.test:443": addr}})
}

// Body reads the body of an answer.
func Body(t testing.TB, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// SameEverywhere checks that the phrase, the header and the body of a refusal say
// the same.
func SameEverywhere(t testing.TB, res *http.Response, code int, says string) {
	t.Helper()
	body := Body(t, res)
	if res.StatusCode != code {
		t.Errorf("status %s, want %d", res.Status, code)
	}
	for where, text := range map[string]string{"phrase": res.Status, "header": res.Header.Get(status.ReasonHeader), "body": body} {
		if !strings.Contains(text, says) {
			t.Errorf("the %s does not say %q: %q", where, says, text)
		}
	}
}

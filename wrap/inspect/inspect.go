// Package inspect looks at the certificates that a host presents through a tunnel
// that cannot be looked into: an upstream egress re-terminates TLS and signs with a CA
// of its own. One handshake is made, nothing is sent in it, and what is presented is
// compared with the roots that commands are given.
package inspect

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/handshake"
)

// Report is what a host presents, and what is wrong with it.
type Report struct {
	// Host is the authority, host:port.
	Host string `json:"host"`
	// Code is "" when the roots verify what is presented, else why not: a reason of
	// package handshake.
	Code string `json:"code,omitempty"`
	// Detail says it in a sentence, Advice what helps.
	Detail string `json:"detail,omitempty"`
	Advice string `json:"advice,omitempty"`
	// Signer is the topmost authority that is known: its name, and the SHA-256 of its
	// certificate where that was presented, or is a root.
	Signer string `json:"signer,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
	// Defects are what strict clients refuse in what was presented.
	Defects []ca.Finding `json:"defects,omitempty"`

	// Root is the signer's certificate, nil when it was not presented and is unknown.
	Root *x509.Certificate `json:"-"`
}

// Trusted reports whether the roots verify what is presented.
func (r *Report) Trusted() bool { return r.Code == "" }

// timeout is how long the handshake may take.
const timeout = 5 * time.Second

// Host looks at what an authority presents through the tunnels that dial opens, held
// against the roots in a bundle.
func Host(ctx context.Context, dial func(ctx context.Context, authority string) (net.Conn, error), authority, bundle string) (*Report, error) {
	roots, err := ca.ReadCertificates(bundle)
	if err != nil {
		return nil, err
	}
	tunnel, err := dial(ctx, authority)
	if err != nil {
		return nil, err
	}
	return Look(ctx, tunnel, authority, roots), nil
}

// Look makes the handshake over a tunnel to the authority, which it closes, and holds
// what is presented against roots.
func Look(ctx context.Context, tunnel net.Conn, authority string, roots []*x509.Certificate) *Report {
	defer tunnel.Close()
	host, _, err := net.SplitHostPort(authority)
	if err != nil {
		host = authority
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var presented []*x509.Certificate
	client := tls.Client(tunnel, &tls.Config{
		ServerName: host, NextProtos: []string{"h2", "http/1.1"},
		// What is presented is judged below. Nothing is sent to who presents it.
		InsecureSkipVerify: true,
		VerifyConnection:   func(cs tls.ConnectionState) error { presented = cs.PeerCertificates; return nil },
	})
	err = client.HandshakeContext(ctx)
	if len(presented) == 0 {
		r := &Report{Host: authority}
		r.Code, r.Detail = handshake.Reason(host, authority, err)
		r.Advice = handshake.Advice(r.Code)
		return r
	}
	return judge(host, authority, presented, roots, time.Now())
}

// judge holds certificates, the host's own first, against roots.
func judge(host, authority string, presented, roots []*x509.Certificate, now time.Time) *Report {
	r := &Report{Host: authority}
	pool, between := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range roots {
		pool.AddCert(c)
	}
	for _, c := range presented[1:] {
		between.AddCert(c)
	}
	chains, err := presented[0].Verify(x509.VerifyOptions{DNSName: host, Roots: pool, Intermediates: between, CurrentTime: now})
	top := presented[len(presented)-1]
	if err == nil {
		top = chains[0][len(chains[0])-1]
		presented = chains[0]
	}
	r.Signer = top.Issuer.String()
	if ca.SelfIssued(top) {
		r.Root, r.SHA256 = top, ca.Fingerprint(top)
	}
	r.Defects = defects(presented, now)
	if err != nil {
		r.Code, r.Detail = handshake.Reason(host, authority, &tls.CertificateVerificationError{UnverifiedCertificates: presented, Err: err})
		r.Advice = handshake.Advice(r.Code)
		if r.Code == "unknown_root" || r.Code == "self_signed" || r.Code == "incomplete_chain" {
			r.unknown()
		}
	}
	return r
}

// unknown says how an authority that no root is of becomes known.
func (r *Report) unknown() {
	r.Detail = r.Host + " is signed by " + r.Signer + ", an authority that is in none of the roots here"
	if r.Code == "incomplete_chain" {
		r.Detail = r.Host + " comes without the certificate of its issuer, " + r.Signer
	}
	if r.Root == nil {
		r.Advice = "ask who runs the proxy for the certificate of " + r.Signer + "; then: agentproxy ca adopt FILE"
		return
	}
	r.Advice = "if sha256 " + r.SHA256[:16] + "… is your organisation's: agentproxy ca adopt " + r.Host
}

// defects are what strict clients refuse: of the authorities, and of the host's own
// certificate that it does not say who signed it (RFC 5280 section 4.2.1.1).
func defects(chain []*x509.Certificate, now time.Time) []ca.Finding {
	var all []ca.Finding
	for _, c := range chain[1:] {
		all = append(all, slices.DeleteFunc(ca.Lint(c, nil, now), func(f ca.Finding) bool { return len(f.Refused) == 0 })...)
	}
	if leaf := chain[0]; len(leaf.AuthorityKeyId) == 0 && !ca.SelfIssued(leaf) {
		all = append(all, ca.LeafWithoutIssuer(leaf))
	}
	return all
}

// Refused are the clients that the defects shut out, each once.
func (r *Report) Refused() string {
	var clients []string
	for _, f := range r.Defects {
		for _, client := range f.Refused {
			if !slices.Contains(clients, client) {
				clients = append(clients, client)
			}
		}
	}
	return strings.Join(clients, ", ")
}

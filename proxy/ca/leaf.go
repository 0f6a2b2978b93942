package ca

import (
	"container/list"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/netip"
	"sync"
	"time"
)

const (
	leafCacheSize = 1024
	// A cached leaf is minted anew when it has less than this to live.
	leafReserve = 24 * time.Hour
)

// Config returns the server side TLS configuration for one host, a DNS name or
// an IP address. It is cached with its leaf, so that TLS session tickets of
// earlier visits stay good, and concurrent first visits mint once.
func (a *Authority) Config(host string) (*tls.Config, error) {
	e := a.cache.entry(host)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.config != nil && time.Until(e.expires) > leafReserve {
		return e.config, nil
	}
	leaf, err := a.mint(host)
	if err != nil {
		return nil, err
	}
	e.expires = leaf.Leaf.NotAfter
	e.config = &tls.Config{
		Certificates: []tls.Certificate{*leaf},
		NextProtos:   []string{"h2", "http/1.1"},
		MinVersion:   tls.VersionTLS12,
		// Small records are for clients a network away; ours are on this machine.
		DynamicRecordSizingDisabled: true,
	}
	return e.config, nil
}

func (a *Authority) mint(host string) (*tls.Certificate, error) {
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          serial(),
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(leafLifetime - backdate),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		SubjectKeyId:          a.leafSKI,
		AuthorityKeyId:        a.cert.SubjectKeyId,
	}
	if template.NotAfter.After(a.cert.NotAfter) {
		template.NotAfter = a.cert.NotAfter
	}
	if len(host) <= 64 {
		template.Subject = pkix.Name{CommonName: host}
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		template.IPAddresses = append(template.IPAddresses, addr.AsSlice())
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, a.leafKey.Public(), a.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	// The root is not sent: clients have it, and some report a chain that
	// includes it as self-signed.
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.leafKey, Leaf: leaf}, nil
}

// leafCache is a bounded least-recently-used map of hosts.
type leafCache struct {
	mu    *sync.Mutex
	limit int
	order *list.List // of *leafEntry, newest first
	byKey map[string]*list.Element
}

type leafEntry struct {
	host    string
	mu      sync.Mutex // held while minting
	config  *tls.Config
	expires time.Time
}

func newLeafCache(limit int) leafCache {
	return leafCache{mu: new(sync.Mutex), limit: limit, order: list.New(), byKey: map[string]*list.Element{}}
}

func (c *leafCache) entry(host string) *leafEntry {
	c.mu.Lock()
	defer c.mu.Unlock()
	if el, ok := c.byKey[host]; ok {
		c.order.MoveToFront(el)
		return el.Value.(*leafEntry)
	}
	e := &leafEntry{host: host}
	c.byKey[host] = c.order.PushFront(e)
	if c.order.Len() > c.limit {
		oldest := c.order.Back()
		c.order.Remove(oldest)
		delete(c.byKey, oldest.Value.(*leafEntry).host)
	}
	return e
}

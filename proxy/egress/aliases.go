package egress

import (
	"context"
	"encoding/binary"
	"net"
	"slices"
	"sync"

	"github.com/agentproxy/agentproxy/proxy/policy"
	"golang.org/x/net/dns/dnsmessage"
)

// aliases are the names that a name turned out to be an alias of while it was
// resolved (CNAME, RFC 1034 §3.6.2). net.Resolver tells no more of them than the
// last, so the answers of the name servers are read on their way to it.
type aliases struct {
	mu    sync.Mutex
	names []string
}

// resolver resolves as from does, which may be nil, and notes the aliases.
func (a *aliases) resolver(from *net.Resolver) *net.Resolver {
	dial := new(net.Dialer).DialContext
	if from != nil && from.Dial != nil {
		dial = from.Dial
	}
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if udp, ok := conn.(*net.UDPConn); ok { // net looks whether it is a net.PacketConn
			return &dnsDatagrams{udp, a}, nil
		}
		return &dnsStream{Conn: conn, aliases: a}, nil
	}}
}

// refusal is the decision against one of the names, nil when there is none.
func (a *aliases) refusal(p *policy.Policy, t policy.Target) *policy.Decision {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, name := range a.names {
		if d := p.CheckAlias(t, name); !d.Allowed {
			return &d
		}
	}
	return nil
}

// note takes the aliases out of a name server's answer.
func (a *aliases) note(message []byte) {
	var parser dnsmessage.Parser
	if _, err := parser.Start(message); err != nil || parser.SkipAllQuestions() != nil {
		return
	}
	for {
		answer, err := parser.Answer()
		if err != nil {
			return
		}
		cname, ok := answer.Body.(*dnsmessage.CNAMEResource)
		if !ok {
			continue
		}
		a.mu.Lock()
		if name := cname.CNAME.String(); !slices.Contains(a.names, name) {
			a.names = append(a.names, name)
		}
		a.mu.Unlock()
	}
}

type dnsDatagrams struct {
	*net.UDPConn
	aliases *aliases
}

func (c *dnsDatagrams) Read(b []byte) (int, error) {
	n, err := c.UDPConn.Read(b)
	c.aliases.note(b[:n])
	return n, err
}

// dnsStream is a connection over TCP, on which each message follows its length
// (RFC 1035 §4.2.2).
type dnsStream struct {
	net.Conn
	aliases *aliases
	read    []byte
}

func (c *dnsStream) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.read = append(c.read, b[:n]...)
	for len(c.read) >= 2 {
		end := 2 + int(binary.BigEndian.Uint16(c.read))
		if len(c.read) < end {
			break
		}
		c.aliases.note(c.read[2:end])
		c.read = c.read[end:]
	}
	return n, err
}

package capture

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/agentproxy/agentproxy/proxy/policy"
	"golang.org/x/net/dns/dnsmessage"
)

const (
	// answerTTL is for how many seconds clients may remember an answer. It holds
	// for the run; one who asks again is told the same.
	answerTTL = 300
	// maxQuestion is the longest question that is read, by UDP or TCP.
	maxQuestion = 4096
	// dnsTimeout is how long a connection may be idle (RFC 7766 §6.2.3).
	dnsTimeout = 30 * time.Second
)

// resolver answers every question to a name server.
type resolver struct {
	names *names
	ipv6  bool // there are addresses of this family
}

// answer returns the answer to a question, nil to what is none.
func (r *resolver) answer(question []byte) []byte {
	var p dnsmessage.Parser
	header, err := p.Start(question)
	if err != nil || header.Response {
		return nil
	}
	reply := dnsmessage.Header{ID: header.ID, Response: true, OpCode: header.OpCode, RecursionDesired: header.RecursionDesired, RecursionAvailable: true}
	q, err := p.Question()
	if err != nil || header.OpCode != 0 {
		reply.RCode = dnsmessage.RCodeNotImplemented
		if err != nil {
			reply.RCode = dnsmessage.RCodeFormatError
		}
		return build(reply, nil, nil)
	}
	addresses, code := r.lookup(q)
	reply.RCode = code
	return build(reply, &q, addresses)
}

// lookup returns the addresses of a name. What is not asked for by address has no
// data: a record of HTTPS or SVCB would let clients hide the name (ECH) or leave TCP.
func (r *resolver) lookup(q dnsmessage.Question) ([]netip.Addr, dnsmessage.RCode) {
	if q.Class != dnsmessage.ClassINET {
		return nil, dnsmessage.RCodeNotImplemented
	}
	host, err := policy.ParseHost(q.Name.String())
	switch {
	case err != nil, host.IsIP():
		return nil, dnsmessage.RCodeNameError
	case host.IsLoopback(): // RFC 6761 §6.3
		return family(q.Type, netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback(), r.ipv6), dnsmessage.RCodeSuccess
	case neverExists(host.String()):
		return nil, dnsmessage.RCodeNameError
	case q.Type != dnsmessage.TypeA && q.Type != dnsmessage.TypeAAAA:
		return nil, dnsmessage.RCodeSuccess
	}
	number := r.names.number(host)
	if number == 0 {
		return nil, dnsmessage.RCodeServerFailure
	}
	return family(q.Type, ipv4(number), ipv6(number), r.ipv6), dnsmessage.RCodeSuccess
}

func family(t dnsmessage.Type, v4, v6 netip.Addr, both bool) []netip.Addr {
	switch {
	case t == dnsmessage.TypeA:
		return []netip.Addr{v4}
	case t == dnsmessage.TypeAAAA && both:
		return []netip.Addr{v6}
	}
	return nil
}

// neverExists reports whether a name is one that no name server has (RFC 6761 §6.4,
// RFC 7686).
func neverExists(name string) bool {
	for _, top := range []string{"invalid", "onion"} {
		if name == top || strings.HasSuffix(name, "."+top) {
			return true
		}
	}
	return false
}

func build(h dnsmessage.Header, q *dnsmessage.Question, addresses []netip.Addr) []byte {
	b := dnsmessage.NewBuilder(nil, h)
	b.EnableCompression()
	if q != nil {
		if b.StartQuestions() != nil || b.Question(*q) != nil {
			return nil
		}
		if b.StartAnswers() != nil {
			return nil
		}
		for _, a := range addresses {
			record := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: answerTTL}
			var err error
			if a.Is4() {
				err = b.AResource(record, dnsmessage.AResource{A: a.As4()})
			} else {
				err = b.AAAAResource(record, dnsmessage.AAAAResource{AAAA: a.As16()})
			}
			if err != nil {
				return nil
			}
		}
	}
	message, err := b.Finish()
	if err != nil {
		return nil
	}
	return message
}

// serveUDP answers until the socket is closed. The control message that tells which
// address was asked, sent back as it came, makes the answer leave from there
// (IP_PKTINFO in ip(7), IPV6_PKTINFO in RFC 3542 §6.2).
func (r *resolver) serveUDP(c *net.UDPConn) {
	question, info := make([]byte, maxQuestion), make([]byte, 128)
	for {
		n, infoN, _, from, err := c.ReadMsgUDPAddrPort(question, info)
		if err != nil {
			return
		}
		if message := r.answer(question[:n]); message != nil {
			c.WriteMsgUDPAddrPort(message, info[:infoN], from)
		}
	}
}

// serveTCP answers the questions of a connection (RFC 1035 §4.2.2).
func (r *resolver) serveTCP(c net.Conn) {
	defer c.Close()
	for {
		c.SetDeadline(time.Now().Add(dnsTimeout))
		var length [2]byte
		if _, err := io.ReadFull(c, length[:]); err != nil {
			return
		}
		question := make([]byte, min(int(binary.BigEndian.Uint16(length[:])), maxQuestion))
		if _, err := io.ReadFull(c, question); err != nil {
			return
		}
		message := r.answer(question)
		if message == nil {
			return
		}
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...)); err != nil {
			return
		}
	}
}

// Package capture serves what a run's network namespace sends out: its sockets were
// made inside and are held by us, so that whatever comes out of them belongs to that
// run. It answers names with addresses of its own, tells for which name a connection
// is, and carries the loopback of both sides to the other.
package capture

import (
	"encoding/binary"
	"net/netip"
	"sync"

	"github.com/agentproxy/agentproxy/proxy/policy"
)

// Where the addresses that stand for names are from: the range for benchmarks (RFC
// 2544), which no network routes, and a local prefix (RFC 4193) that was drawn once.
var (
	synthetic4 = netip.MustParsePrefix("198.18.0.0/15")
	synthetic6 = netip.MustParsePrefix("fdb7:6a1c:90e3:5d42::/64")
)

// names gives each name one address of each family and remembers it for the run.
type names struct {
	mu     sync.Mutex
	byName map[policy.Host]uint32
	hosts  []policy.Host // by number, from 1 on
}

// maxNames is how many fit into synthetic4 beside its first and last address.
const maxNames = 1<<17 - 2

// number returns the one of a name, 0 when there are no more.
func (n *names) number(host policy.Host) uint32 {
	n.mu.Lock()
	defer n.mu.Unlock()
	if number, ok := n.byName[host]; ok {
		return number
	}
	if len(n.hosts) == maxNames {
		return 0
	}
	if n.byName == nil {
		n.byName = map[policy.Host]uint32{}
	}
	n.hosts = append(n.hosts, host)
	number := uint32(len(n.hosts))
	n.byName[host] = number
	return number
}

// ipv4 is a number's address.
func ipv4(number uint32) netip.Addr {
	base := synthetic4.Addr().As4()
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], binary.BigEndian.Uint32(base[:])+number)
	return netip.AddrFrom4(a)
}

// ipv6 is a number's address.
func ipv6(number uint32) netip.Addr {
	a := synthetic6.Addr().As16()
	binary.BigEndian.PutUint32(a[12:], number)
	return netip.AddrFrom16(a)
}

// IsSynthetic reports whether an address is one that stands for a name.
func IsSynthetic(a netip.Addr) bool { return synthetic4.Contains(a) || synthetic6.Contains(a) }

// host returns the name that an address stands for.
func (n *names) host(a netip.Addr) (policy.Host, bool) {
	if !IsSynthetic(a) {
		return policy.Host{}, false
	}
	raw := a.AsSlice()
	number := binary.BigEndian.Uint32(raw[len(raw)-4:])
	if a.Is4() {
		base := synthetic4.Addr().As4()
		number -= binary.BigEndian.Uint32(base[:])
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if number == 0 || int(number) > len(n.hosts) {
		return policy.Host{}, false
	}
	return n.hosts[number-1], true
}

package policy

import "net/netip"

// addrClass is a kind of address that the embedded egress does not reach
// unless it is listed.
type addrClass string

const (
	classPublic        addrClass = ""
	classMetadata      addrClass = "cloud metadata"
	classLoopback      addrClass = "loopback"
	classPrivate       addrClass = "private"
	classLinkLocal     addrClass = "link-local"
	classCGNAT         addrClass = "carrier-grade NAT"
	classMulticast     addrClass = "multicast"
	classDocumentation addrClass = "documentation"
	classReserved      addrClass = "reserved"
)

// addrClasses maps prefixes to classes; the first match counts. Sources: the
// IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890 and updates),
// and the clouds' documents for metadata services.
var addrClasses = []struct {
	prefix netip.Prefix
	class  addrClass
}{
	{netip.MustParsePrefix("169.254.169.254/32"), classMetadata},   // AWS, GCP, Azure, OpenStack …
	{netip.MustParsePrefix("169.254.170.2/32"), classMetadata},     // AWS ECS task credentials
	{netip.MustParsePrefix("169.254.170.23/32"), classMetadata},    // AWS EKS pod identity
	{netip.MustParsePrefix("100.100.100.200/32"), classMetadata},   // Alibaba Cloud
	{netip.MustParsePrefix("168.63.129.16/32"), classMetadata},     // Azure wire server
	{netip.MustParsePrefix("192.0.0.192/32"), classMetadata},       // Oracle Cloud
	{netip.MustParsePrefix("fd00:ec2::/32"), classMetadata},        // AWS over IPv6
	{netip.MustParsePrefix("fd20:ce::254/128"), classMetadata},     // GCP over IPv6
	{netip.MustParsePrefix("0.0.0.0/8"), classLoopback},            // RFC 1122: this host
	{netip.MustParsePrefix("127.0.0.0/8"), classLoopback},          // RFC 1122
	{netip.MustParsePrefix("10.0.0.0/8"), classPrivate},            // RFC 1918
	{netip.MustParsePrefix("172.16.0.0/12"), classPrivate},         // RFC 1918
	{netip.MustParsePrefix("192.168.0.0/16"), classPrivate},        // RFC 1918
	{netip.MustParsePrefix("169.254.0.0/16"), classLinkLocal},      // RFC 3927
	{netip.MustParsePrefix("100.64.0.0/10"), classCGNAT},           // RFC 6598
	{netip.MustParsePrefix("192.0.2.0/24"), classDocumentation},    // RFC 5737
	{netip.MustParsePrefix("198.51.100.0/24"), classDocumentation}, // RFC 5737
	{netip.MustParsePrefix("203.0.113.0/24"), classDocumentation},  // RFC 5737
	{netip.MustParsePrefix("192.0.0.0/24"), classReserved},         // RFC 6890: protocol assignments
	{netip.MustParsePrefix("192.88.99.0/24"), classReserved},       // RFC 7526: 6to4 relays
	{netip.MustParsePrefix("198.18.0.0/15"), classReserved},        // RFC 2544: benchmarking
	{netip.MustParsePrefix("224.0.0.0/4"), classMulticast},         // RFC 5771
	{netip.MustParsePrefix("240.0.0.0/4"), classReserved},          // RFC 1112, broadcast
	{netip.MustParsePrefix("::/128"), classLoopback},               // RFC 4291: unspecified
	{netip.MustParsePrefix("::1/128"), classLoopback},              // RFC 4291
	{netip.MustParsePrefix("fe80::/10"), classLinkLocal},           // RFC 4291
	{netip.MustParsePrefix("fec0::/10"), classPrivate},             // RFC 3879: site-local
	{netip.MustParsePrefix("fc00::/7"), classPrivate},              // RFC 4193
	{netip.MustParsePrefix("ff00::/8"), classMulticast},            // RFC 4291
	{netip.MustParsePrefix("2001:db8::/32"), classDocumentation},   // RFC 3849
	{netip.MustParsePrefix("3fff::/20"), classDocumentation},       // RFC 9637
	{netip.MustParsePrefix("100::/64"), classReserved},             // RFC 6666: discard
	{netip.MustParsePrefix("2001::/23"), classReserved},            // RFC 2928: protocol assignments, Teredo
	{netip.MustParsePrefix("5f00::/16"), classReserved},            // RFC 9602: SRv6
}

// embeddings are IPv6 prefixes that carry an IPv4 address, and where.
var embeddings = []struct {
	prefix netip.Prefix
	offset int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12},   // RFC 6052: NAT64
	{netip.MustParsePrefix("64:ff9b:1::/48"), 12}, // RFC 8215: local NAT64, /96 form
	{netip.MustParsePrefix("2002::/16"), 2},       // RFC 3056: 6to4
	{netip.MustParsePrefix("::/96"), 12},          // RFC 4291: IPv4-compatible
}

// canonical drops the zone and unwraps addresses that embed an IPv4 address,
// so that a rule for the IPv4 address holds for every spelling of it.
func canonical(a netip.Addr) netip.Addr {
	a = a.WithZone("").Unmap()
	if a.Is4() || a == netip.IPv6Loopback() || a == netip.IPv6Unspecified() {
		return a
	}
	for _, e := range embeddings {
		if e.prefix.Contains(a) {
			b := a.As16()
			return netip.AddrFrom4([4]byte(b[e.offset : e.offset+4]))
		}
	}
	return a
}

// classify returns the class of a canonical address.
func classify(a netip.Addr) addrClass {
	for _, c := range addrClasses {
		if c.prefix.Contains(a) {
			return c.class
		}
	}
	return classPublic
}

// LabNetwork tells whether a machine with these interface addresses lives in a
// network that is numbered from the documentation ranges, as sandboxes and labs
// are. There, and only there, a name that resolves into such a range is an
// ordinary origin; see Policy.CheckAddr.
func LabNetwork(addrs []netip.Prefix) bool {
	for _, a := range addrs {
		if classify(canonical(a.Addr())) == classDocumentation {
			return true
		}
	}
	return false
}

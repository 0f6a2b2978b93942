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

// embeddings are IPv6 prefixes that carry an IPv4 address, and at which of the
// sixteen bytes its four are; where operators choose the length of the prefix, in
// every form that RFC 6052 §2.2 has (byte 8 is left out there).
var embeddings = []struct {
	prefix netip.Prefix
	forms  [][4]int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), [][4]int{last}},                                                   // RFC 6052: NAT64
	{netip.MustParsePrefix("64:ff9b:1::/48"), [][4]int{last, {6, 7, 9, 10}, {7, 9, 10, 11}, {9, 10, 11, 12}}}, // RFC 8215: local NAT64
	{netip.MustParsePrefix("2002::/16"), [][4]int{{2, 3, 4, 5}}},                                              // RFC 3056: 6to4
	{netip.MustParsePrefix("::/96"), [][4]int{last}},                                                          // RFC 4291: IPv4-compatible
	{netip.MustParsePrefix("::ffff:0:0:0/96"), [][4]int{last}},                                                // RFC 2765: IPv4-translated (SIIT)
}

var last = [4]int{12, 13, 14, 15}

var thisNetwork = netip.MustParsePrefix("0.0.0.0/8") // RFC 1122 §3.2.1.3

// readings returns every address that packets to this one may end at, without
// zone: itself, or the IPv4 addresses that it embeds, so that a rule for one holds
// for every spelling of it. A translator ignores what stands behind the embedded
// address, so none of the forms can be ruled out by that; but none leads to
// 0.0.0.0/8.
func readings(a netip.Addr) []netip.Addr {
	a = a.WithZone("").Unmap()
	if a.Is4() || a == netip.IPv6Loopback() || a == netip.IPv6Unspecified() {
		return []netip.Addr{a}
	}
	b := a.As16()
	at := func(form [4]int) netip.Addr {
		return netip.AddrFrom4([4]byte{b[form[0]], b[form[1]], b[form[2]], b[form[3]]})
	}
	for _, e := range embeddings {
		if !e.prefix.Contains(a) {
			continue
		}
		var list []netip.Addr
		for i, form := range e.forms {
			if v4 := at(form); i == 0 || !thisNetwork.Contains(v4) {
				list = append(list, v4)
			}
		}
		if len(list) > 1 && thisNetwork.Contains(list[0]) {
			list = list[1:]
		}
		return list
	}
	if b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe { // RFC 5214 §6.1: ISATAP, under any prefix
		return []netip.Addr{a, at(last)}
	}
	return []netip.Addr{a}
}

// classify returns the class of an address of readings.
func classify(a netip.Addr) addrClass {
	for _, c := range addrClasses {
		if c.prefix.Contains(a) {
			return c.class
		}
	}
	return classPublic
}

// LabNetwork reports whether a machine with these interface addresses lives in a
// network that is numbered from the documentation ranges, as sandboxes and labs
// are. There, and only there, a name that resolves into such a range is an
// ordinary origin; see Policy.CheckAddr.
func LabNetwork(addrs []netip.Prefix) bool {
	for _, a := range addrs {
		if classify(readings(a.Addr())[0]) == classDocumentation {
			return true
		}
	}
	return false
}

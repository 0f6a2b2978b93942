// Package policy decides where the embedded egress may go. A host is
// normalised once, by ParseTarget, into a type; every later decision is made on
// that type and carries the rule and the reason for it.
package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/agentproxy/agentproxy/proxy/status"
	"golang.org/x/net/idna"
)

// Host is a normalised host: either an IP address or a lower-case ASCII DNS
// name without a trailing dot. The zero Host is invalid.
type Host struct {
	name string
	addr netip.Addr
}

// String returns the name, or the address without brackets.
func (h Host) String() string {
	if h.addr.IsValid() {
		return h.addr.String()
	}
	return h.name
}

// Addr returns the address of an IP host; it is invalid for a name.
func (h Host) Addr() netip.Addr { return h.addr }

// IsIP reports whether the host is an address.
func (h Host) IsIP() bool { return h.addr.IsValid() }

// IsLoopback reports whether the host is this machine by its spelling: a loopback
// address, the unspecified one, which systems take for it, "localhost" or a name
// below it (RFC 6761 §6.3).
func (h Host) IsLoopback() bool {
	return h.addr.IsLoopback() || h.addr.IsValid() && h.addr.IsUnspecified() || h.name == "localhost" || strings.HasSuffix(h.name, ".localhost")
}

// Target is a normalised CONNECT target.
type Target struct {
	Host Host
	Port uint16
}

// String returns host:port, IPv6 addresses in brackets.
func (t Target) String() string {
	port := strconv.Itoa(int(t.Port))
	if t.Host.addr.Is6() {
		return "[" + t.Host.String() + "]:" + port
	}
	return t.Host.String() + ":" + port
}

// ParseTarget parses an authority with a port, as CONNECT carries it (RFC 9110
// §9.3.6).
func ParseTarget(s string) (Target, error) {
	host, port, err := splitPort(s)
	if err != nil {
		return Target{}, err
	}
	if port == "" {
		return Target{}, fmt.Errorf("%q has no port", s)
	}
	return makeTarget(host, port)
}

// ParseAuthority parses an authority whose port may be left out.
func ParseAuthority(s string, defaultPort uint16) (Target, error) {
	host, port, err := splitPort(s)
	if err != nil {
		return Target{}, err
	}
	if port == "" {
		port = strconv.Itoa(int(defaultPort))
	}
	return makeTarget(host, port)
}

func makeTarget(host, port string) (Target, error) {
	p, err := parsePort(port)
	if err != nil {
		return Target{}, err
	}
	h, err := ParseHost(host)
	return Target{h, p}, err
}

// splitPort splits at the port's colon; an IPv6 address must be in brackets.
func splitPort(s string) (host, port string, err error) {
	if strings.ContainsAny(s, `@/?#\`) { // a URL, maybe with a password: what is told of it has none
		return "", "", fmt.Errorf("%q was given with more than a host and a port", status.HostOnly(s))
	}
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", "", fmt.Errorf("%q: missing ] in address", s)
		}
		host, rest := s[:end+1], s[end+1:]
		if rest == "" {
			return host, "", nil
		}
		if rest[0] != ':' {
			return "", "", fmt.Errorf("%q: unexpected characters after ]", s)
		}
		return host, rest[1:], nil
	}
	host, port, found := strings.Cut(s, ":")
	if strings.Contains(port, ":") {
		return "", "", fmt.Errorf("%q: an IPv6 address must be in brackets", s)
	}
	if found && port == "" {
		return "", "", fmt.Errorf("%q has an empty port", s)
	}
	return host, port, nil
}

func parsePort(s string) (uint16, error) {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, fmt.Errorf("%q is not a port", s)
		}
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is not a port (1-65535)", s)
	}
	return uint16(n), nil
}

// ParseHost normalises a host: case, one trailing dot, IDN (UTS #46 lookup, to
// punycode), IPv6 brackets and zone (dropped: it names an interface of the
// client), IPv4-mapped addresses, and the decimal, octal and hexadecimal
// spellings of IPv4 addresses that resolvers accept (WHATWG URL §3.5). Control
// characters, spaces, empty and overlong labels are refused.
func ParseHost(s string) (Host, error) {
	if s == "" {
		return Host{}, errors.New("empty host")
	}
	for _, r := range s {
		if r <= ' ' || r == 0x7f || strings.ContainsRune(`/\@?#%"<>^|{}*`+"`", r) && !strings.HasPrefix(s, "[") {
			return Host{}, fmt.Errorf("host %q contains the character %q", s, r)
		}
	}
	if inner, ok := strings.CutPrefix(s, "["); ok {
		return parseBracketed(s, inner)
	}
	name, err := idna.Lookup.ToASCII(strings.TrimSuffix(s, "."))
	if err != nil {
		// The lookup profile refuses underscores, which real names carry.
		name, err = lenientASCII(strings.TrimSuffix(s, "."))
		if err != nil {
			return Host{}, fmt.Errorf("host %q is not a domain name", s)
		}
	}
	if err := checkLabels(name); err != nil {
		return Host{}, fmt.Errorf("host %q: %w", s, err)
	}
	if endsInNumber(name) {
		addr, err := parseIPv4(name)
		if err != nil {
			return Host{}, fmt.Errorf("host %q: %w", s, err)
		}
		return Host{addr: addr}, nil
	}
	return Host{name: name}, nil
}

func parseBracketed(s, inner string) (Host, error) {
	inner, ok := strings.CutSuffix(inner, "]")
	if !ok {
		return Host{}, fmt.Errorf("host %q: missing ]", s)
	}
	addr, err := netip.ParseAddr(inner)
	if err != nil || !addr.Is6() {
		return Host{}, fmt.Errorf("host %q is not an IPv6 address", s)
	}
	return Host{addr: addr.WithZone("").Unmap()}, nil
}

func lenientASCII(s string) (string, error) {
	s = strings.ToLower(s)
	for _, c := range []byte(s) {
		if c >= 0x80 {
			return "", errors.New("not ASCII")
		}
	}
	return s, nil
}

// checkLabels holds the limits of RFC 1035 §2.3.4.
func checkLabels(name string) error {
	if len(name) > 253 {
		return errors.New("longer than 253 bytes")
	}
	for label := range strings.SplitSeq(name, ".") {
		switch {
		case label == "":
			return errors.New("empty label")
		case len(label) > 63:
			return errors.New("label longer than 63 bytes")
		}
		for _, c := range []byte(label) {
			if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
				return fmt.Errorf("character %q in a label", c)
			}
		}
	}
	return nil
}

// endsInNumber is the WHATWG URL "ends in a number checker": such a host is an
// IPv4 address or an error, never a name.
func endsInNumber(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	_, err := parseNumber(last)
	return err == nil || strings.Trim(last, "0123456789") == ""
}

// parseIPv4 is the WHATWG URL "IPv4 parser", which accepts what inet_aton(3) does.
func parseIPv4(name string) (netip.Addr, error) {
	parts := strings.Split(name, ".")
	if len(parts) > 4 {
		return netip.Addr{}, errors.New("too many parts for an IPv4 address")
	}
	var ip uint64
	for i, part := range parts {
		n, err := parseNumber(part)
		if err != nil {
			return netip.Addr{}, fmt.Errorf("%q is not a part of an IPv4 address", part)
		}
		limit := uint64(255)
		shift := 8 * (3 - i)
		if i == len(parts)-1 {
			limit, shift = 1<<(8*(5-len(parts)))-1, 0
		}
		if n > limit {
			return netip.Addr{}, fmt.Errorf("%q is too large for an IPv4 address", part)
		}
		ip |= n << shift
	}
	return netip.AddrFrom4([4]byte{byte(ip >> 24), byte(ip >> 16), byte(ip >> 8), byte(ip)}), nil
}

func parseNumber(s string) (uint64, error) {
	switch {
	case s == "":
		return 0, errors.New("empty")
	case strings.HasPrefix(s, "0x"):
		if s == "0x" {
			return 0, nil
		}
		return strconv.ParseUint(s[2:], 16, 64)
	case len(s) > 1 && s[0] == '0':
		return strconv.ParseUint(s[1:], 8, 64)
	}
	return strconv.ParseUint(s, 10, 64)
}

package env

import (
	"net/netip"
	"strings"
)

// IsLoopback reports whether a host is this machine by its spelling: "localhost"
// or a name below it (RFC 6761 §6.3), a loopback address, the short forms of one
// that inet_aton(3) reads, or the unspecified address, which systems take for it.
// The host may be in brackets and have a trailing dot, but no port.
func IsLoopback(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		host = strings.TrimSuffix(inner, "]")
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().IsLoopback() || addr.Unmap().IsUnspecified()
	}
	return isShort(host)
}

// isShort reports whether a host is 127.1 or 127.0.1.
func isShort(host string) bool {
	parts := strings.Split(host, ".")
	if len(parts) < 2 || len(parts) > 3 || parts[0] != "127" {
		return false
	}
	for _, part := range parts[1:] {
		if part == "" || strings.Trim(part, "0123456789") != "" {
			return false
		}
	}
	return true
}

package sockets

import (
	"bytes"
	"io"
	"net/netip"
	"testing"
)

// What is said of a connection arrives, and what the client sends behind it stays.
func TestDestinations(t *testing.T) {
	for _, text := range []string{"192.0.2.7:443", "[2001:db8::7]:8443"} {
		want := netip.MustParseAddrPort(text)
		r := bytes.NewReader(append(AppendDestination(nil, want, []byte("secret")), "hello"...))
		got, err := ReadDestination(r, []byte("secret"))
		rest, _ := io.ReadAll(r)
		if err != nil || got != want || string(rest) != "hello" {
			t.Errorf("%s: %s and %q, %v", want, got, rest, err)
		}
	}
}

// Whatever else comes is refused.
func TestDestinationsThatAreNone(t *testing.T) {
	to := netip.MustParseAddrPort("192.0.2.7:443")
	whole := AppendDestination(nil, to, []byte("secret"))
	spoiled := func(at int, b byte) []byte {
		header := bytes.Clone(whole)
		header[at] = b
		return header
	}
	for name, header := range map[string][]byte{
		"TLS":              []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and so on, and so on"),
		"local":            spoiled(12, 0x20),
		"UDP":              spoiled(13, 0x12),
		"too short for it": spoiled(15, 8),
		"cut":              whole[:20],
		"another's":        AppendDestination(nil, to, []byte("guess")),
		"nobody's":         AppendDestination(nil, to, nil),
		"nothing":          nil,
	} {
		if got, err := ReadDestination(bytes.NewReader(header), []byte("secret")); err == nil {
			t.Errorf("%s: %s", name, got)
		}
	}
}

package sockets

import (
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
)

// signature begins a header of version 2 of the PROXY protocol
// (https://www.haproxy.org/download/1.8/doc/proxy-protocol.txt, §2.2).
const signature = "\r\n\r\n\x00\r\nQUIT\n"

const (
	headerLength = 16
	proxied      = 0x21 // version 2, a connection on behalf of another
	tcp4, tcp6   = 0x11, 0x21
	uniqueID     = 0x05 // PP2_TYPE_UNIQUE_ID, one of the fields behind the addresses (§2.2.5)
)

// AppendDestination appends the header that says where a client meant its connection to
// go. Its source is left out: the socket is the client's. The secret, of 128 bytes at
// most, is that of the run: the client could write before us.
func AppendDestination(b []byte, to netip.AddrPort, secret []byte) []byte {
	family, size := byte(tcp4), 4
	if to.Addr().Is6() {
		family, size = tcp6, 16
	}
	b = append(append(b, signature...), proxied, family)
	b = binary.BigEndian.AppendUint16(b, uint16(2*size+4+fieldLength+len(secret)))
	b = append(append(b, make([]byte, size)...), to.Addr().AsSlice()...)
	b = binary.BigEndian.AppendUint16(append(b, 0, 0), to.Port())
	return append(binary.BigEndian.AppendUint16(append(b, uniqueID), uint16(len(secret))), secret...)
}

// fieldLength is that of a field's type and length.
const fieldLength = 3

var errSecret = errors.New("a header of the PROXY protocol that the run's supervisor has not sent")

var errHeader = errors.New("no header of the PROXY protocol that names a TCP destination")

// ReadDestination reads the header, which has the run's secret, and nothing behind it.
func ReadDestination(r io.Reader, secret []byte) (netip.AddrPort, error) {
	header := make([]byte, headerLength)
	if _, err := io.ReadFull(r, header); err != nil {
		return netip.AddrPort{}, fmt.Errorf("the header: %w", err)
	}
	size := 4
	if header[13] == tcp6 {
		size = 16
	}
	length := int(binary.BigEndian.Uint16(header[14:]))
	if string(header[:12]) != signature || header[12] != proxied || header[13] != tcp4 && header[13] != tcp6 || length < 2*size+4 {
		return netip.AddrPort{}, errHeader
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(r, body); err != nil {
		return netip.AddrPort{}, fmt.Errorf("the header's addresses: %w", err)
	}
	field := body[2*size+4:]
	if len(field) < fieldLength || field[0] != uniqueID || subtle.ConstantTimeCompare(field[fieldLength:], secret) == 0 {
		return netip.AddrPort{}, errSecret
	}
	addr, _ := netip.AddrFromSlice(body[size : 2*size])
	return netip.AddrPortFrom(addr.Unmap(), binary.BigEndian.Uint16(body[2*size+2:])), nil
}

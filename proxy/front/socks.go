package front

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"

	"github.com/agentproxy/agentproxy/proxy/status"
)

// The first byte of what a SOCKS client sends (RFC 1928 §3; SOCKS4 protocol).
const (
	socks4 = 0x04
	socks5 = 0x05
)

// socks answers a client that takes us for a SOCKS proxy, in its own protocol and
// at once, and notes where it wanted to go.
func (f *Front) socks(c *headConn, version byte) {
	target, err := "", error(nil)
	refusal := []byte{0, 0x5b, 0, 0, 0, 0, 0, 0} // SOCKS4: rejected
	if version == socks5 {
		refusal = []byte{socks5, 0x02, 0, 1, 0, 0, 0, 0, 0, 0} // RFC 1928 §6: not allowed
		target, err = c.socks5Target()
	} else {
		target, err = c.socks4Target()
	}
	f.report(c.Conn, &status.Failure{Kind: status.PlainHTTP, Code: http.StatusMethodNotAllowed, By: "front", Host: target, Err: err,
		Detail: fmt.Sprintf("the client spoke SOCKS %d to the proxy port, which speaks HTTP", version),
		Advice: "write the proxy's URL with http:// in place of socks5://, and unset ALL_PROXY for this tool"})
	if err == nil {
		c.Conn.Write(refusal)
		c.drain()
	}
}

// socks5Target reads the greeting, asks for no credentials, and reads the request.
func (c *headConn) socks5Target() (string, error) {
	var greeting [2]byte
	if _, err := io.ReadFull(c.br, greeting[:]); err != nil {
		return "", err
	}
	if _, err := c.br.Discard(int(greeting[1])); err != nil {
		return "", err
	}
	if _, err := c.Conn.Write([]byte{socks5, 0}); err != nil {
		return "", err
	}
	var request [4]byte
	if _, err := io.ReadFull(c.br, request[:]); err != nil {
		return "", err
	}
	length := 0
	switch request[3] {
	case 1:
		length = net.IPv4len
	case 4:
		length = net.IPv6len
	case 3:
		n, err := c.br.ReadByte()
		if err != nil {
			return "", err
		}
		length = int(n)
	default:
		return "", fmt.Errorf("address type %d", request[3])
	}
	address := make([]byte, length+2)
	if _, err := io.ReadFull(c.br, address); err != nil {
		return "", err
	}
	host := string(address[:length])
	if addr, ok := netip.AddrFromSlice(address[:length]); ok && request[3] != 3 {
		host = addr.String()
	}
	return net.JoinHostPort(host, strconv.Itoa(int(binary.BigEndian.Uint16(address[length:])))), nil
}

// socks4Target reads a request, with a name behind it where the address says so
// (SOCKS4A).
func (c *headConn) socks4Target() (string, error) {
	var request [8]byte
	if _, err := io.ReadFull(c.br, request[:]); err != nil {
		return "", err
	}
	if _, err := c.br.ReadSlice(0); err != nil { // the user
		return "", err
	}
	host := netip.AddrFrom4([4]byte(request[4:])).String()
	if request[4] == 0 && request[5] == 0 && request[6] == 0 && request[7] != 0 {
		name, err := c.br.ReadSlice(0)
		if err != nil {
			return "", err
		}
		host = string(name[:len(name)-1])
	}
	return net.JoinHostPort(host, strconv.Itoa(int(binary.BigEndian.Uint16(request[2:])))), nil
}

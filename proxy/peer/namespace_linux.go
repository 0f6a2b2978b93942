package peer

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Namespace asks about the sockets of a network namespace.
type Namespace struct{ diagnoser }

// Host is the namespace that we are in.
func Host() *Namespace { return new(Namespace) }

// In asks by a socket for sock_diag(7) that was made in another namespace. Close
// closes it.
func In(fd int) (*Namespace, error) {
	if err := setPatience(fd); err != nil {
		return nil, err
	}
	return &Namespace{diagnoser{fd: fd, given: true}}, nil
}

// Lookup is the function of that name for a connection in the namespace.
func (n *Namespace) Lookup(c net.Conn) (Socket, error) { return n.ask(c) }

// Close closes the socket.
func (n *Namespace) Close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fd != 0 {
		n.close()
	}
	n.given = true
}

// Listener is a TCP socket that listens.
type Listener struct {
	Addr  netip.AddrPort
	Inode uint32
	// IPv6Only is true for one that gets no connections by IPv4.
	IPv6Only bool
}

// Listening returns the TCP sockets that listen in the namespace.
func (n *Namespace) Listening() ([]Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.open(); err != nil {
		return nil, err
	}
	var all []Listener
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		list, err := n.dump(family)
		if err != nil {
			n.close()
			return nil, err
		}
		all = append(all, list...)
	}
	return all, nil
}

const (
	tcpListen      = 10 // TCP_LISTEN of linux/tcp_states.h
	diagIPv6Only   = 11 // INET_DIAG_SKV6ONLY of linux/inet_diag.h
	diagSourcePort = 4  // in struct inet_diag_msg: id.idiag_sport
	diagSource     = 8  // id.idiag_src
	diagMessageLen = 72 // struct inet_diag_msg
	dumpBuffer     = 32 << 10
)

// dump asks for the listening sockets of one family.
func (n *Namespace) dump(family byte) ([]Listener, error) {
	b := make([]byte, diagRequestLen)
	binary.NativeEndian.PutUint32(b, diagRequestLen)
	binary.NativeEndian.PutUint16(b[4:], unix.SOCK_DIAG_BY_FAMILY)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	request := b[unix.NLMSG_HDRLEN:]
	request[0], request[1] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(request[4:], 1<<tcpListen)
	if err := unix.Sendto(n.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	var all []Listener
	reply := make([]byte, dumpBuffer)
	for {
		size, _, err := unix.Recvfrom(n.fd, reply, 0)
		if err != nil {
			return nil, err
		}
		for rest := reply[:size]; len(rest) >= unix.NLMSG_HDRLEN; {
			length := int(binary.NativeEndian.Uint32(rest))
			if length < unix.NLMSG_HDRLEN || length > len(rest) {
				return nil, ErrUnknown
			}
			switch binary.NativeEndian.Uint16(rest[4:]) {
			case unix.NLMSG_DONE:
				return all, nil
			case unix.NLMSG_ERROR:
				return nil, ErrUnknown
			}
			if l, ok := listener(rest[unix.NLMSG_HDRLEN:length]); ok {
				all = append(all, l)
			}
			rest = rest[min(align(length), len(rest)):]
		}
	}
}

func align(n int) int { return (n + 3) &^ 3 } // NLMSG_ALIGNTO, RTA_ALIGNTO

// listener reads a struct inet_diag_msg and the attributes behind it.
func listener(m []byte) (l Listener, ok bool) {
	if len(m) < diagMessageLen {
		return l, false
	}
	port := binary.BigEndian.Uint16(m[diagSourcePort:])
	addr := netip.AddrFrom16([16]byte(m[diagSource:]))
	if m[0] == unix.AF_INET {
		addr = netip.AddrFrom4([4]byte(m[diagSource:]))
	}
	l = Listener{Addr: netip.AddrPortFrom(addr.Unmap(), port), Inode: binary.NativeEndian.Uint32(m[68:])}
	for rest := m[diagMessageLen:]; len(rest) >= unix.SizeofRtAttr; {
		length := int(binary.NativeEndian.Uint16(rest))
		if length < unix.SizeofRtAttr || length > len(rest) {
			break
		}
		if binary.NativeEndian.Uint16(rest[2:]) == diagIPv6Only && length > unix.SizeofRtAttr {
			l.IPv6Only = rest[unix.SizeofRtAttr] != 0
		}
		rest = rest[min(align(length), len(rest)):]
	}
	return l, true
}

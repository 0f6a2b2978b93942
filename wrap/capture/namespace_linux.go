package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/agentproxy/agentproxy/proxy/capture/sockets"
	"golang.org/x/sys/unix"
)

// loopback is the interface number of lo, the first in every network namespace.
const loopback = 1

// backlog is how many connections wait for the daemon at each listener: a successor
// of one that was killed takes a moment.
const backlog = 4096

// spares are sockets to connect and listen with later on, from which the daemon
// makes more.
const spares = 4

// ownAddress is that of the command's host, outside of loopback (RFC 5737): without one
// some resolvers take a host to be offline, and ask no name server for addresses of IPv4.
var ownAddress = [4]byte{192, 0, 2, 1}

// network makes the namespace that we are in one in which every address is ours,
// and the sockets that accept what is sent there.
func network(ports []uint16) (*sockets.Set, error) {
	if err := up(); err != nil {
		return nil, fmt.Errorf("bring lo up: %w", err)
	}
	if err := addAddress(ownAddress); err != nil {
		return nil, fmt.Errorf("add the host's address: %w", err)
	}
	if err := addRoute(unix.AF_INET); err != nil {
		return nil, fmt.Errorf("add the route for IPv4: %w", err)
	}
	// A kernel without IPv6 has no way out by it either.
	family := unix.AF_INET6
	if err := addRoute(unix.AF_INET6); err != nil {
		family = unix.AF_INET
	}
	set := &sockets.Set{IPv6: family == unix.AF_INET6}
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/net", &st); err == nil {
		set.Namespace = st.Ino
	}
	add := func(kind sockets.Kind, port uint16, fd int, err error) error {
		if err != nil {
			return fmt.Errorf("%s socket for port %d: %w", kind, port, err)
		}
		set.Sockets = append(set.Sockets, sockets.Socket{Kind: kind, Port: port, FD: fd})
		return nil
	}
	var errs []error
	for _, port := range append([]uint16{DNSPort}, ports...) {
		fd, err := listen(family, port)
		errs = append(errs, add(sockets.Stream, port, fd, err))
	}
	fd, err := names(family)
	errs = append(errs, add(sockets.Datagram, DNSPort, fd, err))
	fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	errs = append(errs, add(sockets.Diag, 0, fd, err))
	for range spares {
		fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		errs = append(errs, add(sockets.Spare, 0, fd, err))
	}
	return set, errors.Join(errs...)
}

// up brings lo up (netdevice(7)).
func up() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

// addRoute says that every address of a family is one of this host: what
// "ip route add local default dev lo table local" does (rtnetlink(7)).
func addRoute(family byte) error {
	route := make([]byte, unix.SizeofRtMsg)
	route[0] = family
	route[4], route[5] = unix.RT_TABLE_LOCAL, unix.RTPROT_BOOT
	route[6], route[7] = unix.RT_SCOPE_HOST, unix.RTN_LOCAL
	return change(unix.RTM_NEWROUTE, attribute(route, unix.RTA_OIF, binary.NativeEndian.AppendUint32(nil, loopback)))
}

// addAddress gives lo one more: "ip address add ADDRESS/32 dev lo".
func addAddress(ip [4]byte) error {
	address := make([]byte, unix.SizeofIfAddrmsg)
	address[0], address[1], address[3] = unix.AF_INET, 32, unix.RT_SCOPE_UNIVERSE
	binary.NativeEndian.PutUint32(address[4:], loopback)
	return change(unix.RTM_NEWADDR, attribute(address, unix.IFA_LOCAL, ip[:]))
}

// attribute appends one to a message, whose length is a multiple of four, as its own.
func attribute(message []byte, name uint16, value []byte) []byte {
	message = binary.NativeEndian.AppendUint16(message, uint16(unix.SizeofRtAttr+len(value)))
	message = binary.NativeEndian.AppendUint16(message, name)
	return append(message, value...)
}

// change has the kernel change something of the network.
func change(what uint16, message []byte) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request := make([]byte, unix.SizeofNlMsghdr)
	binary.NativeEndian.PutUint32(request, uint32(len(request)+len(message)))
	binary.NativeEndian.PutUint16(request[4:], what)
	binary.NativeEndian.PutUint16(request[6:], unix.NLM_F_REQUEST|unix.NLM_F_CREATE|unix.NLM_F_ACK)
	request = append(request, message...)
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	reply := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, reply, 0)
	if err != nil {
		return err
	}
	if n < unix.SizeofNlMsghdr+4 || binary.NativeEndian.Uint16(reply[4:]) != unix.NLMSG_ERROR {
		return errors.New("the kernel's answer is not understood")
	}
	if errno := -int32(binary.NativeEndian.Uint32(reply[unix.SizeofNlMsghdr:])); errno != 0 {
		return unix.Errno(errno)
	}
	return nil
}

func anyAddress(family int, port uint16) unix.Sockaddr {
	if family == unix.AF_INET6 {
		return &unix.SockaddrInet6{Port: int(port)}
	}
	return &unix.SockaddrInet4{Port: int(port)}
}

// listen accepts every connection to a port, whatever its address.
func listen(family int, port uint16) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := errors.Join(bothFamilies(family, fd), unix.Bind(fd, anyAddress(family, port)), unix.Listen(fd, backlog)); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// names gets every question to a name server, with the address that was asked.
func names(family int) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	info := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	if family == unix.AF_INET6 {
		info = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	}
	if err := errors.Join(bothFamilies(family, fd), info, unix.Bind(fd, anyAddress(family, DNSPort))); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func bothFamilies(family, fd int) error {
	if family != unix.AF_INET6 {
		return nil
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0)
}

// unprivilegedPorts is the sysctl by which ordinary users may serve low ports; a
// namespace does not inherit it.
const unprivilegedPorts = "/proc/sys/net/ipv4/ip_unprivileged_port_start"

// lowestPort returns its value here, 0 where it is what a new namespace has.
func lowestPort() int {
	text, err := os.ReadFile(unprivilegedPorts)
	if err != nil || len(text) == 0 {
		return 0
	}
	n, err := strconv.Atoi(string(text[:len(text)-1]))
	if err != nil || n == 1024 {
		return 0
	}
	return n
}

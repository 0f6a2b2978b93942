package capture

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/agentproxy/agentproxy/proxy/capture/sockets"
	"github.com/agentproxy/agentproxy/proxy/peer"
	"github.com/agentproxy/agentproxy/proxy/policy"
	"golang.org/x/sys/unix"
)

// Options are what a network is served with.
type Options struct {
	// Serve carries what the command connects to, but for loopback and names.
	Serve func(*net.TCPConn, Destination)
	// Front serves what is meant for the front's own port, Relay carries a loopback
	// connection to the other side.
	Front     func(*net.TCPConn)
	FrontPort uint16
	Relay     func(conn, other net.Conn)
}

// Destination is where a client meant a connection to go.
type Destination struct {
	// Addr is the address that it connected to.
	Addr netip.AddrPort
	// Host is what the address stands for, when Named; else the address itself.
	Host  policy.Host
	Named bool
	// Lost is true for an address that stood for a name which is not known any more.
	Lost bool
}

// Network is a run's. Close it when the last process has left it.
type Network struct {
	options   Options
	names     names
	resolver  resolver
	processes *peer.Namespace
	id        uint64
	// searched are the domains that this machine's resolver tries behind names.
	searched  []string
	listeners []*net.TCPListener
	udp       *net.UDPConn
	spares    *spares
	bridge    *bridge
	isolated  *sockets.Isolated
	alive     *os.File // of a run without a namespace
	secret    []byte   // of its supervisor
	done      chan struct{}
	closing   sync.Once
}

// Open serves a network by the sockets that were made in it, which are its own from
// now on.
func Open(set *sockets.Set, o Options) (*Network, error) {
	n := &Network{options: o, id: set.Namespace, isolated: set.Isolated, secret: set.Secret, searched: searchList("/etc/resolv.conf"), done: make(chan struct{})}
	n.resolver = resolver{names: &n.names, ipv6: set.IPv6}
	if err := n.take(set); err != nil {
		n.Close()
		return nil, err
	}
	go n.resolver.serveUDP(n.udp)
	if n.alive != nil {
		go serveEach(n.listeners[0], n.done, n.serveForwarded)
		return n, nil
	}
	n.bridge = newBridge(n)
	for _, l := range n.listeners {
		go n.accept(l)
	}
	n.bridge.update() // the host's services are there before the command is
	go n.watch()
	return n, nil
}

// take takes the sockets over.
func (n *Network) take(set *sockets.Set) (err error) {
	defer set.Close()
	var free []int
	for i := range set.Sockets {
		s := &set.Sockets[i]
		switch s.Kind {
		case sockets.Stream, sockets.Forward:
			var l net.Listener
			if l, err = fileOf(s, net.FileListener); err == nil {
				n.listeners = append(n.listeners, l.(*net.TCPListener))
			}
		case sockets.Datagram:
			var c net.PacketConn
			if c, err = fileOf(s, net.FilePacketConn); err == nil {
				n.udp = c.(*net.UDPConn)
			}
		case sockets.Diag:
			if n.processes, err = peer.In(s.FD); err == nil {
				s.FD = -1
			}
		case sockets.Spare:
			free, s.FD = append(free, s.FD), -1
		case sockets.Alive:
			n.alive, s.FD = os.NewFile(uintptr(s.FD), string(s.Kind)), -1
			n.processes = peer.Host()
		}
		if err != nil {
			return fmt.Errorf("%s socket for port %d: %w", s.Kind, s.Port, err)
		}
	}
	if len(n.listeners) == 0 || n.udp == nil || n.processes == nil || len(free) == 0 && n.alive == nil {
		return errors.New("the run's network came without the sockets that it takes")
	}
	if n.alive != nil {
		return nil
	}
	n.spares = newSpares(set.IPv6, n.listeners[0].Addr().(*net.TCPAddr).AddrPort().Port())
	n.spares.free = free
	return nil
}

// fileOf makes of a socket what net makes of a file with one; the socket is closed.
func fileOf[T any](s *sockets.Socket, open func(*os.File) (T, error)) (T, error) {
	file := os.NewFile(uintptr(s.FD), string(s.Kind))
	s.FD = -1
	defer file.Close()
	return open(file)
}

// Process returns the process in the network that holds the other end of a
// connection.
func (n *Network) Process(c net.Conn) (peer.Socket, error) { return n.processes.Lookup(c) }

// Close ends the service. What is connected stays.
func (n *Network) Close() {
	n.closing.Do(func() {
		close(n.done)
		for _, l := range n.listeners {
			l.Close()
		}
		if n.udp != nil {
			n.udp.Close()
		}
		if n.bridge != nil {
			n.bridge.close()
		}
		if n.spares != nil {
			n.spares.close()
		}
		if n.processes != nil {
			n.processes.Close()
		}
		if n.alive != nil {
			n.alive.Close()
		}
	})
}

func (n *Network) accept(l *net.TCPListener) {
	port := l.Addr().(*net.TCPAddr).AddrPort().Port()
	serveEach(l, n.done, func(c *net.TCPConn) {
		if !n.spares.claim(c) {
			n.serve(c, port)
		}
	})
}

// serveEach serves the connections of a listener, each in a goroutine of its own,
// until it is closed.
func serveEach(l *net.TCPListener, done <-chan struct{}, serve func(*net.TCPConn)) {
	for {
		c, err := l.AcceptTCP()
		switch {
		case err == nil:
			go serve(c)
		case errors.Is(err, net.ErrClosed):
			return
		default: // out of descriptors, most likely
			select {
			case <-done:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
}

const dnsPort = 53

// serve takes a connection to where it was meant to go. The address that it was made
// to is its own at our end: every address is one of this host there.
func (n *Network) serve(c *net.TCPConn, port uint16) {
	local := c.LocalAddr().(*net.TCPAddr).AddrPort()
	to := netip.AddrPortFrom(local.Addr().Unmap(), local.Port())
	switch {
	case port == dnsPort:
		n.resolver.serveTCP(c)
	case to.Addr().IsLoopback():
		n.bridge.outward(c, to)
	default:
		n.options.Serve(c, n.destination(c, to))
	}
}

// destination says what an address stands for: a name that was asked for, or by what
// the client says in its ClientHello when the address is none of ours.
func (n *Network) destination(c *net.TCPConn, to netip.AddrPort) Destination {
	d := Destination{Addr: to}
	d.Host, d.Named = n.names.host(to.Addr())
	if d.Named && !n.isSearched(d.Host.String()) {
		return d
	}
	said, err := policy.ParseHost(serverName(c))
	isName := err == nil && !said.IsIP()
	switch {
	case d.Named && isName && strings.HasPrefix(d.Host.String(), said.String()+"."):
		d.Host = said // the resolver had put a domain of its search list behind it
	case d.Named:
	case isName:
		d.Host, d.Named = said, true
	case IsSynthetic(to.Addr()):
		d.Lost = true
	}
	if !d.Named {
		d.Host, _ = policy.ParseHost(bracketed(to.Addr()))
	}
	return d
}

func bracketed(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}

// isSearched reports whether a name is below one of the domains.
func (n *Network) isSearched(name string) bool {
	return slices.ContainsFunc(n.searched, func(domain string) bool { return strings.HasSuffix(name, "."+domain) })
}

// searchList returns the domains that a resolver tries behind names (resolv.conf(5)).
func searchList(file string) (domains []string) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "search" && fields[0] != "domain" {
			continue
		}
		for _, domain := range fields[1:] {
			domains = append(domains, strings.ToLower(strings.Trim(domain, ".")))
		}
	}
	return domains
}

// Occupied reports whether a process is in the network.
func (n *Network) Occupied() bool {
	if n.alive != nil {
		return n.isSupervised()
	}
	dirs, err := os.ReadDir("/proc")
	if err != nil || n.id == 0 {
		return false
	}
	for _, dir := range dirs {
		if name := dir.Name(); name[0] < '0' || name[0] > '9' {
			continue
		}
		var st unix.Stat_t
		if unix.Stat("/proc/"+dir.Name()+"/ns/net", &st) == nil && st.Ino == n.id {
			return true
		}
	}
	return false
}

package capture

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/agentproxy/agentproxy/proxy/peer"
	"golang.org/x/sys/unix"
)

// bridge makes the loopback of either side reachable from the other: for each TCP
// port that listens on one side's loopback, something of ours listens on the other's,
// for as long.
type bridge struct {
	network *Network
	host    *peer.Namespace

	mu sync.Mutex
	// inside are ours in the namespace, for services of the host; outside are ours on
	// the host, for services of the command.
	inside, outside map[netip.AddrPort]*door
	closed          bool
}

// door is a listener on one side that leads to the other.
type door struct {
	*net.TCPListener
	inode uint32
}

func newBridge(n *Network) *bridge {
	return &bridge{network: n, host: peer.Host(), inside: map[netip.AddrPort]*door{}, outside: map[netip.AddrPort]*door{}}
}

// watchPause is how often the listening sockets of both sides are looked at.
const watchPause = 100 * time.Millisecond

// watch keeps the bridge up to date.
func (n *Network) watch() {
	tick := time.NewTicker(watchPause)
	defer tick.Stop()
	for {
		select {
		case <-n.done:
			return
		case <-tick.C:
			n.bridge.update()
		}
	}
}

// update opens doors for what listens now, and closes those for what does not.
func (b *bridge) update() {
	there, err := b.network.processes.Listening()
	if err != nil {
		return
	}
	here, err := b.host.Listening()
	if err != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	ownThere := map[uint32]bool{}
	for _, l := range b.network.listeners {
		ownThere[inodeOf(l)] = true
	}
	services := services(there, owned(ownThere, b.inside))
	reached := servicesBut(here, b)
	if only := b.network.isolated; only != nil {
		keepPorts(services, only.Publish)
		keepPorts(reached, only.Reach)
	}
	b.settle(b.outside, services, func(at netip.AddrPort) (*net.TCPListener, error) {
		return net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
	}, b.inward)
	b.settle(b.inside, reached, b.network.spares.listen, b.outward)
}

// keepPorts leaves out the services on other ports.
func keepPorts(services map[netip.AddrPort]bool, ports []uint16) {
	for at := range services {
		if !slices.Contains(ports, at.Port()) {
			delete(services, at)
		}
	}
}

// servicesBut are the host's, but for those that we have opened for the command.
func servicesBut(here []peer.Listener, b *bridge) map[netip.AddrPort]bool {
	list := services(here, owned(nil, b.outside))
	for _, l := range b.network.listeners { // on these ports every address leads to us already
		port := portOfListener(l)
		for at := range list {
			if at.Port() == port {
				delete(list, at)
			}
		}
	}
	return list
}

func portOfListener(l net.Listener) uint16 { return l.Addr().(*net.TCPAddr).AddrPort().Port() }

func owned(others map[uint32]bool, doors map[netip.AddrPort]*door) map[uint32]bool {
	all := map[uint32]bool{}
	for inode := range others {
		all[inode] = true
	}
	for _, d := range doors {
		all[d.inode] = true
	}
	return all
}

// services returns the loopback addresses at which others than us listen.
func services(listening []peer.Listener, ours map[uint32]bool) map[netip.AddrPort]bool {
	v4 := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	list := map[netip.AddrPort]bool{}
	for _, l := range listening {
		addr, port := l.Addr.Addr(), l.Addr.Port()
		if ours[l.Inode] {
			continue
		}
		switch {
		case addr.IsLoopback():
			list[l.Addr] = true
		case addr.Is4() && addr.IsUnspecified():
			list[netip.AddrPortFrom(v4, port)] = true
		case addr.IsUnspecified():
			list[netip.AddrPortFrom(netip.IPv6Loopback(), port)] = true
			if !l.IPv6Only {
				list[netip.AddrPortFrom(v4, port)] = true
			}
		}
	}
	return list
}

// settle makes doors be those for the services.
func (b *bridge) settle(doors map[netip.AddrPort]*door, services map[netip.AddrPort]bool, listen func(netip.AddrPort) (*net.TCPListener, error), serve func(*net.TCPConn, netip.AddrPort)) {
	for at, d := range doors {
		if !services[at] {
			d.Close()
			delete(doors, at)
		}
	}
	for at := range services {
		if doors[at] != nil {
			continue
		}
		l, err := listen(at)
		if err != nil {
			continue // the port is taken there, or may not be: tried again
		}
		doors[at] = &door{l, inodeOf(l)}
		go serveEach(l, b.network.done, func(c *net.TCPConn) { serve(c, at) })
	}
}

var errIsolated = errors.New("the network is isolated from this port")

// dialTimeout is how long the host's loopback may take.
const dialTimeout = 5 * time.Second

// outward carries a connection of the command's to a service of the host.
func (b *bridge) outward(c *net.TCPConn, to netip.AddrPort) {
	if only := b.network.isolated; only != nil && !slices.Contains(only.Reach, to.Port()) {
		b.join(c, nil, errIsolated)
		return
	}
	if to.Port() == b.network.options.FrontPort && to.Addr().Is4() {
		b.network.options.Front(c)
		return
	}
	other, err := net.DialTimeout("tcp", to.String(), dialTimeout)
	b.join(c, other, err)
}

// inward carries a connection of the host's to a service of the command.
func (b *bridge) inward(c *net.TCPConn, to netip.AddrPort) {
	other, err := b.network.spares.dial(to)
	b.join(c, other, err)
}

// join relays, or resets a connection whose service was not there.
func (b *bridge) join(c *net.TCPConn, other net.Conn, err error) {
	if err != nil {
		c.SetLinger(0)
		c.Close()
		return
	}
	b.network.options.Relay(c, other)
}

func (b *bridge) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for _, doors := range []map[netip.AddrPort]*door{b.inside, b.outside} {
		for _, d := range doors {
			d.Close()
		}
	}
	b.host.Close()
}

// inodeOf identifies a listener in the kernel's lists, 0 for none.
func inodeOf(l *net.TCPListener) (inode uint32) {
	raw, err := l.SyscallConn()
	if err != nil {
		return 0
	}
	raw.Control(func(fd uintptr) {
		var st unix.Stat_t
		if unix.Fstat(int(fd), &st) == nil {
			inode = uint32(st.Ino)
		}
	})
	return inode
}

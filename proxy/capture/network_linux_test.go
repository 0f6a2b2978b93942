package capture

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/capture/sockets"
	"github.com/agentproxy/agentproxy/proxy/peer"
	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/proxytest/leftout"
	"github.com/agentproxy/agentproxy/proxy/proxytest/process"
	"github.com/agentproxy/agentproxy/proxy/proxytest/tcp"
	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
)

// commandRole is a process in a network of its own that does what it is told.
const commandRole = "command"

func TestMain(m *testing.M) {
	process.Main(m, map[string]func([]string) error{commandRole: beCommand})
}

// limit is how long a test waits for what must come: it is no measure.
const limit = time.Minute

// beCommand makes its network, hands the sockets over descriptor 3, and answers each
// line with one.
func beCommand([]string) error {
	set, err := makeNetwork()
	if err != nil {
		return err
	}
	file := os.NewFile(3, "control")
	control, err := net.FileConn(file)
	if err != nil {
		return err
	}
	file.Close()
	if err := sockets.Send(control.(*net.UnixConn), sockets.Message{Set: set}); err != nil {
		return err
	}
	set.Close()
	var listener net.Listener
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		words := append(strings.Fields(lines.Text()), "", "")
		said, err := "", error(nil)
		switch words[0] {
		case "dial": // an address, and says something
			said, err = exchange(words[1], words[2])
		case "hello": // an address, by a name
			said, err = handshakeWith(words[1], words[2])
		case "resolve": // a name, over a network
			said, err = resolve(words[1], words[2])
		case "listen": // at an address
			if listener, err = net.Listen("tcp", words[1]); err == nil {
				go tcp.Greet(listener, "from inside")
				said = listener.Addr().String()
			}
		case "close":
			err = listener.Close()
		}
		if err != nil {
			said = "error: " + err.Error()
		}
		fmt.Println(strconv.Quote(said))
	}
	return nil
}

// makeNetwork makes what a run's stage would make of a network namespace, as far as
// the tests need it.
func makeNetwork() (*sockets.Set, error) {
	control, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(control)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return nil, err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(control, unix.SIOCSIFFLAGS, lo); err != nil {
		return nil, err
	}
	// Every address of lo's networks is one of this host.
	for i, network := range []string{"198.18.0.1/15", "192.0.2.1/24"} {
		prefix := netip.MustParsePrefix(network)
		alias, err := unix.NewIfreq(fmt.Sprintf("lo:%d", i))
		if err != nil {
			return nil, err
		}
		address, mask := prefix.Addr().AsSlice(), net.CIDRMask(prefix.Bits(), 32)
		if err := errors.Join(alias.SetInet4Addr(address), unix.IoctlIfreq(control, unix.SIOCSIFADDR, alias)); err != nil {
			return nil, err
		}
		if err := errors.Join(alias.SetInet4Addr(mask), unix.IoctlIfreq(control, unix.SIOCSIFNETMASK, alias)); err != nil {
			return nil, err
		}
	}
	return makeSockets()
}

// makeSockets makes a set: what is sent to ports 53 and 443, and the rest.
func makeSockets() (*sockets.Set, error) {
	family := unix.AF_INET6
	if _, err := os.Stat("/proc/net/if_inet6"); err != nil {
		family = unix.AF_INET
	}
	s := spares{ipv6: family == unix.AF_INET6}
	set := &sockets.Set{IPv6: s.ipv6}
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/net", &st); err != nil {
		return nil, err
	}
	set.Namespace = st.Ino
	make := func(kind sockets.Kind, family, typ, protocol int, port uint16) error {
		fd, err := unix.Socket(family, typ|unix.SOCK_CLOEXEC, protocol)
		set.Sockets = append(set.Sockets, sockets.Socket{Kind: kind, Port: port, FD: fd})
		if err != nil || port == 0 {
			return err
		}
		if s.ipv6 {
			err = errors.Join(unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0), unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1))
		} else {
			err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		}
		if err = errors.Join(err, unix.Bind(fd, s.address(netip.Addr{}, port))); err == nil && kind == sockets.Stream {
			err = unix.Listen(fd, unix.SOMAXCONN)
		}
		return err
	}
	return set, errors.Join(
		make(sockets.Stream, family, unix.SOCK_STREAM, 0, dnsPort),
		make(sockets.Stream, family, unix.SOCK_STREAM, 0, 443),
		make(sockets.Datagram, family, unix.SOCK_DGRAM, 0, dnsPort),
		make(sockets.Diag, unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_SOCK_DIAG, 0),
		make(sockets.Spare, family, unix.SOCK_STREAM, 0, 0),
		make(sockets.Spare, family, unix.SOCK_STREAM, 0, 0))
}

// exchange returns what a server answers.
func exchange(address, says string) (string, error) {
	c, err := net.DialTimeout("tcp", address, limit)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(limit))
	if _, err := io.WriteString(c, says); err != nil {
		return "", err
	}
	c.(*net.TCPConn).CloseWrite()
	said, err := io.ReadAll(c)
	return string(said), err
}

// handshakeWith begins TLS with a server for a name.
func handshakeWith(address, name string) (string, error) {
	c, err := net.DialTimeout("tcp", address, limit)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(limit))
	tls.Client(c, &tls.Config{ServerName: name}).Handshake()
	return "", nil
}

// resolve asks a name server.
func resolve(network, name string) (string, error) {
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, "192.0.2.53:53")
	}}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	addresses, err := resolver.LookupNetIP(ctx, "ip4", name)
	return fmt.Sprint(addresses), err
}

// inside is a command in a network, and the network.
type inside struct {
	*Network
	t       *testing.T
	cmd     *exec.Cmd
	asks    io.WriteCloser
	answers *bufio.Scanner
	served  chan Destination
}

// openNetwork serves the network of a command; nil where the system refuses one.
func openNetwork(t *testing.T, frontPort uint16) *inside {
	t.Helper()
	set, c := startCommand(t)
	if set == nil {
		return nil
	}
	opened := make(chan *Network, 1)
	network, err := Open(set, Options{
		Serve: func(conn *net.TCPConn, d Destination) {
			defer conn.Close()
			network := <-opened
			opened <- network
			owner, err := network.Process(conn)
			if err != nil || owner.Inode == 0 {
				t.Errorf("nobody has the other end: %+v, %v", owner, err)
			}
			conn.Read(make([]byte, maxRecord)) // what is unread when it is closed resets it
			fmt.Fprintf(conn, "%s %s named %v lost %v", d.Addr, d.Host, d.Named, d.Lost)
			c.served <- d
		},
		Front: func(conn *net.TCPConn) {
			io.WriteString(conn, "the front")
			conn.Close()
		},
		FrontPort: frontPort,
		Relay: func(a, b net.Conn) {
			io.Copy(a, b)
			a.Close()
			b.Close()
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Network = network
	opened <- network
	t.Cleanup(c.Close)
	return c
}

// startCommand starts a command in a network of its own, root in a user namespace.
func startCommand(t *testing.T) (*sockets.Set, *inside) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	near, far := os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control")
	defer near.Close()
	defer far.Close()
	c := &inside{t: t, cmd: process.Command(t, commandRole), served: make(chan Destination, 10)}
	c.cmd.ExtraFiles, c.cmd.Stderr = []*os.File{far}, os.Stderr
	c.cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}},
	}
	if c.asks, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.answers = bufio.NewScanner(out)
	if err := c.cmd.Start(); err != nil {
		t.Log(err)
		leftout.Note(t, "the network of a command, for want of the right to make namespaces")
		return nil, nil
	}
	far.Close()
	t.Cleanup(c.end)
	control, err := net.FileConn(near)
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	m, err := sockets.Receive(control.(*net.UnixConn))
	if err != nil || m.Set == nil {
		t.Log(err)
		leftout.Note(t, "the network of a command, which a user namespace does not let be made")
		return nil, nil
	}
	return m.Set, c
}

// end ends the command.
func (c *inside) end() {
	c.asks.Close()
	if c.cmd.ProcessState == nil {
		c.cmd.Wait()
	}
}

// asked returns what the command says to a line.
func (c *inside) asked(line string) string {
	c.t.Helper()
	if _, err := io.WriteString(c.asks, line+"\n"); err != nil {
		c.t.Fatal(err)
	}
	if !c.answers.Scan() {
		c.t.Fatalf("no answer to %q: %v", line, c.answers.Err())
	}
	said, err := strconv.Unquote(c.answers.Text())
	if err != nil {
		c.t.Fatalf("%q: %v", c.answers.Text(), err)
	}
	return said
}

// eventually returns when something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came to this: %s", what)
		}
	}
}

// Where a connection is meant to go is told by its address: a literal one, or one
// that stands for a name; and by what TLS says where the address says nothing.
func TestDestinations(t *testing.T) {
	c := openNetwork(t, 0)
	if c == nil {
		return
	}
	for _, network := range []string{"udp", "tcp"} {
		if got := c.asked("resolve " + network + " api.example"); got != "[198.18.0.1]" {
			t.Errorf("over %s the name is %s", network, got)
		}
	}
	if got := c.asked("resolve udp no-such-name.invalid"); !strings.Contains(got, "no such host") {
		t.Errorf("a name that never exists is %s", got)
	}
	for line, want := range map[string]string{
		"dial 192.0.2.7:443 x":  "192.0.2.7:443 192.0.2.7 named false lost false",
		"dial 198.18.0.1:443 x": "198.18.0.1:443 api.example named true lost false",
		"dial 198.18.9.9:443 x": "198.18.9.9:443 198.18.9.9 named false lost true",
	} {
		if got := c.asked(line); got != want {
			t.Errorf("%s: %q, not %q", line, got, want)
		}
		<-c.served
	}
	for _, address := range []string{"192.0.2.7:443", "198.18.9.9:443"} {
		c.asked("hello " + address + " other.example")
		if d := <-c.served; d.Host.String() != "other.example" || !d.Named || d.Lost || d.Addr.String() != address {
			t.Errorf("%s by name: %+v", address, d)
		}
	}
	if got := c.asked("dial 192.0.2.7:8443 x"); !strings.Contains(got, "connection refused") {
		t.Errorf("a port that nobody serves: %q", got)
	}
}

// A name that the resolver has put a domain behind is the one that TLS says.
func TestSearchedNames(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(file, []byte("# comment\nnameserver 192.0.2.53\nsearch Corp.test. other.test\noptions\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	searched := searchList(file)
	if !slices.Equal(searched, []string{"corp.test", "other.test"}) || searchList(file+".gone") != nil {
		t.Errorf("%q are searched", searched)
	}
	for asked, want := range map[string]string{
		"api.example.corp.test":   "api.example", // TLS says so
		"other.example.corp.test": "other.example.corp.test",
		"api.example":             "api.example",
	} {
		n := &Network{searched: searched}
		n.resolver = resolver{names: &n.names}
		addresses, _ := parse(t, n.resolver.answer(question(t, asked+".", dnsmessage.TypeA)))
		client, server := tcp.Pair(t)
		go tls.Client(client, &tls.Config{ServerName: "api.example"}).Handshake()
		d := n.destination(server, netip.AddrPortFrom(addresses[0], 443))
		if host, _ := policy.ParseHost(want); d.Host != host || !d.Named || d.Lost {
			t.Errorf("%s: %+v, not %s", asked, d, want)
		}
		client.Close()
	}
}

// hostListens is a service on the host's loopback.
func hostListens(t *testing.T, says string) (net.Listener, uint16) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go tcp.Greet(l, says)
	return l, portOfListener(l)
}

// The command reaches the host's loopback, as many services as there are and for as
// long, and the front at the front's own port.
func TestTheHostsLoopback(t *testing.T) {
	early, earlyPort := hostListens(t, "early")
	_, frontPort := hostListens(t, "not the front")
	c := openNetwork(t, frontPort)
	if c == nil {
		return
	}
	// What was there before the command is there from the start.
	for port, want := range map[uint16]string{earlyPort: "early", frontPort: "the front"} {
		if got := c.asked(fmt.Sprintf("dial 127.0.0.1:%d", port)); got != want {
			t.Errorf("the command got %q, not %q", got, want)
		}
	}
	for i := range 6 {
		says := fmt.Sprintf("late %d", i)
		_, port := hostListens(t, says)
		eventually(t, says, func() bool { return c.asked(fmt.Sprintf("dial 127.0.0.1:%d", port)) == says })
	}
	early.Close()
	eventually(t, "it is gone inside, too", func() bool {
		return strings.Contains(c.asked(fmt.Sprintf("dial 127.0.0.1:%d", earlyPort)), "connection refused")
	})
}

// The host reaches what the command serves on its loopback, for as long.
func TestTheCommandsLoopback(t *testing.T) {
	c := openNetwork(t, 0)
	if c == nil {
		return
	}
	for _, address := range []string{"127.0.0.1:0", "0.0.0.0:0"} {
		at, err := netip.ParseAddrPort(c.asked("listen " + address))
		if err != nil {
			t.Fatal(err)
		}
		door := fmt.Sprintf("127.0.0.1:%d", at.Port())
		eventually(t, "the host reaches it", func() bool { said, _ := exchange(door, ""); return said == "from inside" })
		c.asked("close")
		eventually(t, "the host does not reach it any more", func() bool { _, err := exchange(door, ""); return errors.Is(err, unix.ECONNREFUSED) })
	}
}

// A network is occupied until its last process has gone; when it is closed, nobody
// answers any more.
func TestTheEndOfANetwork(t *testing.T) {
	c := openNetwork(t, 0)
	if c == nil {
		return
	}
	if !c.Occupied() {
		t.Error("nobody is in it")
	}
	c.Close()
	if got := c.asked("dial 192.0.2.7:443 x"); !strings.Contains(got, "connection refused") {
		t.Errorf("when it is closed: %q", got)
	}
	c.end()
	eventually(t, "nobody is in it", func() bool { return !c.Occupied() })
}

// Without the sockets that it takes, no network is served, and none of them is kept.
func TestSetsThatAreNotWhole(t *testing.T) {
	if n, err := Open(&sockets.Set{}, Options{}); err == nil || n != nil {
		t.Errorf("no sockets: %v, %v", n, err)
	}
	for _, kind := range []sockets.Kind{sockets.Stream, sockets.Datagram, sockets.Diag} {
		var fds [2]int
		if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		set := &sockets.Set{Sockets: []sockets.Socket{{Kind: kind, FD: fds[1]}}}
		if _, err := Open(set, Options{}); err == nil {
			t.Errorf("a pipe is taken for a %s socket", kind)
		}
		if n, err := unix.Read(fds[0], make([]byte, 1)); n != 0 || err != nil { // the end
			t.Errorf("%s: it is kept: %d, %v", kind, n, err)
		}
		unix.Close(fds[0])
	}
	set, c := startCommand(t)
	if set == nil {
		return
	}
	last := len(set.Sockets) - 1
	for _, spare := range set.Sockets[last-1:] {
		unix.Close(spare.FD)
	}
	set.Sockets = set.Sockets[:last-1]
	if _, err := Open(set, Options{}); err == nil {
		t.Error("a network without spare sockets is served")
	}
	if got := c.asked("dial 192.0.2.7:443 x"); !strings.Contains(got, "connection refused") {
		t.Errorf("then: %q", got)
	}
}

// What listens at any address of a side is a service of its loopback, of both
// families where it takes both.
func TestServices(t *testing.T) {
	for _, tt := range []struct {
		at       string
		ipv6Only bool
		ours     bool
		want     []string
	}{
		{at: "127.0.0.1:1", want: []string{"127.0.0.1:1"}},
		{at: "127.0.0.1:1", ours: true},
		{at: "0.0.0.0:2", want: []string{"127.0.0.1:2"}},
		{at: "[::1]:3", want: []string{"[::1]:3"}},
		{at: "[::]:4", want: []string{"127.0.0.1:4", "[::1]:4"}},
		{at: "[::]:5", ipv6Only: true, want: []string{"[::1]:5"}},
		{at: "192.0.2.1:6"},
	} {
		l := peer.Listener{Addr: netip.MustParseAddrPort(tt.at), Inode: 7, IPv6Only: tt.ipv6Only}
		var got []string
		for at := range services([]peer.Listener{l}, map[uint32]bool{7: tt.ours}) {
			got = append(got, at.String())
		}
		if slices.Sort(got); !slices.Equal(got, tt.want) {
			t.Errorf("%+v: %q", tt, got)
		}
	}
}

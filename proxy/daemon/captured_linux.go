package daemon

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/agentproxy/agentproxy/proxy/capture"
	"github.com/agentproxy/agentproxy/proxy/capture/sockets"
	"github.com/agentproxy/agentproxy/proxy/egress"
	"github.com/agentproxy/agentproxy/proxy/guard"
	"github.com/agentproxy/agentproxy/proxy/peer"
	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/proxy/status"
	"golang.org/x/sys/unix"
)

// captures are the networks of captured runs.
type captures struct {
	daemon   *daemon
	path     string
	socket   os.FileInfo // what was made there
	listener *net.UnixListener
	refuser  *egress.Refuser
	conns    sync.Map // of net.Conn to *captured, those that are served

	mu       sync.Mutex
	networks []*captured
}

// captured is one of them. What comes out of it is its run's.
type captured struct {
	run      string
	network  *capture.Network
	isolated bool
	ended    chan struct{} // closed when its run has ended
}

// openCaptures begins to take networks over. Where the state directory can hold no
// socket, runs are told when they ask for it.
func (d *daemon) openCaptures() {
	c := &captures{daemon: d, path: rundir.CapturePath(d.options.Dir, d.options.Key), refuser: egress.NewRefuser(d.ca)}
	d.captures = c
	var err error
	if c.listener, err = sockets.Listen(c.path); err != nil {
		d.options.Log.Warn("no run can be captured", "error", err.Error())
		return
	}
	c.socket, _ = os.Lstat(c.path)
	go func() {
		for {
			conn, err := c.listener.AcceptUnix()
			if err != nil {
				return
			}
			go d.guarded("taking a network over", func() { c.receive(conn) })
		}
	}()
}

// stop takes no more over, and serves none any more. A successor may have put a
// socket of its own into the place of ours.
func (c *captures) stop() {
	if c.listener != nil {
		c.listener.Close()
		if is, err := os.Lstat(c.path); err == nil && os.SameFile(is, c.socket) {
			os.Remove(c.path)
		}
	}
	c.refuser.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.networks {
		n.network.Close()
	}
	c.networks = nil
}

// isolated reports whether a run that must not get past the policy is under way.
func (c *captures) isolated() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.networks, func(n *captured) bool { return n.isolated })
}

// count is how many networks are served.
func (c *captures) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.networks)
}

// handOverTimeout is how long a message may take.
const handOverTimeout = 5 * time.Second

// receive takes one network over, and says so.
func (c *captures) receive(conn *net.UnixConn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(handOverTimeout))
	var answer sockets.Message
	m, err := sockets.Receive(conn)
	switch {
	case err != nil, m.Set == nil:
		return
	case !isOwn(conn):
		m.Set.Close()
		answer.Error = "this tunnel belongs to another user"
	default:
		if err := c.open(m.Run, m.Set); err != nil {
			answer.Error = err.Error()
		}
	}
	sockets.Send(conn, answer)
}

// isOwn reports whether the other end is ours or root's: the directory lets nobody
// else in, and this holds where it does.
func isOwn(conn *net.UnixConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	own := false
	raw.Control(func(fd uintptr) {
		if peer, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			own = int(peer.Uid) == os.Geteuid() || peer.Uid == 0
		}
	})
	return own
}

func (c *captures) open(run string, set *sockets.Set) error {
	r := &captured{run: run, isolated: set.Isolated != nil, ended: make(chan struct{})}
	network, err := capture.Open(set, capture.Options{
		Serve:     func(conn *net.TCPConn, to capture.Destination) { c.serving(conn, r, func() { c.carry(conn, to) }) },
		Front:     func(conn *net.TCPConn) { c.serving(conn, r, func() { c.daemon.front.ServeConn(conn) }) },
		FrontPort: uint16(c.daemon.record.Port),
		Relay:     c.daemon.front.Relay,
	})
	if err != nil {
		return err
	}
	r.network = network
	c.mu.Lock()
	c.networks = append(c.networks, r)
	c.mu.Unlock()
	if !c.daemon.runs.attached(run) {
		close(r.ended)
	}
	go c.keep(r)
	return nil
}

// occupiedPause is how often it is looked whether something that a run has left
// behind is still there.
const occupiedPause = time.Second

// keep closes a network when its run has ended and no process is in it any more. It
// is looked twice: one that is being forked may be missed.
func (c *captures) keep(r *captured) {
	<-r.ended
	for pause := 20 * time.Millisecond; ; pause = occupiedPause {
		if !r.network.Occupied() {
			time.Sleep(20 * time.Millisecond)
			if !r.network.Occupied() {
				break
			}
		}
		time.Sleep(pause)
	}
	r.network.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.networks = slices.DeleteFunc(c.networks, func(other *captured) bool { return other == r })
}

// runEnded is told when a run has.
func (c *captures) runEnded(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.networks {
		if r.run == id {
			select {
			case <-r.ended:
			default:
				close(r.ended)
			}
		}
	}
}

// of returns the network that a connection came from, nil for none.
func (c *captures) of(conn net.Conn) *captured {
	if c == nil {
		return nil
	}
	if r, ok := c.conns.Load(conn); ok {
		return r.(*captured)
	}
	return nil
}

// runOf returns the run that a connection is of by where it came from, "" for one to
// the front.
func (c *captures) runOf(conn net.Conn) string {
	if r := c.of(conn); r != nil {
		return r.run
	}
	return ""
}

// lookup returns the peer's socket, in whichever network it is.
func (c *captures) lookup(conn net.Conn) (peer.Socket, error) {
	if r := c.of(conn); r != nil {
		return r.network.Process(conn)
	}
	return peer.Lookup(conn)
}

// serving serves a connection that came out of a network, and remembers so.
func (c *captures) serving(conn *net.TCPConn, r *captured, serve func()) {
	c.conns.Store(net.Conn(conn), r)
	defer c.conns.Delete(net.Conn(conn))
	defer conn.Close()
	if fault := guard.Do("serving a captured connection", serve); fault != nil {
		c.daemon.fault(fault)
	}
}

// Ports that are told of in their own protocol where the policy does not open them.
const (
	portHTTP = 80
	portSSH  = 22
)

// carry takes a connection to the host that it was meant for.
func (c *captures) carry(conn *net.TCPConn, to capture.Destination) {
	target := c.target(to)
	p := c.daemon.ownPolicy()
	opened := p != nil && p.Decide(target).Allowed
	switch {
	case to.Lost:
		c.refuse(conn, &status.Failure{Kind: status.NameNotFound, Code: http.StatusBadGateway, By: "front", Host: target.String(),
			Detail: "the address stood for a name that the tunnel has forgotten since it was started again", Advice: "run the command again"})
	case target.Port == portHTTP && !opened:
		c.explainHTTP(conn, target)
	case target.Port == portSSH && !opened:
		c.daemon.report(conn, &status.Failure{Kind: status.PortNotAllowed, By: "policy", Host: target.String(), Rule: "port 443 only",
			Detail: fmt.Sprintf("SSH to %s is not carried", target), Advice: "use https:// for the remote"})
	default:
		c.daemon.front.Direct(conn, target.String(), func(f *status.Failure) { c.refuser.Serve(conn, f) })
	}
}

// target is the host that policy decides on. An address that is denied by name stays
// so, whatever name the client says with it.
func (c *captures) target(to capture.Destination) policy.Target {
	named := policy.Target{Host: to.Host, Port: to.Addr.Port()}
	p := c.daemon.ownPolicy()
	if p == nil || !to.Named || capture.IsSynthetic(to.Addr.Addr()) {
		return named
	}
	literal, err := policy.ParseTarget(to.Addr.String())
	if err == nil && strings.HasPrefix(p.Decide(literal).Rule, "deny ") {
		return literal
	}
	return named
}

func (c *captures) refuse(conn *net.TCPConn, f *status.Failure) {
	c.daemon.report(conn, f)
	c.refuser.Serve(conn, f)
}

// explainHTTP answers plain HTTP as the front answers it.
func (c *captures) explainHTTP(conn *net.TCPConn, target policy.Target) {
	conn.SetDeadline(time.Now().Add(handOverTimeout))
	r, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	f := &status.Failure{TS: status.Now(), Kind: status.PlainHTTP, Code: http.StatusMethodNotAllowed, By: "front", Host: target.String(),
		Detail: fmt.Sprintf("%s http://%s was sent in plain HTTP, which is not carried", status.ASCII(r.Method, 20), target.Host),
		Advice: "use an https:// URL; look for an http:// registry or repository URL in the tool's configuration"}
	c.daemon.report(conn, f)
	conn.Write(f.Refusal())
	conn.CloseWrite()
	conn.SetReadDeadline(time.Now().Add(time.Second))
	io.Copy(io.Discard, conn)
}

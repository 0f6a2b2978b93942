// Package sockets is what a run's network namespace is known by outside of it:
// sockets that were made inside. A socket stays in the namespace that it was made
// in, whoever holds it (network_namespaces(7)), so a process outside accepts, sends
// and connects there by holding one. They are passed on by SCM_RIGHTS (unix(7)).
//
// Where a run has no namespace, a supervisor connects for it, and these sockets are the
// host's.
package sockets

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// Kind is what a socket is for.
type Kind string

// The kinds.
const (
	Stream   Kind = "tcp"   // listens on Port, for every address
	Datagram Kind = "udp"   // is bound to Port, for every address, and tells the address that was asked
	Diag     Kind = "diag"  // asks the namespace's sock_diag(7)
	Spare    Kind = "spare" // a stream socket that is neither bound nor connected

	// Those of a run that has no namespace of its own, but a supervisor.
	Notify  Kind = "notify"  // the supervisor's, of the calls that wait for it (seccomp_unotify(2))
	Forward Kind = "forward" // listens on the host's loopback for connections with the header of AppendDestination
	Alive   Kind = "alive"   // the reading end of a pipe, whose end comes when nobody is supervised any more
)

// Socket is one of them, a descriptor of this process's. (Not an os.File: whether
// it blocks is a property that all who hold it share, and Fd would change it.)
type Socket struct {
	Kind Kind   `json:"kind"`
	Port uint16 `json:"port,omitempty"`
	FD   int    `json:"-"`
}

// Set are the sockets of one run.
type Set struct {
	// Namespace identifies its own: the inode number of /proc/PID/ns/net of its
	// processes; 0 where it has none.
	Namespace uint64 `json:"namespace"`
	// IPv6 is true when the stream and datagram sockets are of both families.
	IPv6    bool     `json:"ipv6"`
	Sockets []Socket `json:"sockets"`
	// Secret is in the headers of the connections that a supervisor forwards.
	Secret []byte `json:"secret,omitempty"`
	// Isolated limits what of the host's loopback is reached from inside, and of the
	// inside's from the host: nil is all of it.
	Isolated *Isolated `json:"isolated,omitempty"`
}

// Isolated are the loopback ports that an isolated network shares with the host.
type Isolated struct {
	// Reach are the host's that are reached from inside, Publish the inside's that
	// are reached from the host.
	Reach   []uint16 `json:"reach,omitempty"`
	Publish []uint16 `json:"publish,omitempty"`
}

// Close closes all of them.
func (s *Set) Close() {
	for _, socket := range s.Sockets {
		if socket.FD >= 0 { // else it has been taken over
			unix.Close(socket.FD)
		}
	}
	s.Sockets = nil
}

// Message is what processes of ours say with a set, or in answer to one.
type Message struct {
	// Run is the run that the namespace is of.
	Run string `json:"run,omitempty"`
	Set *Set   `json:"set,omitempty"`
	// Error says why there is none, or when Executing why the command could not be
	// executed, which Errno is for (execve(2)).
	Error     string `json:"error,omitempty"`
	Errno     int    `json:"errno,omitempty"`
	Executing bool   `json:"executing,omitempty"`
}

// maxMessage holds a set of the most descriptors that one message carries
// (SCM_MAX_FD).
const (
	maxMessage     = 64 << 10
	maxDescriptors = 253
)

// Send sends a message with its descriptors. The connection keeps messages apart
// (SOCK_SEQPACKET).
func Send(c *net.UnixConn, m Message) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	var rights []byte
	if m.Set != nil && len(m.Set.Sockets) > 0 {
		if len(m.Set.Sockets) > maxDescriptors {
			return fmt.Errorf("%d sockets are more than one message carries", len(m.Set.Sockets))
		}
		var fds []int
		for _, socket := range m.Set.Sockets {
			fds = append(fds, socket.FD)
		}
		rights = unix.UnixRights(fds...)
	}
	_, _, err = c.WriteMsgUnix(data, rights, nil)
	return err
}

// Receive returns the next message. Its descriptors are closed on exec.
func Receive(c *net.UnixConn) (m Message, err error) {
	data := make([]byte, maxMessage)
	oob := make([]byte, unix.CmsgSpace(4*maxDescriptors))
	n, oobn, _, _, err := c.ReadMsgUnix(data, oob)
	if err != nil {
		return m, err
	}
	if n == 0 {
		return m, net.ErrClosed
	}
	fds, err := descriptors(oob[:oobn])
	if err == nil {
		err = json.Unmarshal(data[:n], &m)
	}
	if err == nil && m.Set != nil && len(m.Set.Sockets) != len(fds) {
		err = errors.New("the message names other sockets than it has")
	}
	if err != nil || m.Set == nil {
		for _, fd := range fds {
			unix.Close(fd)
		}
		return m, err
	}
	for i, fd := range fds {
		m.Set.Sockets[i].FD = fd
	}
	return m, nil
}

// descriptors are those of a control message; Go has them closed on exec.
func descriptors(oob []byte) ([]int, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var all []int
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return all, err
		}
		all = append(all, fds...)
	}
	return all, nil
}

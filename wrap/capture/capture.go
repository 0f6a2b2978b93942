// Package capture gives a command a network of its own in which every road leads
// into the tunnel, and a view of the file system in which what holds roots holds
// ours, too (namespaces(7)). Nothing of ours runs inside but the stage, which makes
// the sockets, hands them out and becomes the command:
//
//	outside                                  │ inside: user, network and mount namespace
//	                                         │
//	exec ── clone ───────────────────────────┼─▶ stage: lo up, every address is lo's (AnyIP),
//	  ▲                                      │     roots mounted, sockets made
//	  ├──── SCM_RIGHTS ◀─────────────────────┼──     │
//	  │ holds them for a successor           │       ▼ execve, without capabilities
//	  ▼                                      │   the command
//	daemon                                   │     │
//	  accepts, answers names, connects  ◀────┼──── any address, any name
//	  ▼                                      │
//	front ─▶ egress ─▶ the internet          │   listeners [::]:443 :80 :22 :53 (no process)
//
// A socket stays in the namespace that it was made in, so the daemon outside
// accepts what the command connects to, and what comes out of a listener belongs to
// the run that it was made for.
//
// Where the system refuses namespaces, the command is supervised in the host's
// (seccomp_unotify(2)):
//
//	exec, the supervisor                     │ the command, with a filter
//	                                         │
//	  makes a socket, and holds it,  ◀───────┼── socket(2) waits
//	  gives the command another      ────────┼─▶ a descriptor of it
//	  descriptor of it                       │
//	                                         │
//	  connects it into the tunnel,   ◀───────┼── connect(2) waits
//	  says to where (PROXY protocol), ───────┼─▶ has succeeded
//	  and lets go of it                      │
//	  ▼ 127.0.0.1                            │
//	daemon ─▶ front ─▶ egress                │   open(2) of a bundle: one with our roots
//
// A socket that the supervisor does not hold is replaced by one of its own. An isolated
// command's sockets are bound to lo, whatever it does with them, and Landlock keeps it
// from the files and processes that a namespace would hide. Nothing is
// taken from the command's processes but what /proc shows of them, so that neither
// pidfd_getfd(2) nor a capability is needed, as in a default container.
package capture

import "fmt"

// StageCommand is the hidden command of our binary that Stage implements.
const StageCommand = "__stage"

// SuperviseCommand is the hidden command of our binary that Supervise implements.
const SuperviseCommand = "__supervise"

// DNSPort is that of name servers (RFC 1035 §4.2), which every network has.
const DNSPort = 53

// Refused says why the system lets no command be captured here.
type Refused struct {
	// What was tried, and what came of it.
	What string
	Err  error
	// Advice is what an administrator may switch on, "" for nothing that is known.
	Advice string
}

func (r *Refused) Error() string { return fmt.Sprintf("%s: %s", r.What, r.Err) }

// Unwrap returns the cause.
func (r *Refused) Unwrap() error { return r.Err }

// Means is how a command is captured.
type Means string

// The means: namespaces of its own or, where the system refuses those, a supervisor that
// connects in its place.
const (
	Namespaces Means = "namespaces"
	Supervisor Means = "supervisor"
)

// Mount puts a file or directory over another, for the run alone, which cannot write
// to it.
type Mount struct {
	Source string `json:"source"`
	Target string `json:"target"`
}

// Hidden are the sockets of services that resolve names for programs and would not ask
// in the command's network (nss-resolve(8), nscd(8)): where they answer nothing,
// programs ask a name server.
var Hidden = []string{"/run/systemd/resolve/io.systemd.Resolve", "/run/systemd/resolve/io.systemd.Resolve.Monitor", "/run/nscd/socket", "/var/run/nscd/socket"}

// Options are what a namespace is made with.
type Options struct {
	// Ports are the TCP ports that the tunnel accepts for the command.
	Ports []uint16
	// Mounts are made in this order.
	Mounts []Mount
	// Isolation takes away what leads past the network; nil takes nothing.
	Isolation *Isolation
}

// Isolation takes away what would lead a command past its network: sockets in the file
// system (of a container engine, an agent for keys, a session bus), our own state, new
// privileges, the terminal's input, the right to signal others, and as root the rights
// to reach into other processes and the kernel. It is no jail for files. Without
// namespaces the supervisor and Landlock do what mounts would.
type Isolation struct {
	// State are directories of ours, in which only Kept can be seen.
	State []string `json:"state"`
	Kept  []string `json:"kept"`
	// Sockets are those that others listen on, in the file system.
	Sockets []string `json:"sockets"`
	// Emptied are directories of sockets, which are empty for the command.
	Emptied []string `json:"emptied"`
	// Reach are ports of loopback that the command reaches all the same. In namespaces
	// the tunnel sees to that.
	Reach []uint16 `json:"reach,omitempty"`
}

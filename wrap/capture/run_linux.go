package capture

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/agentproxy/agentproxy/proxy/capture/sockets"
	"golang.org/x/sys/unix"
)

// Run is a command that is to be captured. It may be begun again when it could not
// be started.
type Run struct {
	options Options
	// supervised is true once no namespace is to be had, which refused says.
	supervised bool
	refused    *Refused
	supervisor *supervisor
	// guard is for an isolated command that is supervised.
	guard *guard
	// hand hands the sockets of a namespace to the tunnel, and owns them.
	hand func(*sockets.Set) error

	ours   *net.UnixConn
	theirs int
}

// New says how a command is captured: hand passes the sockets of its namespace on
// to the tunnel before the command begins, and keeps them.
func New(o Options, hand func(*sockets.Set) error) (*Run, error) {
	return &Run{options: o, hand: hand}, nil
}

// Begin returns the path and the arguments that are to be started in place of a
// command's. Whatever starts them calls Clone.
func (r *Run) Begin(path string, argv []string) (string, []string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	r.Abandon()
	if r.supervised && r.options.Isolation != nil {
		r.guard = newGuard(r.options.Isolation)
	}
	if err := r.connect(); err != nil {
		return "", nil, err
	}
	told, err := json.Marshal(r.order())
	if err != nil {
		return "", nil, err
	}
	return self, append([]string{"agentproxy", StageCommand, string(told), path}, argv...), nil
}

func (r *Run) order() order {
	if r.supervised {
		return order{Control: r.theirs, Supervised: true, Isolation: r.options.Isolation}
	}
	return order{Control: r.theirs, Ports: r.options.Ports, Mounts: r.options.Mounts, Isolation: r.options.Isolation, LowestPort: lowestPort(), User: !mayAdminister()}
}

// FallBack reports whether the command is to be begun again, supervised, when an attempt
// has failed: no namespace could be made for it. An isolated command without one needs
// Landlock beside the supervisor.
func (r *Run) FallBack(err error) bool {
	if r.supervised || !errors.As(err, &r.refused) {
		return false
	}
	r.supervised = true
	return true
}

// connect makes the connection to the stage. Its end keeps its number: others may
// be the command's, which is to inherit what it would have inherited.
func (r *Run) connect() error {
	syscall.ForkLock.RLock()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET, 0)
	if err == nil {
		unix.CloseOnExec(fds[0])
		unix.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return err
	}
	if r.ours, err = connection(fds[0]); err != nil {
		unix.Close(fds[1])
		return err
	}
	r.theirs = fds[1]
	_, err = unix.FcntlInt(uintptr(r.theirs), unix.F_SETFD, 0)
	return err
}

// stageTimeout is how long a stage may take to make its namespace.
const stageTimeout = 10 * time.Second

// Finish waits for the stage, once that has been started, hands its sockets on and
// returns when it has become the command. An error of execve(2) is a syscall.Errno.
func (r *Run) Finish() (err error) {
	unix.Close(r.theirs)
	r.theirs = 0
	defer r.Abandon()
	defer func() {
		if err != nil {
			r.end(false)
		}
	}()
	r.ours.SetDeadline(time.Now().Add(stageTimeout))
	m, err := sockets.Receive(r.ours)
	switch {
	case err != nil:
		return r.Refusal(fmt.Errorf("the process that makes it ended (%w)", err))
	case m.Set == nil:
		return r.Refusal(errors.New(m.Error))
	}
	if err := r.handOver(m.Set); err != nil {
		return fmt.Errorf("hand the command's network to the tunnel: %w", err)
	}
	gone := sockets.Send(r.ours, sockets.Message{})
	m, err = sockets.Receive(r.ours)
	if errors.Is(err, syscall.ECONNRESET) { // it ended without reading ours (unix(7)); what it said before is there
		gone = err
		m, err = sockets.Receive(r.ours)
	}
	switch {
	case err != nil && gone != nil:
		return r.Refusal(errors.New("the process that makes it ended"))
	case err != nil: // the connection has ended with the stage: it is the command now
		return nil
	case m.Executing:
		return syscall.Errno(m.Errno)
	}
	return r.Refusal(errors.New(m.Error))
}

// handOver hands the sockets of a namespace on, or begins to supervise and hands those on
// at which the supervisor connects.
func (r *Run) handOver(set *sockets.Set) error {
	if !r.supervised {
		return r.hand(set)
	}
	set, err := r.supervise(set)
	if err != nil {
		return err
	}
	return r.hand(set)
}

// Leave is called when the command has ended: what it has left behind goes on being
// supervised, by a process of its own.
func (r *Run) Leave() { r.end(true) }

// end ends what supervises, with a successor for whoever is left. A command that has not
// begun leaves nobody.
func (r *Run) end(begun bool) {
	s := r.supervisor
	if s == nil {
		return
	}
	r.supervisor = nil
	s.stop()
	if begun && s.isNeeded() {
		s.succession()
	}
	s.close()
}

// Abandon forgets a stage that was not started, or is not wanted any more: it ends.
func (r *Run) Abandon() {
	if r.ours != nil {
		r.ours.Close()
		r.ours = nil
	}
	if r.theirs != 0 {
		unix.Close(r.theirs)
		r.theirs = 0
	}
}

// Refusal is an error that a stage or its start has met, with what may be behind it.
func (r *Run) Refusal(err error) error {
	if r.supervised {
		return &Refused{What: r.refused.What, Err: fmt.Errorf("%w; and nothing can supervise it: %w", r.refused.Err, err), Advice: r.refused.Advice}
	}
	return refusal(err)
}

func refusal(err error) *Refused {
	r := &Refused{What: "no network of its own can be made for the command", Err: err}
	for _, s := range switches {
		if value, err := os.ReadFile(s.path); err == nil && strings.TrimSpace(string(value)) == s.off {
			r.Advice = s.advice
			return r
		}
	}
	r.Advice = "agentproxy exec outside of the container, or a container that may make namespaces"
	return r
}

// switches are what keeps ordinary users from making namespaces (namespaces(7);
// Debian's and Ubuntu's kernels).
var switches = []struct{ path, off, advice string }{
	{"/proc/sys/user/max_user_namespaces", "0", "as root: sysctl user.max_user_namespaces=15000"},
	{"/proc/sys/user/max_net_namespaces", "0", "as root: sysctl user.max_net_namespaces=15000"},
	{"/proc/sys/kernel/unprivileged_userns_clone", "0", "as root: sysctl kernel.unprivileged_userns_clone=1"},
	{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "as root: sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for agentproxy with userns"},
}

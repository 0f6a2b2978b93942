package capture

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"

	"github.com/agentproxy/agentproxy/proxy/capture/sockets"
	"golang.org/x/sys/unix"
)

// order is what the stage is told to do, on its command line.
type order struct {
	// Control is the descriptor of the connection to whoever started it.
	Control int      `json:"control"`
	Ports   []uint16 `json:"ports"`
	Mounts  []Mount  `json:"mounts,omitempty"`
	// LowestPort is the first that ordinary users may serve, 0 for the usual one.
	LowestPort int `json:"lowest,omitempty"`
	// User is true when the namespaces are in a user namespace of their own.
	User      bool       `json:"user,omitempty"`
	Isolation *Isolation `json:"isolation,omitempty"`
	// Supervised is true for a command that gets no namespaces, but a supervisor.
	Supervised bool `json:"supervised,omitempty"`
}

// Stage is the process that becomes the command. It has been started in
// namespaces of its own; its arguments are an order, the command's path, and the
// command's own arguments.
func Stage(args []string) error {
	if len(args) < 3 {
		return fmt.Errorf("%s %q: too few arguments", StageCommand, args)
	}
	var o order
	if err := json.Unmarshal([]byte(args[0]), &o); err != nil {
		return fmt.Errorf("%s: %w", StageCommand, err)
	}
	// Capabilities are a thread's, and the command gets those of the thread that
	// becomes it.
	runtime.LockOSThread()
	unix.CloseOnExec(o.Control)
	control, err := connection(o.Control)
	if err != nil {
		return err
	}
	if o.Supervised {
		return o.beSupervised(control, args[1], args[2:])
	}
	set, err := o.network()
	if err != nil {
		return fail(control, err)
	}
	if err := sockets.Send(control, sockets.Message{Set: set}); err != nil {
		return err
	}
	err = errors.Join(mount(o.Mounts), hide(Hidden))
	if o.Isolation != nil && err == nil {
		err = o.Isolation.mount()
	}
	if err != nil { // the tunnel takes the sockets over meanwhile
		return fail(control, err)
	}
	if _, err := sockets.Receive(control); err != nil {
		return nil // whoever started us has gone, or will not have it
	}
	set.Close()
	if o.User {
		if err := dropCapabilities(); err != nil {
			return fail(control, err)
		}
	}
	if o.Isolation != nil {
		if err := o.Isolation.confine(); err != nil {
			return fail(control, err)
		}
	}
	return execute(control, args[1], args[2:])
}

// beSupervised is the stage of a command without namespaces.
func (o *order) beSupervised(control *net.UnixConn, path string, argv []string) error {
	if o.Isolation != nil {
		if err := o.Isolation.confineHere(); err != nil {
			return fail(control, err)
		}
	}
	set, err := trap(o.Isolation != nil)
	if err != nil {
		return fail(control, err)
	}
	if err := sockets.Send(control, sockets.Message{Set: set}); err != nil {
		return err
	}
	if _, err := sockets.Receive(control); err != nil {
		return nil // as in Stage
	}
	set.Close()
	return execute(control, path, argv)
}

// execute becomes the command, or says why it cannot.
func execute(control *net.UnixConn, path string, argv []string) error {
	err := become(path, argv)
	m := sockets.Message{Error: err.Error(), Executing: true}
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		m.Errno = int(errno)
	}
	return tell(control, m, err)
}

// fail tells whoever started us, who tells the user.
func fail(control *net.UnixConn, err error) error {
	return tell(control, sockets.Message{Error: err.Error()}, err)
}

func tell(control *net.UnixConn, m sockets.Message, err error) error {
	if sockets.Send(control, m) == nil {
		os.Exit(failed)
	}
	return err
}

const failed = 125 // as everything of ours that fails

// network makes the network, and sees to it that mounts stay in here.
func (o *order) network() (*sockets.Set, error) {
	if err := private(); err != nil {
		return nil, err
	}
	set, err := network(o.Ports)
	if err != nil {
		return nil, err
	}
	// Every address is this host's, and would answer: what only asks whether a host is
	// there gets no answer (ip-sysctl in the kernel's documentation).
	for _, family := range []string{"ipv4/icmp_echo_ignore_all", "ipv6/icmp/echo_ignore_all"} {
		_ = os.WriteFile("/proc/sys/net/"+family, []byte("1"), 0) // without IPv6 there is none
	}
	if o.LowestPort != 0 {
		if err := os.WriteFile(unprivilegedPorts, strconv.AppendInt(nil, int64(o.LowestPort), 10), 0); err != nil {
			return nil, err
		}
	}
	return set, nil
}

// become executes the command as execvp(3) does, with a shell where it has no
// "#!".
func become(path string, argv []string) error {
	environ := syscall.Environ()
	err := syscall.Exec(path, argv, environ)
	if errors.Is(err, syscall.ENOEXEC) {
		err = syscall.Exec("/bin/sh", append([]string{"/bin/sh", path}, argv[1:]...), environ)
	}
	return err
}

// connection is a descriptor as a connection; the descriptor stays.
func connection(fd int) (*net.UnixConn, error) {
	file := os.NewFile(uintptr(fd), "control")
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	file.Close()
	return conn.(*net.UnixConn), nil
}

// dropCapabilities takes those away that the stage has in its user namespace. An
// ordinary user keeps none over execve(2) once none is ambient; root would have all
// of them there that it may inherit or that are not out of bounds, and keeps those by
// which it works with files.
func dropCapabilities() error {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("drop the ambient capabilities: %w", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if os.Geteuid() == 0 {
		for _, c := range []uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_SYS_ADMIN, unix.CAP_SYS_PTRACE, unix.CAP_SYS_MODULE} {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
				return fmt.Errorf("drop capability %d: %w", c, err)
			}
		}
		if err := unix.Capget(&header, &sets[0]); err != nil {
			return err
		}
		sets[0].Inheritable, sets[1].Inheritable = 0, 0
	}
	return unix.Capset(&header, &sets[0])
}

// orderOf returns the order on a command line, if that is the stage's.
func orderOf(argv []string) (o order, ok bool) {
	return o, isStage(argv) && json.Unmarshal([]byte(argv[2]), &o) == nil
}

// isStage reports whether a command line is the stage's.
func isStage(argv []string) bool { return len(argv) > 4 && argv[1] == StageCommand }

// Clone has a command that is the stage started in namespaces of its own, and
// leaves any other as it is. With the right to administer the machine there is no
// user namespace: in one, what root does to others' files and users would fail.
func Clone(cmd *exec.Cmd) {
	if o, ok := orderOf(cmd.Args); !ok || o.Supervised {
		return
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	attr := cmd.SysProcAttr
	attr.Cloneflags |= unix.CLONE_NEWNET | unix.CLONE_NEWNS
	if mayAdminister() {
		return
	}
	attr.Cloneflags |= unix.CLONE_NEWUSER
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}
	attr.AmbientCaps = []uintptr{unix.CAP_NET_ADMIN, unix.CAP_SYS_ADMIN, unix.CAP_NET_BIND_SERVICE}
}

// mayAdminister reports whether we are root with what making namespaces takes.
func mayAdminister() bool {
	if os.Geteuid() != 0 {
		return false
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) != nil {
		return false
	}
	for _, c := range []uint{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_NET_BIND_SERVICE} {
		if data[c/32].Effective&(1<<(c%32)) == 0 {
			return false
		}
	}
	return true
}

// Release closes what whoever has started a stage holds for it.
func Release(argv []string) {
	if o, ok := orderOf(argv); ok {
		unix.Close(o.Control)
	}
}

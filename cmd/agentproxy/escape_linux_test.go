package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/agentproxy/agentproxy/proxy/proxytest/contained"
	"github.com/agentproxy/agentproxy/proxy/proxytest/leftout"
	"golang.org/x/sys/unix"
)

// banner is what everything outside says to whoever has got there.
const banner = "this is outside\n"

// way is one that a command could take past its network. It returns nil when it has got
// there.
type way struct {
	name string
	// bare is true where a command that is not isolated gets there: the way is one.
	bare bool
	// root is true for what only root could do.
	root bool
	take func(outside) error
}

// outside says where everything is.
type outside struct {
	// dir holds sockets; victim is a process, front the tunnel's port, state its
	// directory, and key the CA's.
	dir, state, key     string
	tcp, tcp6, udp      int
	victim, front, host string
}

func (o outside) environ() []string {
	return []string{"OUT_DIR=" + o.dir, "OUT_STATE=" + o.state, "OUT_KEY=" + o.key, fmt.Sprint("OUT_TCP=", o.tcp), fmt.Sprint("OUT_TCP6=", o.tcp6), fmt.Sprint("OUT_UDP=", o.udp),
		"OUT_VICTIM=" + o.victim, "OUT_FRONT=" + o.front, "OUT_HOST=" + o.host}
}

func outsideOf(getenv func(string) string) outside {
	number := func(name string) int { n, _ := strconv.Atoi(getenv(name)); return n }
	return outside{dir: getenv("OUT_DIR"), state: getenv("OUT_STATE"), key: getenv("OUT_KEY"), tcp: number("OUT_TCP"), tcp6: number("OUT_TCP6"), udp: number("OUT_UDP"),
		victim: getenv("OUT_VICTIM"), front: getenv("OUT_FRONT"), host: getenv("OUT_HOST")}
}

func init() {
	hasLandlock = func() bool {
		version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
		return errno == 0 && version >= 4
	}
	programs["escape"] = escape
	programs["contained"] = func() {
		fmt.Fprintln(os.Stderr, contained.Exec(os.Args[1:]))
		os.Exit(1)
	}
}

// escape tries ways, by name or all, and prints the result of each.
func escape() {
	o := outsideOf(os.Getenv)
	for _, w := range ways {
		if len(os.Args) > 1 && !slices.Contains(os.Args[1:], w.name) {
			continue
		}
		result := "reached"
		if err := w.take(o); err != nil {
			result = strings.ReplaceAll(err.Error(), "\n", " ")
		}
		fmt.Printf("%s\t%s\n", w.name, result)
	}
}

// wayTime is how long somebody outside may take to answer: it is no measure.
const wayTime = 10 * time.Second

// says reads the banner.
func says(c net.Conn, err error) error {
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(wayTime))
	text := make([]byte, len(banner))
	if _, err := io.ReadFull(c, text); err != nil {
		return err
	}
	if string(text) != banner {
		return fmt.Errorf("somebody else answered: %q", text)
	}
	return nil
}

func dial(network, format string, args ...any) error {
	return says(net.DialTimeout(network, fmt.Sprintf(format, args...), wayTime))
}

// asks sends a datagram and waits for the banner.
func asks(network, format string, args ...any) error {
	c, err := net.Dial(network, fmt.Sprintf(format, args...))
	if err != nil {
		return err
	}
	defer c.Close()
	for range 3 {
		if _, err := c.Write([]byte("hello")); err != nil {
			return err
		}
		c.SetReadDeadline(time.Now().Add(wayTime / 4))
		text := make([]byte, 100)
		if n, err := c.Read(text); err == nil && string(text[:n]) == banner {
			return nil
		} else if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
	return errors.New("no answer")
}

// makes tries to get a socket of a kind.
func makes(family, kind, protocol int) error {
	fd, err := unix.Socket(family, kind, protocol)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func opens(format string, args ...any) error {
	f, err := os.Open(fmt.Sprintf(format, args...))
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Read(make([]byte, 1))
	return err
}

func writes(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(text)
	return err
}

// request asks the front for something, and reports how it answers when that is not as
// wanted.
func (o outside) request(method, target, want string) error {
	c, err := net.DialTimeout("tcp", "127.0.0.1:"+o.front, wayTime)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(wayTime))
	fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", method, target)
	answer := make([]byte, 64)
	n, err := c.Read(answer)
	if err == nil && !strings.Contains(string(answer[:n]), want) {
		err = fmt.Errorf("answered %q", answer[:n])
	}
	return err
}

func (o outside) victimPID() int { n, _ := strconv.Atoi(o.victim); return n }

// joins enters a namespace of the victim's.
func (o outside) joins(kind string, flag int) error {
	fd, err := unix.Open("/proc/"+o.victim+"/ns/"+kind, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Setns(fd, flag)
}

// inside runs a shell's lines in namespaces that anybody may make.
func inside(script string) error {
	out, err := exec.Command("unshare", "-Urnm", "bash", "-c", script).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func call(number uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	if _, _, errno := unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
		return errno
	}
	return nil
}

// refusedCall is nil unless a call was refused as such: it may be wrong for other
// reasons where it is not.
func refusedCall(err error, with ...error) error {
	for _, refusal := range with {
		if errors.Is(err, refusal) {
			return err
		}
	}
	return nil
}

var ways = []way{
	{name: "loopback", bare: true, take: func(o outside) error { return dial("tcp", "127.0.0.1:%d", o.tcp) }},
	{name: "localhost", bare: true, take: func(o outside) error { return dial("tcp", "localhost:%d", o.tcp) }},
	{name: "another address of loopback", bare: true, take: func(o outside) error { return dial("tcp", "127.0.0.2:%d", o.tcp) }},
	{name: "the unspecified address", bare: true, take: func(o outside) error { return dial("tcp", "0.0.0.0:%d", o.tcp) }},
	{name: "a mapped address", bare: true, take: func(o outside) error {
		fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		file := os.NewFile(uintptr(fd), "mapped")
		defer file.Close()
		to := &unix.SockaddrInet6{Port: o.tcp, Addr: [16]byte{10: 0xff, 11: 0xff, 12: 127, 15: 1}}
		if err := unix.Connect(fd, to); err != nil {
			return err
		}
		return says(net.FileConn(file))
	}},
	{name: "loopback by IPv6", take: func(o outside) error { return dial("tcp", "[::1]:%d", o.tcp6) }},
	{name: "the machine's own address", take: func(o outside) error { return dial("tcp", "%s:%d", o.host, o.tcp) }},
	{name: "a datagram to loopback", bare: true, take: func(o outside) error { return asks("udp", "127.0.0.1:%d", o.udp) }},
	{name: "a datagram to the machine's own address", take: func(o outside) error { return asks("udp", "%s:%d", o.host, o.udp) }},
	{name: "QUIC", take: func(outside) error { return asks("udp", "192.0.2.1:443") }},
	{name: "another port", take: func(outside) error { return dial("tcp", "192.0.2.1:8443") }},
	{name: "the front", bare: true, take: func(o outside) error { return o.request("CONNECT", "no-such-name.invalid:443", "502") }},
	{name: "the status page", bare: true, take: func(o outside) error { return o.request("GET", "/__agentproxy/status", "200 OK") }},

	{name: "a socket in the file system", bare: true, take: func(o outside) error { return dial("unix", "%s/stream", o.dir) }},
	{name: "a socket of packets", bare: true, take: func(o outside) error { return dial("unixpacket", "%s/packet", o.dir) }},
	{name: "a socket by a link made inside", bare: true, take: func(o outside) error {
		link := filepath.Join(os.TempDir(), fmt.Sprint("link-", os.Getpid()))
		defer os.Remove(link)
		if err := os.Symlink(o.dir+"/stream", link); err != nil {
			return err
		}
		return dial("unix", "%s", link)
	}},
	{name: "a socket by another name", bare: true, take: func(o outside) error {
		other := filepath.Join(o.dir, fmt.Sprint("other-", os.Getpid()))
		defer os.Remove(other)
		if err := os.Link(o.dir+"/stream", other); err != nil {
			return err
		}
		return dial("unix", "%s", other)
	}},
	{name: "a socket that is renamed", take: func(o outside) error {
		other := filepath.Join(o.dir, fmt.Sprint("moved-", os.Getpid()))
		if err := os.Rename(o.dir+"/packet", other); err != nil {
			return err
		}
		defer os.Rename(other, o.dir+"/packet")
		return dial("unixpacket", "%s", other)
	}},
	{name: "a socket through the victim's root", take: func(o outside) error { return dial("unix", "/proc/%s/root%s/stream", o.victim, o.dir) }},
	{name: "a socket through the victim's directory", take: func(o outside) error { return dial("unix", "/proc/%s/cwd/stream", o.victim) }},
	{name: "an abstract socket", bare: true, take: func(o outside) error { return dial("unix", "@%s/abstract", o.dir) }},
	{name: "the socket of captures", take: func(o outside) error {
		all, _ := filepath.Glob(o.state + "/*.sock")
		if len(all) == 0 {
			return errors.New("none to be seen")
		}
		c, err := net.Dial("unixpacket", all[0])
		if err == nil {
			c.Close()
		}
		return err
	}},
	{name: "the endpoint record", bare: true, take: func(o outside) error {
		all, _ := filepath.Glob(o.state + "/endpoint-*.json")
		if len(all) == 0 {
			return errors.New("none to be seen")
		}
		return opens("%s", all[0])
	}},
	{name: "the CA's key", bare: true, take: func(o outside) error {
		all, _ := filepath.Glob(o.state + "/*key*")
		if len(all) == 0 {
			return errors.New("none to be seen")
		}
		return opens("%s", all[0])
	}},

	{name: "the CA's key by its name", bare: true, take: func(o outside) error { return opens("%s", o.key) }},
	{name: "the CA's key by a link", take: func(o outside) error { return o.moved(o.key, os.Link) }},
	{name: "the CA's key elsewhere", take: func(o outside) error { return o.moved(o.key, os.Rename) }},
	{name: "the state under another name", take: func(o outside) error { return o.moved(o.state, os.Rename) }},
	{name: "the state by a link", bare: true, take: func(o outside) error {
		link := filepath.Join(os.TempDir(), fmt.Sprint("state-", os.Getpid()))
		defer os.Remove(link)
		if err := os.Symlink(o.state, link); err != nil {
			return err
		}
		return opens("%s/%s", link, filepath.Base(o.key))
	}},
	{name: "the state from within", bare: true, take: func(o outside) error {
		return exec.Command("sh", "-c", `cd "$1" && head -c 1 "$2" >/dev/null`, "sh", o.state, filepath.Base(o.key)).Run()
	}},
	{name: "a path that changes", take: func(o outside) error {
		mine := filepath.Join(os.TempDir(), fmt.Sprint("mine-", os.Getpid()))
		if err := os.WriteFile(mine, nil, 0o600); err != nil {
			return err
		}
		defer os.Remove(mine)
		return changing(append([]byte(mine), 0), append([]byte(o.key), 0), func(path unsafe.Pointer) error {
			var at int = unix.AT_FDCWD
			fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(at), uintptr(path), unix.O_RDONLY, 0, 0, 0)
			if errno != 0 {
				return errno
			}
			defer unix.Close(int(fd))
			if n, err := unix.Read(int(fd), make([]byte, 1)); n != 1 {
				return fmt.Errorf("mine: %v", err)
			}
			return nil
		})
	}},
	{name: "an address that changes", take: func(o outside) error {
		address := func(ip [4]byte, port int) []byte {
			b := make([]byte, unix.SizeofSockaddrInet4)
			binary.NativeEndian.PutUint16(b, unix.AF_INET)
			binary.BigEndian.PutUint16(b[2:], uint16(port))
			copy(b[4:], ip[:])
			return b
		}
		return changing(address([4]byte{192, 0, 2, 1}, 443), address([4]byte{127, 0, 0, 1}, o.tcp), func(to unsafe.Pointer) error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			if err := call(unix.SYS_CONNECT, uintptr(fd), uintptr(to), unix.SizeofSockaddrInet4); err != nil {
				return err
			}
			if peer, err := unix.Getpeername(fd); err != nil || peer.(*unix.SockaddrInet4).Port != o.tcp {
				return errors.New("as was said first")
			}
			return nil
		})
	}},

	{name: "a message without a connection", bare: true, take: func(o outside) error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.Sendmsg(fd, []byte("hello"), nil, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: o.udp}, 0); err != nil {
			return err
		}
		return hears(fd)
	}},
	{name: "a datagram in the file system", bare: true, take: func(o outside) error { return o.posts(unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)) }},
	{name: "one by its older name", bare: true, take: func(o outside) error { return o.posts(unix.Socket(unix.AF_UNIX, unix.SOCK_RAW, 0)) }},
	{name: "one from a pair", bare: true, take: func(o outside) error {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
		if err != nil {
			return err
		}
		unix.Close(pair[1])
		return o.posts(pair[0], nil)
	}},
	{name: "Multipath TCP", take: func(o outside) error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Connect(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: o.tcp})
	}},
	{name: "TCP Fast Open", take: func(o outside) error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.Sendto(fd, []byte("hello"), unix.MSG_FASTOPEN, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: o.tcp}); err != nil {
			return err
		}
		return hears(fd)
	}},

	{name: "a signal", bare: true, take: func(o outside) error { return syscall.Kill(o.victimPID(), 0) }},
	{name: "a signal to all", take: func(outside) error {
		// Whoever could be signalled besides ourselves is outside.
		for pid := 2; pid < 1<<16; pid++ {
			if pid != os.Getpid() && pid != os.Getppid() && syscall.Kill(pid, 0) == nil && !isRelated(pid) {
				return nil
			}
		}
		return errors.New("nobody could be")
	}},
	{name: "a signal by a descriptor", bare: true, take: func(o outside) error {
		fd, err := unix.PidfdOpen(o.victimPID(), 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.PidfdSendSignal(fd, 0, nil, 0)
	}},
	{name: "a debugger", bare: true, take: func(o outside) error {
		if err := syscall.PtraceAttach(o.victimPID()); err != nil {
			return err
		}
		syscall.Wait4(o.victimPID(), nil, 0, nil)
		return syscall.PtraceDetach(o.victimPID())
	}},
	{name: "the victim's memory", take: func(o outside) error { return opens("/proc/%s/mem", o.victim) }},
	{name: "the victim's memory by a call", take: func(o outside) error {
		b := make([]byte, 8)
		_, err := unix.ProcessVMReadv(o.victimPID(), []unix.Iovec{{Base: &b[0], Len: 8}}, []unix.RemoteIovec{{Base: 0x1000, Len: 8}}, 0)
		return refusedCall(err, unix.EPERM)
	}},
	{name: "the victim's environment", bare: true, take: func(o outside) error { return opens("/proc/%s/environ", o.victim) }},
	{name: "the victim's root", bare: true, take: func(o outside) error { _, err := os.ReadDir("/proc/" + o.victim + "/root/"); return err }},
	{name: "the victim's descriptors", bare: true, take: func(o outside) error { _, err := os.Readlink("/proc/" + o.victim + "/fd/0"); return err }},
	{name: "a descriptor of the victim's", bare: true, take: func(o outside) error {
		pidfd, err := unix.PidfdOpen(o.victimPID(), 0)
		if err != nil {
			return err
		}
		defer unix.Close(pidfd)
		fd, err := unix.PidfdGetfd(pidfd, 0, 0)
		if err == nil {
			unix.Close(fd)
		}
		return err
	}},
	{name: "the victim's network", bare: true, root: true, take: func(o outside) error { return o.joins("net", unix.CLONE_NEWNET) }},
	{name: "the victim's mounts", take: func(o outside) error { return o.joins("mnt", unix.CLONE_NEWNS) }},
	{name: "the victim's users", take: func(o outside) error {
		return refusedCall(o.joins("user", unix.CLONE_NEWUSER), unix.EPERM, unix.EACCES)
	}},

	{name: "a network of one's own", take: func(o outside) error {
		return inside(fmt.Sprintf("exec 3<>/dev/tcp/127.0.0.1/%d", o.tcp))
	}},
	{name: "what is mounted is taken away", take: func(o outside) error {
		return inside(fmt.Sprintf("umount %[1]s/stream && test -S %[1]s/stream", o.dir))
	}},
	{name: "the state is uncovered", take: func(o outside) error {
		return inside(fmt.Sprintf("umount %[1]s && ls %[1]s/endpoint-*.json", o.state))
	}},
	{name: "the victim's root is mounted", take: func(o outside) error {
		return inside(fmt.Sprintf("mkdir -p /tmp/esc-$$ && mount --bind /proc/%s/root /tmp/esc-$$", o.victim))
	}},
	{name: "a route", take: func(outside) error { return exec.Command("ip", "route", "add", "192.0.2.0/24", "dev", "lo").Run() }},

	{name: "a raw socket", root: true, bare: true, take: func(outside) error { return makes(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP) }},
	{name: "a packet socket", root: true, bare: true, take: func(outside) error { return makes(unix.AF_PACKET, unix.SOCK_RAW, 0) }},
	{name: "the hypervisor", take: func(outside) error { return makes(unix.AF_VSOCK, unix.SOCK_STREAM, 0) }},
	{name: "Bluetooth", take: func(outside) error { return makes(unix.AF_BLUETOOTH, unix.SOCK_STREAM, 0) }},
	{name: "a bus of cars", take: func(outside) error { return makes(unix.AF_CAN, unix.SOCK_RAW, 1) }},
	{name: "a cluster", take: func(outside) error { return makes(unix.AF_TIPC, unix.SOCK_STREAM, 0) }},
	{name: "the kernel's ciphers", take: func(outside) error { return refusedCall(makes(unix.AF_ALG, unix.SOCK_SEQPACKET, 0), unix.EAFNOSUPPORT) }},
	{name: "io_uring", take: func(outside) error {
		var p [120]byte
		return refusedCall(call(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&p))), unix.ENOSYS, unix.EPERM)
	}},
	{name: "what is typed next", bare: true, take: func(outside) error {
		c := byte('x')
		return refusedCall(call(unix.SYS_IOCTL, 0, unix.TIOCSTI, uintptr(unsafe.Pointer(&c))), unix.EPERM)
	}},
	{name: "a file by its handle", root: true, take: func(outside) error {
		handle := unix.NewFileHandle(1, make([]byte, 8))
		_, err := unix.OpenByHandleAt(unix.AT_FDCWD, handle, unix.O_RDONLY)
		return refusedCall(err, unix.EPERM)
	}},
	{name: "a program in the kernel", take: func(outside) error {
		var attr [128]byte
		return refusedCall(call(unix.SYS_BPF, 0, uintptr(unsafe.Pointer(&attr)), 128), unix.EPERM)
	}},
	{name: "a module", take: func(outside) error { return refusedCall(call(unix.SYS_FINIT_MODULE, ^uintptr(0), 0, 0), unix.EPERM) }},
	{name: "what dumps core", root: true, take: func(outside) error { return writes("/proc/sys/kernel/core_pattern", "core\n") }},
	{name: "a helper of the kernel's", root: true, take: func(outside) error { return writes("/sys/kernel/uevent_helper", "/bin/false\n") }},
	{name: "a disk of one's own making", root: true, take: func(outside) error {
		path := filepath.Join(os.TempDir(), fmt.Sprint("node-", os.Getpid()))
		defer os.Remove(path)
		return unix.Mknod(path, unix.S_IFBLK|0o600, int(unix.Mkdev(7, 0)))
	}},
	{name: "another root", root: true, take: func(outside) error { return unix.Mount("none", "/mnt", "tmpfs", 0, "") }},
	{name: "a clock", root: true, take: func(outside) error {
		var now unix.Timeval
		if err := unix.Gettimeofday(&now); err != nil {
			return err
		}
		return unix.Settimeofday(&now)
	}},
	{name: "an inherited descriptor", bare: true, take: func(outside) error {
		f := os.NewFile(7, "inherited")
		c, err := net.FileConn(f)
		f.Close()
		return says(c, err)
	}},
	{name: "a program that gives rights", take: func(outside) error {
		text, err := os.ReadFile("/proc/self/status")
		if err == nil && strings.Contains(string(text), "NoNewPrivs:\t1") {
			err = errors.New("it would give none")
		}
		return err
	}},
}

// moved does something to a path of ours, and tries what is to be had by the new name.
func (o outside) moved(path string, move func(from, to string) error) error {
	other := filepath.Join(os.TempDir(), fmt.Sprint("moved-", os.Getpid()))
	if path == o.state {
		other = path + "-moved"
	}
	if err := opens("%s", o.key); err == nil {
		return errors.New("as it is") // it need not be moved
	}
	if err := move(path, other); err != nil {
		return err
	}
	defer os.Rename(other, path)
	if path == o.state {
		return opens("%s/%s", other, filepath.Base(o.key))
	}
	return opens("%s", other)
}

// changing makes a call many times, while the memory that it names says this and that in
// turn, and is nil once the call has done what is not mine to do.
func changing(mine, other []byte, try func(unsafe.Pointer) error) error {
	memory := make([]byte, max(len(mine), len(other)))
	var stop atomic.Bool
	var turning sync.WaitGroup
	turning.Go(func() {
		for !stop.Load() {
			copy(memory, mine)
			copy(memory, other)
		}
	})
	defer turning.Wait()
	defer stop.Store(true)
	err := errors.New("never")
	for range 200 {
		if err = try(unsafe.Pointer(&memory[0])); err == nil {
			return nil
		}
	}
	return err
}

// hears waits for the banner on a socket.
func hears(fd int) error {
	limit := unix.NsecToTimeval(int64(wayTime / 4))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		return err
	}
	text := make([]byte, 100)
	n, err := unix.Read(fd, text)
	if err == nil && string(text[:max(n, 0)]) != banner {
		err = fmt.Errorf("somebody else answered: %q", text[:n])
	}
	return err
}

// posts sends a datagram to a socket in the file system.
func (o outside) posts(fd int, err error) error {
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Sendmsg(fd, []byte("hello"), nil, &unix.SockaddrUnix{Name: o.dir + "/datagram"}, 0)
}

// isRelated reports whether a process is in our network.
func isRelated(pid int) bool {
	own, _ := os.Readlink("/proc/self/ns/net")
	theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
	return err == nil && own == theirs
}

// world makes everything outside, for a person.
func world(t *testing.T, p *person) (o outside, reached *atomic.Int64) {
	t.Helper()
	reached = new(atomic.Int64)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	serve := func(l net.Listener, err error) net.Listener {
		t.Helper()
		must(err)
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				reached.Add(1)
				c.Write([]byte(banner))
				c.Close()
			}
		}()
		return l
	}
	dir, err := os.MkdirTemp("", "agentproxy-outside")
	must(err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(os.Chmod(dir, 0o777))
	o.dir = dir
	o.tcp = serve(net.Listen("tcp", ":0")).Addr().(*net.TCPAddr).Port
	o.tcp6 = o.tcp
	if l, err := net.Listen("tcp", "[::1]:0"); err == nil {
		o.tcp6 = serve(l, nil).Addr().(*net.TCPAddr).Port
	}
	for network, name := range map[string]string{"unix": "/stream", "unixpacket": "/packet"} {
		serve(net.Listen(network, dir+name))
		must(os.Chmod(dir+name, 0o777))
		must(os.Chown(dir+name, p.uid, p.uid)) // else it could not be linked (proc_sys_fs(5), protected_hardlinks)
	}
	serve(net.Listen("unix", "@"+dir+"/abstract"))
	posted, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: dir + "/datagram", Net: "unixgram"})
	must(err)
	must(os.Chmod(dir+"/datagram", 0o777))
	t.Cleanup(func() { posted.Close() })
	go func() {
		for {
			if _, err := posted.Read(make([]byte, 100)); err != nil {
				return
			}
			reached.Add(1)
		}
	}()
	u, err := net.ListenPacket("udp", ":0")
	must(err)
	t.Cleanup(func() { u.Close() })
	o.udp = u.LocalAddr().(*net.UDPAddr).Port
	go func() {
		b := make([]byte, 100)
		for {
			_, from, err := u.ReadFrom(b)
			if err != nil {
				return
			}
			reached.Add(1)
			u.WriteTo([]byte(banner), from)
		}
	}()
	o.host = "127.0.0.3"
	addrs, err := net.InterfaceAddrs()
	must(err)
	for _, a := range addrs {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() != nil && !ip.IP.IsLoopback() {
			o.host = ip.IP.String()
		}
	}
	victim := exec.Command("sleep", "600")
	victim.Dir = dir
	victim.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(p.uid), Gid: uint32(p.uid)}}
	must(victim.Start())
	t.Cleanup(func() { victim.Process.Kill(); victim.Wait() })
	o.victim = strconv.Itoa(victim.Process.Pid)
	return o, reached
}

// No way leads past the network of an isolated command, neither an ordinary user's nor
// root's, in namespaces or in a container that may make none; without isolation those do
// that are ways at all.
func TestNoWayOut(t *testing.T) {
	user := people(t, 1)[0]
	root := *user
	root.uid, root.home = 0, filepath.Join(filepath.Dir(user.home), "root")
	if err := os.Mkdir(root.home, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.run(nil, "down") })
	for _, p := range []*person{user, &root} {
		name := map[bool]string{true: "root", false: "user"}[p.uid == 0]
		t.Run(name, func(t *testing.T) {
			p.t = t
			o, reached := world(t, p)
			url, errs, err := p.run(nil, "up")
			if err != nil {
				t.Fatalf("%v: %s", err, errs)
			}
			o.front = url[strings.LastIndexByte(strings.TrimSpace(url), ':')+1:]
			o.front = strings.TrimSpace(o.front)
			status, _, err := p.run(nil, "status")
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(status) {
				if fields := strings.Fields(line); len(fields) == 2 && fields[0] == "state" {
					o.state = fields[1]
				}
			}
			keys, _ := filepath.Glob(o.state + "/*key*")
			if len(keys) == 0 {
				t.Fatalf("no key in %s", o.state)
			}
			o.key = keys[0]
			environ := append(o.environ(), "TMPDIR="+p.home)
			bare := p.tries(o, environ, "exec", "--capture", "never", "--", "escape")
			for _, w := range ways {
				if got := bare[w.name]; w.bare && got != "reached" && (!w.root || p.uid == 0) {
					t.Errorf("%s is no way at all: %q", w.name, got)
				}
			}
			inContainer := *p
			inContainer.exe = filepath.Join(filepath.Dir(p.exe), "contained")
			for where, run := range map[string]func() map[string]string{
				"in namespaces": func() map[string]string { return p.tries(o, environ, "exec", "--isolate", "--", "escape") },
				"in a container": func() map[string]string {
					return inContainer.tries(o, environ, "agentproxy", "exec", "--isolate", "--", "escape")
				},
			} {
				before := reached.Load()
				isolated := run()
				if isolated == nil {
					leftout.Note(t, "isolation "+where+", which this system refuses to "+name)
					continue
				}
				for _, w := range ways {
					switch got, ok := isolated[w.name]; {
					case !ok:
						t.Errorf("%s: %s was not tried", where, w.name)
					case got == "reached":
						t.Errorf("%s: %s leads outside", where, w.name)
					}
				}
				if n := reached.Load() - before; n > 1 { // by the descriptor that was to be inherited
					t.Errorf("%s: somebody outside was reached %d times", where, n-1)
				}
			}
		})
	}
}

// tries runs escape in a way, and returns what came of each; nil where the system
// refuses networks.
func (p *person) tries(o outside, environ []string, args ...string) map[string]string {
	p.t.Helper()
	for _, name := range []string{"escape", "contained"} {
		if err := os.Symlink("agentproxy", filepath.Join(filepath.Dir(p.exe), name)); err != nil && !errors.Is(err, os.ErrExist) {
			p.t.Fatal(err)
		}
	}
	// Descriptor 7 is a connection to outside.
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", o.tcp))
	if err != nil {
		p.t.Fatal(err)
	}
	defer c.Close()
	f, err := c.(*net.TCPConn).File()
	if err != nil {
		p.t.Fatal(err)
	}
	defer f.Close()
	out, errs, err := p.runWith(environ, []*os.File{nil, nil, nil, nil, f}, args...)
	if strings.Contains(errs, "no network of its own can be made") {
		return nil
	}
	if err != nil {
		p.t.Fatalf("%v: %s", err, errs)
	}
	results := map[string]string{}
	for line := range strings.Lines(out) {
		if name, result, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
			results[name] = result
		}
	}
	return results
}

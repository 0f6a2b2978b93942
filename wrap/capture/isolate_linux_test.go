package capture

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/agentproxy/agentproxy/proxy/proxytest/process"
	"golang.org/x/sys/unix"
)

const isolateRole = "isolate"

// beIsolated takes away what an isolation says, in namespaces that it was started in,
// and looks for what is left of it.
func beIsolated(args []string) error {
	var i Isolation
	if err := json.Unmarshal([]byte(args[0]), &i); err != nil {
		return err
	}
	runtime.LockOSThread()
	if err := errors.Join(private(), i.mount()); err != nil {
		return err
	}
	for _, dir := range i.State {
		filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				data, err := os.ReadFile(path)
				fmt.Printf("%s: %s %v\n", d.Name(), data, err)
			}
			return nil
		})
	}
	for _, path := range i.Sockets {
		_, err := net.Dial("unix", path)
		fmt.Println("socket", err != nil)
	}
	if err := i.confine(); err != nil {
		return err
	}
	_, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)
	fmt.Println("family", errors.Is(err, unix.EAFNOSUPPORT))
	_, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	fmt.Println("internet", err == nil)
	fmt.Println("setns", errors.Is(unix.Setns(0, unix.CLONE_NEWNET), unix.EPERM))
	fmt.Println("parent", syscall.Kill(os.Getppid(), 0) == nil)
	return nil
}

// Of our own directory only what is kept is left, sockets of others are none, and rights
// are gone.
func TestIsolation(t *testing.T) {
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	for path, text := range map[string]string{"state/kept": "certificate", "state/sub/kept": "hook", "state/secret": "key"} {
		path = filepath.Join(dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	isolation, err := json.Marshal(Isolation{State: []string{state, filepath.Join(dir, "none")}, Kept: []string{state + "/kept", state + "/sub", state + "/none"}, Sockets: []string{socket, dir + "/gone"}})
	if err != nil {
		t.Fatal(err)
	}
	cmd := process.Command(t, isolateRole, string(isolation))
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}},
		AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN},
	}
	out, err := cmd.CombinedOutput()
	if cmd.Process == nil && isRefused(t, refusal(err)) {
		return
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"kept: certificate <nil>", "kept: hook <nil>", "socket true", "family true", "internet true", "setns true"} {
		if !strings.Contains(string(out), want+"\n") {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	if strings.Contains(string(out), "key") {
		t.Errorf("the secret is there: %s", out)
	}
}

func TestBoundSockets(t *testing.T) {
	list := filepath.Join(t.TempDir(), "unix")
	text := "Num       RefCount Protocol Flags    Type St Inode Path\n" +
		"0000: 00000002 00000000 00010000 0001 01 123 /run/a socket\n" +
		"0000: 00000002 00000000 00010000 0001 01 124 @abstract\n" +
		"0000: 00000003 00000000 00000000 0001 03 125\n" +
		"0000: 00000002 00000000 00010000 0001 01 126 /run/a socket\n"
	if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := boundSockets(list); !slices.Equal(got, []string{"/run/a socket"}) {
		t.Errorf("%q", got)
	}
	if got := boundSockets(list + ".none"); got != nil {
		t.Errorf("%q", got)
	}
	i := Isolate("/run/user/1000", []string{"/state"}, []string{"/state/ca"})
	if !slices.Contains(i.Emptied, "/run") || !slices.Contains(i.Emptied, "/run/user/1000") || i.State[0] != "/state" || i.Kept[0] != "/state/ca" {
		t.Errorf("%+v", i)
	}
}

// decide runs a filter by hand (seccomp(2) knows no more of BPF than these statements), and
// returns what it says of a call.
func decide(t *testing.T, program []unix.SockFilter, number, arch uint32, args [6]uint64) uint32 {
	t.Helper()
	words := map[uint32]uint32{offsetNumber: number, offsetArch: arch}
	for i, arg := range args {
		words[offsetArg0+argument*uint32(i)], words[offsetArg0+argument*uint32(i)+4] = uint32(arg), uint32(arg>>32)
	}
	a := uint32(0)
	for pc := 0; ; pc++ {
		s := program[pc]
		jumps := map[uint16]bool{unix.BPF_JEQ: a == s.K, unix.BPF_JGE: a >= s.K, unix.BPF_JGT: a > s.K, unix.BPF_JSET: a&s.K != 0}
		switch s.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			a = words[s.K]
		case unix.BPF_RET | unix.BPF_K:
			return s.K
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			a &= s.K
		default:
			jump, ok := jumps[s.Code&^(unix.BPF_JMP|unix.BPF_K)]
			if !ok {
				t.Fatalf("a statement of code %#x", s.Code)
			}
			pc += int(map[bool]uint8{true: s.Jt, false: s.Jf}[jump])
		}
	}
}

// What the filter of isolated commands says.
func TestFilter(t *testing.T) {
	const arch = unix.AUDIT_ARCH_X86_64
	type data struct{ number, arch, arg0, arg1 uint32 }
	errno := func(e unix.Errno) uint32 { return unix.SECCOMP_RET_ERRNO | uint32(e) }
	for name, c := range map[string]struct {
		data data
		want uint32
	}{
		"an ordinary call":          {data{number: unix.SYS_READ, arch: arch}, unix.SECCOMP_RET_ALLOW},
		"another architecture's":    {data{number: unix.SYS_READ, arch: 0x40000003}, errno(unix.ENOSYS)},
		"another ABI's":             {data{number: x32 + 1, arch: arch}, errno(unix.ENOSYS)},
		"a socket for the internet": {data{number: unix.SYS_SOCKET, arch: arch, arg0: unix.AF_INET6}, unix.SECCOMP_RET_ALLOW},
		"one for nothing of ours":   {data{number: unix.SYS_SOCKET, arch: arch, arg0: unix.AF_VSOCK}, errno(unix.EAFNOSUPPORT)},
		"a terminal's size":         {data{number: unix.SYS_IOCTL, arch: arch, arg1: unix.TIOCGWINSZ}, unix.SECCOMP_RET_ALLOW},
		"a terminal's input":        {data{number: unix.SYS_IOCTL, arch: arch, arg1: tiocsti}, errno(unix.EPERM)},
		"io_uring":                  {data{number: unix.SYS_IO_URING_SETUP, arch: arch}, errno(unix.ENOSYS)},
		"another namespace":         {data{number: unix.SYS_SETNS, arch: arch}, errno(unix.EPERM)},
	} {
		if got := decide(t, filter(arch, ownNetwork), c.data.number, c.data.arch, [6]uint64{uint64(c.data.arg0), uint64(c.data.arg1)}); got != c.want {
			t.Errorf("%s: %#x, not %#x", name, got, c.want)
		}
	}
}

// What doctor tries is a whole capture.
func TestTry(t *testing.T) {
	for _, isolated := range []bool{false, true} {
		if _, err := Try(isolated); err != nil && !isRefused(t, err) {
			t.Errorf("isolated %v: %v", isolated, err)
		}
	}
}

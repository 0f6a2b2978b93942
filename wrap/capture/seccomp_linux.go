package capture

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The filter of an isolated command (seccomp(2)). Its network has neither routes nor
// neighbours, so what is left to refuse are the families of sockets that belong to no
// network namespace, calls that act outside of system calls' view, and the terminal's
// input queue. Refused calls fail as on a kernel that lacks them.

// families are those that a command may have sockets of (address_families(7)).
var families = []uint32{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}

// refused are calls that fail, with what.
var refusedCalls = []struct {
	calls []uint32
	errno unix.Errno
}{
	{[]uint32{unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER}, unix.ENOSYS},
	{[]uint32{unix.SYS_SETNS, unix.SYS_PIDFD_GETFD, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN,
		unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV}, unix.EPERM},
}

// Requests of ioctl(2) that put characters into a terminal's input, which whoever reads
// it next takes for typed.
const (
	tiocsti   = 0x5412
	tioclinux = 0x541c
)

// Offsets in struct seccomp_data.
const (
	offsetNumber = 0
	offsetArch   = 4
	offsetArg0   = 16
	offsetArg1   = 24
)

// architectures by GOARCH; numbers of calls are an architecture's own.
var architectures = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64, "riscv64": unix.AUDIT_ARCH_RISCV64}

// x32 marks the calls of another ABI of amd64 with numbers of their own.
const x32 = 0x40000000

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

func ret(value uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: value}
}

// unless skips the next n statements where what was loaded is not k.
func unless(k uint32, n uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jf: n}
}

func failWith(errno unix.Errno) unix.SockFilter { return ret(unix.SECCOMP_RET_ERRNO | uint32(errno)) }

// filter is the program.
func filter(arch uint32) []unix.SockFilter {
	p := []unix.SockFilter{
		load(offsetArch),
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: arch, Jt: 1},
		failWith(unix.ENOSYS), // a call by the numbers of another architecture
		load(offsetNumber),
		{Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, K: x32, Jf: 1},
		failWith(unix.ENOSYS),
	}
	for _, row := range refusedCalls {
		for _, call := range row.calls {
			p = append(p, unless(call, 1), failWith(row.errno))
		}
	}
	sockets := []unix.SockFilter{load(offsetArg0)}
	for _, family := range families {
		sockets = append(sockets, unless(family, 1), ret(unix.SECCOMP_RET_ALLOW))
	}
	sockets = append(sockets, failWith(unix.EAFNOSUPPORT))
	ioctls := []unix.SockFilter{load(offsetArg1), unless(tiocsti, 1), failWith(unix.EPERM), unless(tioclinux, 1), failWith(unix.EPERM), ret(unix.SECCOMP_RET_ALLOW)}
	p = append(append(p, unless(unix.SYS_SOCKET, uint8(len(sockets)))), sockets...)
	p = append(append(p, unless(unix.SYS_IOCTL, uint8(len(ioctls)))), ioctls...)
	return append(p, ret(unix.SECCOMP_RET_ALLOW))
}

// filterCalls puts the filter before this thread's calls.
func filterCalls() error {
	arch, ok := architectures[runtime.GOARCH]
	if !ok {
		return fmt.Errorf("filter system calls: not known for %s", runtime.GOARCH)
	}
	p := filter(arch)
	program := unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&program))); errno != 0 {
		return fmt.Errorf("filter system calls: %w", errno)
	}
	return nil
}

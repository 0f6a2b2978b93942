package capture

import (
	"fmt"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The filter of an isolated command (seccomp(2)). Where it has a network of its own, that
// has neither routes nor neighbours, so what is left to refuse are the families of
// sockets that belong to no network namespace, calls that act outside of system calls'
// view, and the terminal's input queue. In the host's network more is refused: all that
// the supervisor does not do in the command's place. Refused calls fail as on a kernel
// that lacks them.

// families are those that a command may have sockets of (address_families(7)).
var families = []uint32{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}

// socketRules are those for sockets, on what follows a load of the call's number.
type socketRules func() []unix.SockFilter

// ownNetwork is for a command in a network of its own.
func ownNetwork() []unix.SockFilter {
	p := []unix.SockFilter{loadArgument(0)}
	for _, family := range families {
		p = append(p, unless(family, 1), allow)
	}
	return when(unix.SYS_SOCKET, append(p, failWith(unix.EAFNOSUPPORT)))
}

// hostNetwork is for one in the host's: the supervisor makes its sockets for streams and
// datagrams (traps). Datagrams of AF_UNIX could be sent to any socket by a call whose
// address is out of a filter's sight, and so could those of a pair.
func hostNetwork() []unix.SockFilter {
	kinds := func(protocols ...uint32) []unix.SockFilter {
		p := []unix.SockFilter{loadArgument(2)}
		for _, protocol := range protocols {
			p = append(p, unless(protocol, 1), allow)
		}
		return append(p, failWith(unix.EPROTONOSUPPORT))
	}
	kind := []unix.SockFilter{loadArgument(1), {Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: kindOfSocket}}
	stream, datagram := kinds(0, unix.IPPROTO_TCP), kinds(0, unix.IPPROTO_UDP)
	internet := slices.Concat(kind, []unix.SockFilter{unless(unix.SOCK_STREAM, uint8(len(stream)))}, stream,
		[]unix.SockFilter{unless(unix.SOCK_DGRAM, uint8(len(datagram)))}, datagram, []unix.SockFilter{failWith(unix.EPROTONOSUPPORT)})
	local := slices.Concat(kind, []unix.SockFilter{unless(unix.SOCK_STREAM, 1), allow, unless(unix.SOCK_SEQPACKET, 1), allow, failWith(unix.EPROTONOSUPPORT)})
	families := []unix.SockFilter{loadArgument(0)}
	for _, f := range []struct {
		family uint32
		rules  []unix.SockFilter
	}{{unix.AF_UNIX, local}, {unix.AF_INET, internet}, {unix.AF_INET6, internet}, {unix.AF_NETLINK, kinds(unix.NETLINK_ROUTE)}} {
		families = slices.Concat(families, []unix.SockFilter{unless(f.family, uint8(len(f.rules)))}, f.rules)
	}
	families = append(families, failWith(unix.EAFNOSUPPORT))
	// What resolvers set on their sockets, of which these have none (glibc, IP_RECVERR):
	// they take a failure for that of the name server.
	done := failWith(0)
	options := []unix.SockFilter{loadArgument(1), unless(unix.IPPROTO_IP, 4), loadArgument(2), unless(unix.IP_RECVERR, 1), done, allow,
		unless(unix.IPPROTO_IPV6, 3), loadArgument(2), unless(unix.IPV6_RECVERR, 1), done, allow}
	return slices.Concat(when(unix.SYS_SOCKET, families), when(unix.SYS_SOCKETPAIR, local), when(unix.SYS_SETSOCKOPT, options),
		when(unix.SYS_OPENAT2, []unix.SockFilter{failWith(unix.ENOSYS)})) // its flags are out of a filter's sight
}

// when are statements for a call; they end with what to do.
func when(call uint32, statements []unix.SockFilter) []unix.SockFilter {
	return append([]unix.SockFilter{unless(call, uint8(len(statements)))}, statements...)
}

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
func filter(arch uint32, sockets socketRules) []unix.SockFilter {
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
	ioctls := []unix.SockFilter{loadArgument(1), unless(tiocsti, 1), failWith(unix.EPERM), unless(tioclinux, 1), failWith(unix.EPERM), allow}
	return slices.Concat(p, sockets(), when(unix.SYS_IOCTL, ioctls), []unix.SockFilter{allow})
}

// filterCalls puts the filter before this thread's calls.
func filterCalls(sockets socketRules) error {
	arch, ok := architectures[runtime.GOARCH]
	if !ok {
		return fmt.Errorf("filter system calls: not known for %s", runtime.GOARCH)
	}
	p := filter(arch, sockets)
	program := unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&program))); errno != 0 {
		return fmt.Errorf("filter system calls: %w", errno)
	}
	return nil
}

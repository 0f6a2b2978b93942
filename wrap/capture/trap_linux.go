package capture

import (
	"fmt"
	"runtime"
	"unsafe"

	"github.com/agentproxy/agentproxy/proxy/capture/sockets"
	"golang.org/x/sys/unix"
)

// Where the system lets no namespace be made, the command's calls that make or connect
// sockets, or look at files, wait for a supervisor (seccomp_unotify(2)).

// argument is the size of one in struct seccomp_data.
const argument = 8

func loadArgument(n int) unix.SockFilter { return load(offsetArg0 + argument*uint32(n)) }

// unlessAny skips the next n statements where any of the bits is set in what was loaded.
func unlessAny(bits uint32, n uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: bits, Jt: n}
}

var (
	// wait lets a call wait for the supervisor.
	wait  = ret(unix.SECCOMP_RET_USER_NOTIF)
	allow = ret(unix.SECCOMP_RET_ALLOW)
)

// traps is the program. io_uring would connect without any call to wait for, and what is
// sent with MSG_FASTOPEN connects on its way: both fail as on a kernel that has them
// switched off.
func traps(arch uint32, isolated bool) []unix.SockFilter {
	p := []unix.SockFilter{
		load(offsetArch),
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: arch, Jt: 1},
		allow,
		load(offsetNumber),
		unless(unix.SYS_IO_URING_SETUP, 1), failWith(unix.ENOSYS),
	}
	add := func(call uint32, statements ...unix.SockFilter) {
		p = append(append(append(p, unless(call, uint8(len(statements)+1))), statements...), allow)
	}
	for _, call := range []uint32{unix.SYS_CONNECT, unix.SYS_BIND, unix.SYS_LISTEN, unix.SYS_RECVMSG} {
		add(call, wait)
	}
	is := func(k uint32, skip uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jt: skip}
	}
	// Sockets of other protocols are made with the command's own rights (icmp(7)).
	add(unix.SYS_SOCKET,
		loadArgument(0), is(unix.AF_INET, 1), unless(unix.AF_INET6, 9),
		loadArgument(1), unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: kindOfSocket},
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K, K: unix.SOCK_DGRAM, Jt: 6},
		loadArgument(2), is(0, 3), is(unix.IPPROTO_TCP, 2), is(unix.IPPROTO_UDP, 1), unless(unix.IPPROTO_MPTCP, 1), wait)
	fastOpen := func(flags int) []unix.SockFilter {
		return []unix.SockFilter{loadArgument(flags), {Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: unix.MSG_FASTOPEN, Jf: 1}, failWith(unix.EOPNOTSUPP)}
	}
	add(unix.SYS_SENDMSG, fastOpen(2)...)
	add(unix.SYS_SENDMMSG, fastOpen(3)...)
	// Those with an address, which is the fifth argument; a pointer is two words.
	given := []unix.SockFilter{loadArgument(4), unless(0, 3), load(offsetArg0 + 4*argument + argument/2), unless(0, 1), allow, wait}
	add(unix.SYS_SENDTO, append(fastOpen(3), given...)...)
	add(unix.SYS_RECVFROM, given...)
	for call, n := range namings {
		exempt := n.exempt
		if isolated && n.ask == nil {
			exempt = unix.O_PATH
		}
		switch {
		case n.creates && !isolated:
		case n.flags == none:
			add(call, wait)
		default:
			add(call, loadArgument(n.flags), unlessAny(exempt, 1), wait)
		}
	}
	return append(p, allow)
}

// kindOfSocket are the bits of a type that say which: the others are flags (socket(2)).
// Streams and datagrams are the first two.
const kindOfSocket = 0xf

// trap has this thread's calls, and those of what it becomes, wait for whoever gets the
// descriptor. No program that is executed gains privileges any more: the kernel asks
// for that.
func trap(isolated bool) (*sockets.Set, error) {
	arch, ok := architectures[runtime.GOARCH]
	if !ok {
		return nil, fmt.Errorf("supervise system calls: not known for %s", runtime.GOARCH)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("supervise system calls: no new privileges: %w", err)
	}
	p := traps(arch, isolated)
	program := unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]}
	install := func(flags uintptr) (uintptr, unix.Errno) {
		fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&program)))
		return fd, errno
	}
	// With the second flag no signal but a fatal one interrupts what waits (Linux 5.19).
	fd, errno := install(unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
	if errno == unix.EINVAL {
		fd, errno = install(unix.SECCOMP_FILTER_FLAG_NEW_LISTENER)
	}
	if errno != 0 {
		return nil, fmt.Errorf("supervise system calls: %w", errno)
	}
	return &sockets.Set{Sockets: []sockets.Socket{{Kind: sockets.Notify, FD: int(fd)}}}, nil
}

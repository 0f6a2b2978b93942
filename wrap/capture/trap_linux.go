package capture

import (
	"fmt"
	"runtime"
	"unsafe"

	"github.com/agentproxy/agentproxy/proxy/capture/sockets"
	"golang.org/x/sys/unix"
)

// Where the system lets no namespace be made, the command's calls that connect sockets
// or open files for reading wait for a supervisor (seccomp_unotify(2)).

// opens are the calls that open files, by the argument with the flags; amd64 has one more.
var opens = map[uint32]uint32{unix.SYS_OPENAT: offsetArg0 + 2*argument}

// argument is the size of one in struct seccomp_data.
const argument = 8

// notRead are flags of what is not opened for its content.
const notRead = unix.O_ACCMODE | unix.O_CREAT | unix.O_DIRECTORY | unix.O_PATH

// wait lets a call wait for the supervisor.
var wait = ret(unix.SECCOMP_RET_USER_NOTIF)

// traps is the program. io_uring would connect without any call to wait for.
func traps(arch uint32) []unix.SockFilter {
	p := []unix.SockFilter{
		load(offsetArch),
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: arch, Jt: 1},
		ret(unix.SECCOMP_RET_ALLOW),
		load(offsetNumber),
		unless(unix.SYS_CONNECT, 1), wait,
		unless(unix.SYS_IO_URING_SETUP, 1), failWith(unix.ENOSYS),
	}
	for call, flags := range opens {
		p = append(p, unless(call, 4), load(flags),
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: notRead, Jt: 1}, wait, ret(unix.SECCOMP_RET_ALLOW))
	}
	return append(p, ret(unix.SECCOMP_RET_ALLOW))
}

// trap has this thread's calls, and those of what it becomes, wait for whoever gets the
// descriptor. No program that is executed gains privileges any more: the kernel asks
// for that.
func trap() (*sockets.Set, error) {
	arch, ok := architectures[runtime.GOARCH]
	if !ok {
		return nil, fmt.Errorf("supervise system calls: not known for %s", runtime.GOARCH)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("supervise system calls: no new privileges: %w", err)
	}
	p := traps(arch)
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

// Package contained runs commands as in a container: under a seccomp filter that refuses
// what the default ones of container engines refuse, which is to make and to enter
// namespaces, to mount, and to reach into other processes.
package contained

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// refused fail with EPERM, as in the engines' profiles.
var refused = []uint32{
	unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_PTRACE, unix.SYS_PIDFD_GETFD,
	unix.SYS_BPF, unix.SYS_IO_URING_SETUP, unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT, unix.SYS_FSOPEN, unix.SYS_FSMOUNT,
}

const namespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// Offsets in struct seccomp_data (seccomp(2)).
const (
	number = 0
	flags  = 16 // the first argument, of clone(2)
)

func statement(code uint16, k uint32) unix.SockFilter { return unix.SockFilter{Code: code, K: k} }

func unless(k uint32, skip uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: skip, K: k}
}

func filter() []unix.SockFilter {
	fail := func(errno unix.Errno) unix.SockFilter {
		return statement(unix.BPF_RET|unix.BPF_K, unix.SECCOMP_RET_ERRNO|uint32(errno))
	}
	p := []unix.SockFilter{statement(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, number)}
	for _, call := range refused {
		p = append(p, unless(call, 1), fail(unix.EPERM))
	}
	return append(p,
		unless(unix.SYS_CLONE3, 1), fail(unix.ENOSYS), // its flags are out of a filter's sight
		unless(unix.SYS_CLONE, 3),
		statement(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, flags),
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, Jf: 1, K: namespaces}, fail(unix.EPERM),
		statement(unix.BPF_RET|unix.BPF_K, unix.SECCOMP_RET_ALLOW))
}

// Exec becomes a command that the filter holds for, and what that starts. It returns
// only when it fails.
func Exec(argv []string) error {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	p := filter()
	program := unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&program))); errno != 0 {
		return errno
	}
	return syscall.Exec(path, argv, os.Environ())
}

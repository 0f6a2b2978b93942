package wrap

import (
	"os/signal"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// restoreDefault gives the signal back its default action. signal.Reset only
// returns it to the Go runtime, which prints stacks for SIGQUIT and SIGABRT.
func restoreDefault(s syscall.Signal) {
	signal.Reset(s)
	// struct sigaction of the kernel (handler, flags, restorer, mask); all zero
	// is SIG_DFL. See rt_sigaction(2).
	var action [4]uintptr
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
}

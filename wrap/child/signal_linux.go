package child

import (
	"os/signal"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// action is struct sigaction of the kernel (handler, flags, restorer, mask);
// all zero is SIG_DFL. See rt_sigaction(2).
type action [4]uintptr

func sigaction(s syscall.Signal, set, old *action) {
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(old)), 8, 0, 0)
}

// restoreDefault gives the signal back its default action. signal.Reset only
// returns it to the Go runtime, which prints stacks for SIGQUIT and SIGABRT.
func restoreDefault(s syscall.Signal) {
	signal.Reset(s)
	sigaction(s, &action{}, nil)
}

// withDefault calls f while the signal has its default action; signal.Reset
// would leave the runtime's handler for a stop in place.
func withDefault(s syscall.Signal, f func()) {
	var handler action
	sigaction(s, &action{}, &handler)
	f()
	sigaction(s, &handler, nil)
}

// continued reports whether the stopped child has been resumed. (wait4(2) would
// collect it, had it ended since.)
func continued(pid int) bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, pid, &info, unix.WCONTINUED|unix.WNOHANG, nil)
	return err != nil || info.Signo != 0
}

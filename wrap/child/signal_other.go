//go:build !linux

package child

import (
	"os/signal"
	"syscall"
)

// restoreDefault gives the signal back to the Go runtime, the most that can be
// done here.
func restoreDefault(s syscall.Signal) { signal.Reset(s) }

// withDefault calls f while the signal stops us instead.
func withDefault(s syscall.Signal, f func()) {
	signal.Reset(s)
	f()
}

// continued: to resume a process that runs does no harm.
func continued(int) bool { return false }

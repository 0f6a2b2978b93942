//go:build !linux

package wrap

import (
	"os/signal"
	"syscall"
)

// restoreDefault gives the signal back to the Go runtime, the most that can be
// done here.
func restoreDefault(s syscall.Signal) { signal.Reset(s) }

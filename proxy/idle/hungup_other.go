//go:build unix && !linux

package idle

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// HungUp tells, without waiting, whether the connection is gone. A peer that
// has only closed its side is not noticed on this system.
func HungUp(c net.Conn) bool { return poll(c, unix.POLLHUP) }

// Moved reports nothing on this system.
func Moved(net.Conn, time.Duration) bool { return false }

//go:build unix && !linux

package idle

import (
	"net"

	"golang.org/x/sys/unix"
)

// HungUp tells, without waiting, whether the connection is gone. A peer that
// has only closed its side is not noticed on this system.
func HungUp(c net.Conn) bool { return poll(c, unix.POLLHUP) }

package idle

import (
	"net"

	"golang.org/x/sys/unix"
)

// HungUp tells, without waiting, whether the peer has closed its side, even
// when data that it sent before is still unread.
func HungUp(c net.Conn) bool { return poll(c, unix.POLLRDHUP) }

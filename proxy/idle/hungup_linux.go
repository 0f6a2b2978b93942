package idle

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// HungUp tells, without waiting, whether the peer has closed its side, even
// when data that it sent before is still unread.
func HungUp(c net.Conn) bool { return poll(c, unix.POLLRDHUP) }

// Moved reports whether the connection has sent or received data within the time
// (TCP_INFO, tcp(7)).
func Moved(c net.Conn, within time.Duration) bool {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return false
	}
	moved := false
	err = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		moved = err == nil && time.Duration(min(info.Last_data_sent, info.Last_data_recv))*time.Millisecond < within
	})
	return moved && err == nil
}

//go:build unix

// Package idle lets a connection wait for data at no cost in memory: no
// buffer, no pipe, nothing but the goroutine that waits.
package idle

import (
	"net"

	"golang.org/x/sys/unix"
)

// Wait returns when c has data, its end or an error to read. It reads nothing.
// For anything but a TCP connection it returns at once.
func Wait(c net.Conn) error {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	b := make([]byte, 1)
	return raw.Read(func(fd uintptr) bool {
		_, _, err := unix.Recvfrom(int(fd), b, unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return err != unix.EAGAIN && err != unix.EINTR
	})
}

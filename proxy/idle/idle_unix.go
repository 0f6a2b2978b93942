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

// Readable tells, without waiting, whether c has data, its end or an error to
// read. For anything but a TCP connection it says no.
func Readable(c net.Conn) bool { return poll(c, unix.POLLIN|unix.POLLHUP|unix.POLLERR) }

func poll(c net.Conn, events int16) bool {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return true
	}
	found := false
	err = raw.Control(func(fd uintptr) {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, 0)
		found = err == nil && n > 0
	})
	return found || err != nil
}

//go:build !linux

package peer

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// Lookup returns ErrUnknown: this system has no cheap way to tell.
func Lookup(net.Conn) (Socket, error) { return Socket{}, ErrUnknown }

// Find returns ErrUnknown: this system has no cheap way to tell.
func Find(Socket, int) (Process, error) { return Process{}, ErrUnknown }

// Getenv returns "".
func Getenv(int, string) string { return "" }

// Environ returns "".
func Environ(int) string { return "" }

// Exit waits for nothing here.
type Exit struct{}

// WatchExit is to be followed by Close.
func WatchExit(int) Exit { return Exit{} }

// Wait returns at once.
func (Exit) Wait(time.Duration) {}

// Close does nothing.
func (Exit) Close() {}

// Parent returns 0.
func Parent(int) int { return 0 }

// Started returns "".
func Started(int) string { return "" }

// Lives reports whether there is a process with this number.
func Lives(pid int, _ string) bool {
	err := unix.Kill(pid, 0)
	return err == nil || err == unix.EPERM
}

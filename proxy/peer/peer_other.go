//go:build !linux

package peer

import "net"

// Lookup returns ErrUnknown: this system has no cheap way to tell.
func Lookup(net.Conn) (Socket, error) { return Socket{}, ErrUnknown }

// Find returns ErrUnknown: this system has no cheap way to tell.
func Find(Socket, int) (Process, error) { return Process{}, ErrUnknown }

// Getenv returns "".
func Getenv(int, string) string { return "" }

// Parent returns 0.
func Parent(int) int { return 0 }

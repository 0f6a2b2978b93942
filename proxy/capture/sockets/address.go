package sockets

import (
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// maxPath is how long a socket's path may be (unix(7)), on every system.
const maxPath = 103

// Listen makes a socket in the file system at which messages are received, in place
// of one that a killed process has left.
func Listen(path string) (*net.UnixListener, error) {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	var l *net.UnixListener
	err := reached(path, func(short string) (err error) {
		l, err = net.ListenUnix("unixpacket", &net.UnixAddr{Name: short, Net: "unixpacket"})
		return err
	})
	if err == nil {
		l.SetUnlinkOnClose(false) // the short path leads there no more
	}
	return l, err
}

// Dial connects to one.
func Dial(path string) (c *net.UnixConn, err error) {
	err = reached(path, func(short string) (err error) {
		c, err = net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: short, Net: "unixpacket"})
		return err
	})
	return c, err
}

// reached calls f with a path that is short enough.
func reached(path string, f func(string) error) error {
	if len(path) <= maxPath {
		return f(path)
	}
	fd, err := unix.Open(filepath.Dir(path), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: filepath.Dir(path), Err: err}
	}
	defer unix.Close(fd)
	return f(fmt.Sprintf("/proc/self/fd/%d/%s", fd, filepath.Base(path)))
}

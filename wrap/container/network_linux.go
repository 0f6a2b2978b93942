package container

import (
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// hasOurNetwork reports whether what listens at a socket is in this process's
// network; known is false when the kernel does not say.
func hasOurNetwork(socket string) (same, known bool) {
	conn, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return false, false
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return false, false
	}
	var peer *syscall.Ucred
	if raw.Control(func(fd uintptr) {
		peer, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}) != nil || err != nil || peer.Pid <= 0 {
		return false, false
	}
	theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", peer.Pid))
	if err != nil {
		return false, false
	}
	ours, err := os.Readlink("/proc/self/ns/net")
	return theirs == ours, err == nil
}

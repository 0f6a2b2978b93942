package term

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// CloseInherited closes what we were started with beyond standard input,
// output and error: a process of ours that outlives the command must not hold
// what others wait for, such as a lock (flock(1)) or the end of a pipe. What we
// have opened ourselves is close-on-exec, and stays.
func CloseInherited() {
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		return
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd < 3 {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			unix.Close(fd)
		}
	}
}

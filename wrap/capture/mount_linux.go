package capture

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// private keeps what is mounted here from being seen outside; what is mounted
// outside is still seen here (mount_namespaces(7)).
func private() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("separate the mounts: %w", err)
	}
	return nil
}

// mount makes the mounts. A target that has gone meanwhile needs none.
func mount(mounts []Mount) error {
	for _, m := range mounts {
		err := unix.Mount(m.Source, m.Target, "", unix.MS_BIND, "")
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err == nil {
			err = unix.Mount("", m.Target, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|kept(m.Target), "")
		}
		if err != nil {
			return fmt.Errorf("mount over %s: %w", m.Target, err)
		}
	}
	return nil
}

// hide puts what is no socket over sockets that are there.
func hide(paths []string) error {
	for _, path := range paths {
		err := unix.Mount("/dev/null", path, "", unix.MS_BIND, "")
		if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EACCES) { // one that we cannot reach, the command cannot
			return fmt.Errorf("hide %s: %w", path, err)
		}
	}
	return nil
}

// kept are the flags of a mount that must stay when it is changed (mount_namespaces(7)
// has them locked): those of statvfs(3), in the form of mount(2).
func kept(path string) (flags uintptr) {
	var st unix.Statfs_t
	if unix.Statfs(path, &st) != nil {
		return 0
	}
	for _, f := range [][2]uintptr{{unix.ST_NOSUID, unix.MS_NOSUID}, {unix.ST_NODEV, unix.MS_NODEV}, {unix.ST_NOEXEC, unix.MS_NOEXEC},
		{unix.ST_NOATIME, unix.MS_NOATIME}, {unix.ST_NODIRATIME, unix.MS_NODIRATIME}, {unix.ST_RELATIME, unix.MS_RELATIME}} {
		if uintptr(st.Flags)&f[0] != 0 {
			flags |= f[1]
		}
	}
	return flags
}

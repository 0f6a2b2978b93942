package capture

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Isolate looks at this machine for what is to be taken away. runtimeDir is the user's
// $XDG_RUNTIME_DIR, "" for none.
func Isolate(runtimeDir string, state, kept []string) Isolation {
	i := Isolation{State: state, Kept: kept, Emptied: []string{"/run", "/var/run", "/tmp/.X11-unix", "/tmp/.ICE-unix"}}
	if runtimeDir != "" {
		i.Emptied = append(i.Emptied, runtimeDir)
	}
	i.Sockets = boundSockets("/proc/net/unix")
	return i
}

// boundSockets returns the paths of the sockets of a list as that of proc_net_unix(5).
func boundSockets(list string) []string { return slices.DeleteFunc(namedSockets(list), isAbstract) }

func isAbstract(socket string) bool { return socket[0] != '/' }

// namedSockets returns the paths of all, and the names with "@" of those that are abstract.
func namedSockets(list string) (paths []string) {
	text, err := os.ReadFile(list)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 8 {
			continue
		}
		if path := strings.Join(fields[7:], " "); !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	return paths
}

// mount makes what is taken away invisible. The capabilities that it takes are still
// there.
func (i *Isolation) mount() error {
	kept := readAll(append(slices.Clone(i.Kept), resolvConf()...))
	var errs []error
	for _, dir := range append(slices.Clone(i.State), i.Emptied...) {
		errs = append(errs, i.empty(dir, kept))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, path := range i.Sockets {
		if info, err := os.Lstat(path); err != nil || info.Mode()&fs.ModeSocket == 0 {
			continue // it has gone, or lies in what was emptied
		}
		errs = append(errs, hide([]string{path}))
	}
	if os.Geteuid() == 0 { // who may write there has the kernel start programs (core(5))
		errs = append(errs, readOnly("/proc/sys"), readOnly("/sys"), hide([]string{"/proc/sysrq-trigger"}))
	}
	return errors.Join(errs...)
}

// keptFile is one that stays visible where the directory around it is emptied.
type keptFile struct {
	path string
	data []byte
	mode fs.FileMode
}

// readAll reads files, and those in directories. What is not there, or not ours to
// read, is not kept.
func readAll(paths []string) (list []keptFile) {
	for _, root := range paths {
		filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return nil
			}
			info, err := os.Stat(path)
			if err != nil || !info.Mode().IsRegular() {
				return nil
			}
			if data, err := os.ReadFile(path); err == nil {
				list = append(list, keptFile{path, data, info.Mode().Perm()})
			}
			return nil
		})
	}
	return list
}

// resolvConf is the file that /etc/resolv.conf links to, where that is a link.
func resolvConf() []string {
	path, err := filepath.EvalSymlinks("/etc/resolv.conf")
	if err != nil {
		return nil
	}
	return []string{path}
}

// empty mounts an empty file system over a directory, with the files in it that are
// kept. One that is not there, or is a link to another, needs none.
func (i *Isolation) empty(dir string, all []keptFile) error {
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() {
		return nil
	}
	options := fmt.Sprintf("mode=%o,size=16m", info.Mode().Perm())
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return fmt.Errorf("empty %s: %w", dir, err)
	}
	for _, k := range all {
		if !strings.HasPrefix(k.path, dir+"/") {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(k.path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(k.path, k.data, k.mode|0o444); err != nil {
			return err
		}
	}
	return nil
}

// readOnly makes a mount and those below it read-only (mount_setattr(2)), after it has
// been made one of this namespace's.
func readOnly(dir string) error {
	if _, err := os.Stat(dir); err != nil {
		return nil
	}
	if err := unix.Mount(dir, dir, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind %s: %w", dir, err)
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(unix.AT_FDCWD, dir, unix.AT_RECURSIVE, &attr); err != nil {
		return fmt.Errorf("make %s read-only: %w", dir, err)
	}
	return nil
}

// confine takes rights away from this thread, which becomes the command.
func (i *Isolation) confine() error {
	if err := i.renounce(); err != nil {
		return err
	}
	if err := scope(); err != nil {
		return err
	}
	return filterCalls(ownNetwork)
}

// confineHere does so where the command has no namespaces, but a supervisor.
func (i *Isolation) confineHere() error {
	if err := i.renounce(); err != nil {
		return err
	}
	if err := i.shut(); err != nil {
		return err
	}
	return filterCalls(hostNetwork)
}

// renounce gives up what leads outside from any network.
func (i *Isolation) renounce() error {
	// What was open outside may lead outside.
	if err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close what is inherited: %w", err)
	}
	if os.Geteuid() == 0 {
		for _, c := range reaching {
			has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0)
			if err == nil && has == 1 {
				err = unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
			}
			if err != nil && !errors.Is(err, unix.EINVAL) { // an older kernel has fewer
				return fmt.Errorf("drop capability %d: %w", c, err)
			}
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("renounce new privileges: %w", err)
	}
	return nil
}

// reaching are the capabilities by which root reaches into other processes, other
// namespaces and the kernel (capabilities(7)).
var reaching = []uintptr{
	unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_SYS_PTRACE, unix.CAP_SYS_MODULE, unix.CAP_SYS_RAWIO, unix.CAP_SYS_BOOT,
	unix.CAP_SYS_TIME, unix.CAP_SYS_PACCT, unix.CAP_SYS_TTY_CONFIG, unix.CAP_MKNOD, unix.CAP_DAC_READ_SEARCH, unix.CAP_SYSLOG, unix.CAP_BPF, unix.CAP_PERFMON,
	unix.CAP_CHECKPOINT_RESTORE, unix.CAP_MAC_ADMIN, unix.CAP_MAC_OVERRIDE, unix.CAP_AUDIT_CONTROL, unix.CAP_AUDIT_READ, unix.CAP_LINUX_IMMUTABLE,
}

package capture

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// notification is struct seccomp_notif: a call that waits. What it is answered with is
// struct seccomp_notif_resp and struct seccomp_notif_addfd (seccomp_unotify(2)).
type notification struct {
	id    uint64
	tid   uint32 // of the thread; its numbers in /proc are good for what its process has
	flags uint32
	nr    int32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

type response struct {
	id    uint64
	value int64
	errno int32
	flags uint32
}

type descriptor struct {
	id                           uint64
	flags, from, number, newFlag uint32
}

// Requests that golang.org/x/sys/unix has not: SECCOMP_IOCTL_NOTIF_ADDFD, that of Linux
// 5.17 and before for an identifier, and SECCOMP_IOCTL_NOTIF_SET_FLAGS.
const (
	notifyAdd   = 0x40182103
	notifyValid = 0x40082102
	notifyFlags = 0x40082104
)

// syncWakeUp is SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP.
const syncWakeUp = 1

// notifications is the descriptor at which calls wait.
type notifications int

func (n notifications) ioctl(request uintptr, arg unsafe.Pointer) (uintptr, error) {
	for {
		r, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(n), request, uintptr(arg))
		switch errno {
		case 0:
			return r, nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// receive returns the next call that waits. ENOENT is one that waits no more.
func (n notifications) receive() (*notification, error) {
	call := new(notification)
	_, err := n.ioctl(unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(call))
	return call, err
}

// wakeSoon has whoever waits, and us, woken up on the same processor (Linux 6.6).
func (n notifications) wakeSoon() {
	_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(n), notifyFlags, syncWakeUp)
}

// isWaiting reports whether the call still waits: what was read of its process was that
// process's then.
func (n notifications) isWaiting(call *notification) bool {
	_, err := n.ioctl(notifyValid, unsafe.Pointer(&call.id))
	return err == nil
}

func (n notifications) send(r response) {
	_, _ = n.ioctl(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r)) // it may have ended
}

// goOn lets the kernel do what was asked for.
func (n notifications) goOn(call *notification) {
	n.send(response{id: call.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE})
}

// succeed says that it has been done.
func (n notifications) succeed(call *notification, value int) {
	n.send(response{id: call.id, value: int64(value)})
}

// fail has the call fail.
func (n notifications) fail(call *notification, err error) {
	errno := unix.EIO
	errors.As(err, &errno)
	n.send(response{id: call.id, errno: -int32(errno)})
}

// add gives the process one of our descriptors, and returns its number there.
func (n notifications) add(call *notification, fd int, closeOnExec bool) (int, error) {
	return n.put(descriptor{id: call.id, from: uint32(fd)}, closeOnExec)
}

// replace puts one of ours in the place of one of the process's.
func (n notifications) replace(call *notification, fd, theirs int, closeOnExec bool) error {
	_, err := n.put(descriptor{id: call.id, flags: unix.SECCOMP_ADDFD_FLAG_SETFD, from: uint32(fd), number: uint32(theirs)}, closeOnExec)
	return err
}

func (n notifications) put(d descriptor, closeOnExec bool) (int, error) {
	if closeOnExec {
		d.newFlag = unix.O_CLOEXEC
	}
	number, err := n.ioctl(notifyAdd, unsafe.Pointer(&d))
	return int(number), err
}

// read reads memory of the thread, up to size bytes; less where what follows is not
// its own.
func (call *notification) read(address uint64, size int) ([]byte, error) {
	if size == 0 {
		return nil, nil
	}
	b := make([]byte, size)
	n, err := unix.ProcessVMReadv(int(call.tid), []unix.Iovec{{Base: &b[0], Len: uint64(size)}}, []unix.RemoteIovec{{Base: uintptr(address), Len: size}}, 0)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) {
		n, err = call.readFile(address, b)
	}
	if err != nil {
		return nil, unix.EFAULT
	}
	return b[:n], nil
}

// readFile is read by proc_pid_mem(5), for filters that refuse the call.
func (call *notification) readFile(address uint64, b []byte) (int, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/mem", call.tid))
	if err != nil {
		return 0, err
	}
	defer file.Close()
	return unix.Pread(int(file.Fd()), b, int64(address))
}

// part is what is written, and to where.
type part struct {
	address uint64
	data    []byte
}

// write writes to the memory of a thread whose call waits: the file is that process's
// whoever gets its number later.
func (s *supervisor) write(call *notification, parts ...part) error {
	file, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", call.tid), os.O_WRONLY, 0)
	if err != nil {
		return unix.EFAULT
	}
	defer file.Close()
	if !s.calls.isWaiting(call) {
		return unix.EINTR
	}
	for _, p := range parts {
		if n, err := unix.Pwrite(int(file.Fd()), p.data, int64(p.address)); err != nil || n < len(p.data) {
			return unix.EFAULT
		}
	}
	return nil
}

const pageSize = 4096 // the least: a read that does not cross a multiple of it is within one page

// text reads a path, which ends with a zero byte.
func (call *notification) text(address uint64) (string, error) {
	var path []byte
	for len(path) < unix.PathMax {
		part, err := call.read(address, pageSize-int(address%pageSize))
		if err != nil {
			return "", err
		}
		if end := bytes.IndexByte(part, 0); end >= 0 {
			return string(append(path, part[:end]...)), nil
		}
		path = append(path, part...)
		address += uint64(len(part))
	}
	return "", unix.ENAMETOOLONG
}

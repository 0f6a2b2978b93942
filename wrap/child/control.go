package child

import (
	"encoding/binary"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// message is what we and the monitor tell each other.
type message struct {
	Kind  kind
	Value int32
}

type kind int32

const (
	// From the monitor.
	started kind = iota // Value is the command's process number
	changed             // Value is the command's wait status: it has stopped or ended

	// To the monitor.
	signalled      // Value is the signal for the command
	groupSignalled // the same, for its whole group
	foreground     // the command's group gets the terminal's keys
	background     // it does not; our own terminal is in order
	resumed        // the command is to go on after a stop
)

// control is one end of the connection between us and the monitor.
type control struct{ *os.File }

// newControl makes both ends.
func newControl() (ours, theirs control, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return control{}, control{}, err
	}
	for _, fd := range fds {
		unix.CloseOnExec(fd)
	}
	return control{os.NewFile(uintptr(fds[0]), "control")}, control{os.NewFile(uintptr(fds[1]), "control")}, nil
}

// send fails only when the other end is gone, which whoever receives finds out.
func (c control) send(k kind, value int) {
	binary.Write(c, binary.NativeEndian, message{k, int32(value)})
}

func (c control) receive() (m message, err error) {
	err = binary.Read(c, binary.NativeEndian, &m)
	return m, err
}

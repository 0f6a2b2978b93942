package status

import (
	"errors"
	"net"
	"os"
)

// Cause is an error without the addresses and calls that net puts before the
// cause: they are in our sentence already.
func Cause(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	var sys *os.SyscallError
	if errors.As(err, &sys) {
		err = sys.Err
	}
	return err.Error()
}

package rundir

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// attendedFile is locked, shared, as long as somebody answers what tunnels ask.
const attendedFile = "attended"

var _ = Register(attendedFile)

// Attend says that somebody answers what the tunnels of a directory ask, also those
// that are yet to come, until release.
func Attend(dir string) (release func(), err error) {
	f, err := lockAttended(dir, unix.LOCK_SH)
	if err != nil {
		return nil, err
	}
	return func() { f.Close() }, nil
}

// Attended reports whether somebody does.
func Attended(dir string) bool {
	f, err := lockAttended(dir, unix.LOCK_EX)
	if err == nil {
		f.Close()
	}
	return err == unix.EWOULDBLOCK
}

func lockAttended(dir string, how int) (*os.File, error) {
	f, err := OpenFile(filepath.Join(dir, attendedFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err := retry(func() (int, error) { return 0, unix.Flock(int(f.Fd()), how|unix.LOCK_NB) }); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

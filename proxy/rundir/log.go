package rundir

import (
	"os"
	"path/filepath"
	"strings"
)

// MaxLog is the size, in bytes, from which a daemon's log is put aside.
const MaxLog = 4 << 20

// LogPath is the daemon's log for the tunnel with this key.
func LogPath(dir, key string) string { return filepath.Join(dir, "daemon-"+key+".log") }

// OpenLog opens a daemon's log to append to; one that is full is put aside first.
func OpenLog(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > MaxLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, err
		}
	}
	return OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}

// LogTail returns the last lines of a daemon's log, for an error that must
// explain why it did not start.
func LogTail(path string, lines int) string {
	raw, err := ReadFile(path)
	if err != nil {
		return ""
	}
	all := strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

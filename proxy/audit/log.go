// Package audit is the log of the tunnel's decisions: one JSON line each, in a
// file that only its user can read and that is rotated while it is written. All
// tunnels of a state directory share it.
package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/agentproxy/agentproxy/proxy/guard"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/proxy/status"
)

const (
	fileName = "audit.log"
	// maxSize is when a file is rotated, kept how many of the older ones stay.
	maxSize = 8 << 20
	kept    = 3
	// queued is how many decisions may wait for the disk.
	queued = 4096
)

var _ = rundir.Register(fileName + "*")

// Path is the log in a state directory.
func Path(dir string) string { return filepath.Join(dir, fileName) }

// rotated is the path of the nth older file, 1 being the newest of them.
func rotated(path string, n int) string { return fmt.Sprintf("%s.%d", path, n) }

// Log writes decisions. A disk that does not keep up never holds a tunnel up;
// what is lost then is counted.
type Log struct {
	dir     string
	max     int64
	file    *os.File
	errors  *slog.Logger
	failing bool
	entries chan status.Entry
	closing chan struct{}
	done    chan struct{}
	lost    atomic.Int64
}

// Open returns the log of a state directory. The file is made with the first
// decision. errors is told when the log cannot be written.
func Open(dir string, errors *slog.Logger) *Log {
	l := &Log{dir: dir, max: maxSize, errors: errors, entries: make(chan status.Entry, queued),
		closing: make(chan struct{}), done: make(chan struct{})}
	go l.work()
	return l
}

// Add logs a decision. It does not wait.
func (l *Log) Add(e status.Entry) {
	select {
	case l.entries <- e:
	default:
		l.lost.Add(1)
	}
}

// Lost is how many decisions could not be logged.
func (l *Log) Lost() int64 { return l.lost.Load() }

// Close writes what is waiting; what is added later is not written.
func (l *Log) Close() {
	close(l.closing)
	select {
	case <-l.done:
	case <-time.After(2 * time.Second): // a disk that hangs
	}
}

func (l *Log) work() {
	defer close(l.done)
	for {
		select {
		case e := <-l.entries:
			l.keep(e)
			continue
		case <-l.closing:
		}
		for len(l.entries) > 0 {
			l.keep(<-l.entries)
		}
		if l.file != nil {
			l.file.Close()
		}
		return
	}
}

func (l *Log) keep(e status.Entry) {
	var err error
	if f := guard.Do("writing the audit log", func() { err = l.write(e) }); f != nil {
		err = f
	}
	if err != nil {
		l.lost.Add(1)
		if !l.failing { // once, not for every line
			l.errors.Error("audit log", "error", err.Error())
		}
	}
	l.failing = err != nil
}

func (l *Log) write(e status.Entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := l.open(); err != nil {
		return err
	}
	// One write in append mode: lines of several tunnels do not mix.
	_, err = l.file.Write(append(line, '\n'))
	return err
}

// open makes l.file the current file: another tunnel may have rotated it, a
// person may have deleted it.
func (l *Log) open() error {
	path := Path(l.dir)
	if l.file != nil {
		full, same := l.look(path)
		if same && !full {
			return nil
		}
		if same {
			if err := l.rotate(path); err != nil {
				return err
			}
		}
		l.file.Close()
		l.file = nil
	}
	f, err := rundir.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	l.file = f
	return nil
}

// look reports whether the file that is open is still the one at path, and full.
func (l *Log) look(path string) (full, same bool) {
	ours, err := l.file.Stat()
	if err != nil {
		return false, false
	}
	there, err := os.Stat(path)
	return ours.Size() >= l.max, err == nil && os.SameFile(ours, there)
}

// rotate renames the files, unless another tunnel has just done so.
func (l *Log) rotate(path string) error {
	release, err := rundir.Lock(l.dir)
	if err != nil {
		return err
	}
	defer release()
	if _, same := l.look(path); !same {
		return nil
	}
	for n := kept; n > 0; n-- {
		older := path
		if n > 1 {
			older = rotated(path, n-1)
		}
		if err := os.Rename(older, rotated(path, n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

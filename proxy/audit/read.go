package audit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"

	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/proxy/status"
)

// Filter chooses entries; a zero field chooses all.
type Filter struct {
	// Run is a run's identity, or its beginning.
	Run string
	// Host is a host, with any port or the one it names.
	Host string
	// Since is when the first of them was made.
	Since time.Time
}

// Match reports whether an entry is wanted.
func (f Filter) Match(e status.Entry) bool {
	return strings.HasPrefix(e.Run, f.Run) && !e.TS.Before(f.Since) && (f.Host == "" || sameHost(f.Host, e.Host))
}

func sameHost(want, host string) bool {
	if strings.EqualFold(want, host) {
		return true
	}
	name, _, err := net.SplitHostPort(host)
	return err == nil && strings.EqualFold(strings.Trim(want, "[]"), name)
}

// pollInterval is how often a followed log is looked at.
const pollInterval = 200 * time.Millisecond

// Read hands the log's wanted entries to each, oldest first. With follow it goes
// on with those to come until ctx ends. A log that is not there is empty.
func Read(ctx context.Context, path string, filter Filter, follow bool, each func(status.Entry) error) error {
	r := &reader{path: path, filter: filter, each: each}
	defer r.close()
	for n := kept; n > 0; n-- {
		if err := r.whole(rotated(path, n)); err != nil {
			return err
		}
	}
	for {
		if err := r.current(); err != nil || !follow {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pollInterval):
		}
	}
}

type reader struct {
	path   string
	filter Filter
	each   func(status.Entry) error
	file   *os.File
	lines  *bufio.Reader
	begun  []byte // a line that its writer has not ended yet
}

func (r *reader) close() {
	if r.file != nil {
		r.file.Close()
		r.file, r.begun = nil, nil
	}
}

// open is no error when the file is not there.
func (r *reader) open(path string) error {
	f, err := rundir.OpenFile(path, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	r.file, r.lines = f, bufio.NewReader(f)
	return nil
}

func (r *reader) whole(path string) error {
	if err := r.open(path); err != nil || r.file == nil {
		return err
	}
	defer r.close()
	return r.more()
}

// current reads on in the current file, and in its successor when it has been
// rotated away.
func (r *reader) current() error {
	if r.file == nil {
		if err := r.open(r.path); err != nil || r.file == nil {
			return err
		}
	}
	replaced := r.replaced() // asked first: what was written before that is still read
	if err := r.more(); err != nil || !replaced {
		return err
	}
	r.close()
	return r.current()
}

func (r *reader) replaced() bool {
	ours, err := r.file.Stat()
	if err != nil {
		return true
	}
	there, err := os.Stat(r.path)
	return err == nil && !os.SameFile(ours, there)
}

// more reads to the end of the file.
func (r *reader) more() error {
	for {
		part, err := r.lines.ReadBytes('\n')
		r.begun = append(r.begun, part...)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		line := bytes.TrimSpace(r.begun)
		r.begun = nil
		var e status.Entry
		if json.Unmarshal(line, &e) != nil {
			continue // cut short by a full disk
		}
		if r.filter.Match(e) {
			if err := r.each(e); err != nil {
				return err
			}
		}
	}
}

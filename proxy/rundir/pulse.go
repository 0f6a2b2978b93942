package rundir

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Pulse is a line beside an endpoint record, for shells: they look at it before
// every prompt with nothing but their builtins. It is there while the tunnel is,
// and holds the port, the time of the last failure in milliseconds, and the
// process, which tells when the tunnel has crashed.
type Pulse struct {
	port int

	mu   sync.Mutex
	file *os.File
}

// PulsePath is where the pulse of the tunnel with this key is.
func PulsePath(dir, key string) string { return filepath.Join(dir, "pulse-"+key) }

// StartPulse writes the pulse of a tunnel that has just come up.
func StartPulse(dir, key string, port int) (*Pulse, error) {
	p := &Pulse{port: port}
	path := PulsePath(dir, key)
	if err := WriteFile(path, p.line(time.Time{}), 0o600); err != nil {
		return nil, err
	}
	var err error
	p.file, err = os.OpenFile(path, os.O_WRONLY, 0)
	return p, err
}

// line is always as long, so that one write replaces another whole.
func (p *Pulse) line(failed time.Time) []byte {
	var at int64
	if !failed.IsZero() {
		at = failed.UnixMilli()
	}
	return fmt.Appendf(nil, "%d %013d %d\n", p.port, at, os.Getpid())
}

// Failed notes when the last failure was.
func (p *Pulse) Failed(at time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := p.file.WriteAt(p.line(at), 0)
	return err
}

// Stop removes the pulse, unless a successor has replaced it.
func (p *Pulse) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	own, err := p.file.Stat()
	if err == nil {
		if now, err := os.Lstat(p.file.Name()); err == nil && os.SameFile(own, now) {
			os.Remove(p.file.Name())
		}
	}
	p.file.Close()
}

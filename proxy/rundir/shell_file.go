package rundir

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/agentproxy/agentproxy/proxy/atomicfile"
)

// ShellFile is a line beside an endpoint record, for shells: they look at it before
// every prompt with nothing but their builtins. It is there while the tunnel is,
// and holds the port, the time of the last failure in milliseconds, and the
// process, which tells when the tunnel has crashed.
type ShellFile struct {
	port int

	mu   sync.Mutex
	file *os.File
}

// ShellFilePath is where the file of the tunnel with this key is.
func ShellFilePath(dir, key string) string { return filepath.Join(dir, shellFileName(key)) }

func shellFileName(key string) string { return "shell-state-" + key }

// NewShellFile writes the file of a tunnel that has just come up.
func NewShellFile(dir, key string, port int) (*ShellFile, error) {
	p := &ShellFile{port: port}
	path := ShellFilePath(dir, key)
	if err := atomicfile.Write(path, p.line(time.Time{}), 0o600); err != nil {
		return nil, err
	}
	var err error
	p.file, err = OpenFile(path, os.O_WRONLY, 0)
	return p, err
}

// line is always as long, so that one write replaces another whole.
func (p *ShellFile) line(failed time.Time) []byte {
	var at int64
	if !failed.IsZero() {
		at = failed.UnixMilli()
	}
	return fmt.Appendf(nil, "%d %013d %d\n", p.port, at, os.Getpid())
}

// Failed notes when the last failure was.
func (p *ShellFile) Failed(at time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := p.file.WriteAt(p.line(at), 0)
	return err
}

// Stop removes the file, unless a successor has replaced it.
func (p *ShellFile) Stop() {
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

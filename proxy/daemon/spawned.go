package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"golang.org/x/sys/unix"
)

// Spawned is what the process does that attach has spawned: it reads a
// contract.Start from stdin, to which complete adds the rest, serves, and reports
// readiness or its error on the pipe.
func Spawned(complete func(*Options)) error {
	word := os.NewFile(contract.ReadyFD, "ready")
	if word == nil {
		return errors.New("this command is for agentproxy itself")
	}
	syscall.CloseOnExec(contract.ReadyFD)
	syscall.Umask(0o077)
	var o Options
	if err := json.NewDecoder(os.Stdin).Decode(&o.Start); err != nil {
		return fmt.Errorf("read options: %w", err)
	}
	complete(&o)
	o.Log = slog.New(slog.NewJSONHandler(&ownLog{path: rundir.LogPath(o.Dir, o.Key), file: os.Stderr}, nil))
	o.Ready = func(*rundir.Record) {
		io.WriteString(word, contract.Ready)
		word.Close()
	}
	// net/http's words about what origins do belong into no log of ours.
	stdlog.SetOutput(io.Discard)
	// A terminal's signals do not reach a session of its own; HUP may be sent.
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	o.HangUp = true
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	err := Run(ctx, o)
	if err != nil {
		fmt.Fprintln(word, err)
		o.Log.Error("failed", "error", err.Error())
	}
	return err
}

// ownLog is the daemon's log, which is its standard error: when that is full it is
// put aside, and a new one takes its place, for a panic's trace as well. Nobody
// else writes it.
type ownLog struct {
	path string
	file *os.File

	mu sync.Mutex
}

func (l *ownLog) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if info, err := l.file.Stat(); err == nil && info.Size() > rundir.MaxLog {
		if next, err := rundir.OpenLog(l.path); err == nil {
			// The descriptor stays; what it leads to is another file (dup2(2)).
			unix.Dup2(int(next.Fd()), int(l.file.Fd()))
			next.Close()
		}
	}
	return l.file.Write(line)
}

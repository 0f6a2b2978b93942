package attach

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/agentproxy/agentproxy/proxy/daemon"
	"github.com/agentproxy/agentproxy/proxy/rundir"
)

// SpawnedCommand is the hidden command by which the binary becomes a daemon.
const SpawnedCommand = "__daemon"

const (
	readyTimeout = 10 * time.Second
	readyFD      = 3
	readyWord    = "ready\n"
	maxLog       = 4 << 20
)

// daemonEnv is what a daemon inherits. It outlives the run that starts it and
// serves others, so it must not keep that run's settings, least of all its
// secrets.
var daemonEnv = []string{"HOME", "USER", "LOGNAME", "PATH", "LANG", "TMPDIR", "XDG_STATE_HOME", "XDG_RUNTIME_DIR",
	"XDG_CONFIG_HOME", "SSL_CERT_FILE", "RES_OPTIONS", "LOCALDOMAIN", "GODEBUG", "GOMEMLIMIT", "GOCOVERDIR"}

// spawn starts a detached daemon and waits for its word on a pipe.
func spawn(ctx context.Context, o daemon.Options) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	logPath := rundir.LogPath(o.Dir, o.Key)
	log, err := openLog(logPath)
	if err != nil {
		return err
	}
	defer log.Close()
	ready, word, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	options, err := json.Marshal(o)
	if err != nil {
		return err
	}
	cmd := exec.Command(self, SpawnedCommand)
	cmd.Args[0] = "agentproxy"
	cmd.Dir = "/"
	cmd.Stdin = strings.NewReader(string(options))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{word}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Env = []string{}
	for _, name := range daemonEnv {
		if value, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	if err := cmd.Start(); err != nil {
		word.Close()
		return fmt.Errorf("start the tunnel: %w", err)
	}
	word.Close()
	go cmd.Wait() // reaps it if it dies while we live
	stop := context.AfterFunc(ctx, func() { ready.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	ready.SetReadDeadline(time.Now().Add(readyTimeout))
	said, err := io.ReadAll(ready)
	if string(said) == readyWord {
		return nil
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		cmd.Process.Kill()
		return startError(logPath, fmt.Sprintf("the tunnel was not ready after %s", readyTimeout))
	}
	if message := strings.TrimSpace(string(said)); message != "" {
		return errors.New("the tunnel did not start: " + message)
	}
	return startError(logPath, "the tunnel died while starting")
}

func startError(logPath, what string) error {
	if tail := rundir.LogTail(logPath, 10); tail != "" {
		return fmt.Errorf("%s; its log %s ends:\n%s", what, logPath, tail)
	}
	return fmt.Errorf("%s, and its log %s is empty", what, logPath)
}

func openLog(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}

// BecomeDaemon is what the spawned process does: it reads its options from
// stdin, which complete may add to, serves, and reports readiness or its error
// on the pipe.
func BecomeDaemon(complete func(*daemon.Options)) error {
	word := os.NewFile(readyFD, "ready")
	if word == nil {
		return errors.New("this command is for agentproxy itself")
	}
	syscall.CloseOnExec(readyFD)
	syscall.Umask(0o077)
	var o daemon.Options
	if err := json.NewDecoder(os.Stdin).Decode(&o); err != nil {
		return fmt.Errorf("read options: %w", err)
	}
	complete(&o)
	o.Log = slog.New(slog.NewJSONHandler(os.Stderr, nil))
	o.Ready = func(*rundir.Record) {
		io.WriteString(word, readyWord)
		word.Close()
	}
	// A terminal's signals do not reach a session of its own; HUP may be sent.
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	err := daemon.Run(ctx, o)
	if err != nil {
		fmt.Fprintln(word, err)
		o.Log.Error("failed", "error", err.Error())
	}
	return err
}

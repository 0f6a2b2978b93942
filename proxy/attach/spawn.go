package attach

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/rundir"
)

// readyTimeout is how long a daemon may take to be ready.
const readyTimeout = 10 * time.Second

// daemonEnv is what a daemon inherits. It outlives the run that starts it and
// serves others, so it must not keep that run's settings, least of all its
// secrets.
var daemonEnv = []string{"HOME", "USER", "LOGNAME", "PATH", "LANG", "TMPDIR", "XDG_STATE_HOME", "XDG_RUNTIME_DIR",
	"XDG_CONFIG_HOME", "SSL_CERT_FILE", "RES_OPTIONS", "LOCALDOMAIN", "GODEBUG", "GOMEMLIMIT", "GOCOVERDIR"}

// spawn starts a detached daemon and waits for its word on a pipe.
func spawn(ctx context.Context, o contract.Start, getenv func(string) string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	logPath := rundir.LogPath(o.Dir, o.Key)
	log, err := rundir.OpenLog(logPath)
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
	cmd := exec.Command(self, contract.SpawnedCommand)
	cmd.Args[0] = "agentproxy"
	cmd.Dir = "/"
	cmd.Stdin = strings.NewReader(string(options))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{word}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Env = []string{}
	for _, name := range daemonEnv {
		if value := getenv(name); value != "" {
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
	if string(said) == contract.Ready {
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

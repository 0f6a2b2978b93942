package attach

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/daemon"
	"github.com/agentproxy/agentproxy/proxy/peer"
)

// limit is how long a test waits for what must come: it is no measure.
const limit = 20 * time.Second

// How a spawned process misbehaves, by a variable that daemons inherit.
const (
	moodVariable = "LANG"
	dies         = "agentproxy-test-dies"
	sleeps       = "agentproxy-test-sleeps"
)

// TestMain lets the test binary be the daemon that attach spawns.
func TestMain(m *testing.M) {
	if len(os.Args) != 2 || os.Args[1] != contract.SpawnedCommand {
		os.Exit(m.Run())
	}
	switch os.Getenv(moodVariable) {
	case dies:
		fmt.Fprintln(os.Stderr, "last words")
		os.Exit(1)
	case sleeps:
		time.Sleep(limit)
		os.Exit(1)
	}
	if daemon.Spawned(func(*daemon.Options) {}) != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// environment is what a command's says.
type environment map[string]string

func (e environment) get(name string) string { return e[name] }

// with is the environment with more variables.
func (e environment) with(pairs ...string) environment {
	more := environment{}
	for name, value := range e {
		more[name] = value
	}
	for i := 0; i < len(pairs); i += 2 {
		more[pairs[i]] = pairs[i+1]
	}
	return more
}

// place is an environment with a state directory of its own. Whatever runs there in
// the end is stopped.
func place(t *testing.T) environment {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	e := environment{"AGENT_PROXY_STATE_DIR": dir, "HOME": filepath.Dir(dir)}
	if testing.CoverMode() != "" { // else a daemon speaks of it
		e["GOCOVERDIR"] = filepath.Dir(dir)
	}
	t.Cleanup(func() {
		all, err := All(context.Background(), e.get) // the test's context has ended
		if err != nil && !t.Failed() {
			t.Error(err)
		}
		for _, tunnel := range all {
			exit := peer.WatchExit(tunnel.Record.PID)
			syscall.Kill(tunnel.Record.PID, syscall.SIGKILL)
			exit.Wait(limit) // it writes nothing into the directory any more
			exit.Close()
		}
	})
	return e
}

func (e environment) options(change ...func(*config.Config)) Options {
	c := &config.Config{}
	for _, f := range change {
		f(c)
	}
	return Options{Config: c, Getenv: e.get, Version: "test"}
}

// up is the tunnel for the options, which this call must have started.
func up(t *testing.T, o Options) *Tunnel {
	t.Helper()
	tunnel, err := Attach(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if !tunnel.Started {
		t.Fatal("it ran already")
	}
	return tunnel
}

// crash kills a tunnel's process and waits until its port is closed.
func crash(t *testing.T, tunnel *Tunnel) {
	t.Helper()
	if err := syscall.Kill(tunnel.Record.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the port stays open", func() bool { return !tunnel.alive(t.Context()) })
}

func deny(host string) func(*config.Config) {
	return func(c *config.Config) { c.Policy.Deny = append(c.Policy.Deny, host) }
}

func upstream(url string) func(*config.Config) {
	return func(c *config.Config) { c.Egress.Upstream = url }
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

// listener is a port that somebody else has.
func listener(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

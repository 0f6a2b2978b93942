package attach

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/proxy/status"
)

// A tunnel is started once, found again by the same wishes and by no others, and
// gone when it has been told to leave.
func TestATunnelIsStartedFoundAndStopped(t *testing.T) {
	t.Parallel()
	o := place(t).options()
	if _, err := Find(t.Context(), o); !errors.Is(err, ErrNone) {
		t.Fatalf("error %v before there is one", err)
	}
	tunnel := up(t, o)
	if tunnel.Dir != o.Getenv("AGENT_PROXY_STATE_DIR") || tunnel.URL() != fmt.Sprintf("http://127.0.0.1:%d", tunnel.Record.Port) {
		t.Errorf("%+v", tunnel)
	}
	again, err := Attach(t.Context(), o)
	if err != nil || again.Started || again.Record.PID != tunnel.Record.PID {
		t.Errorf("again: %+v, error %v", again, err)
	}
	for name, other := range map[string]Options{
		"build":         {Config: o.Config, Getenv: o.Getenv, Version: "other"},
		"configuration": {Config: &config.Config{Policy: config.Policy{Default: "deny"}}, Getenv: o.Getenv, Version: o.Version},
	} {
		if found, err := Find(t.Context(), other); !errors.Is(err, ErrNone) {
			t.Errorf("with another %s: %+v, error %v", name, found, err)
		}
	}
	if all, err := All(t.Context(), o.Getenv); err != nil || len(all) != 1 || all[0].Record.PID != tunnel.Record.PID {
		t.Errorf("all: %+v, error %v", all, err)
	}
	if doc, err := tunnel.Status(t.Context()); err != nil || doc.PID != tunnel.Record.PID || doc.Version != "test" {
		t.Errorf("%+v, error %v", doc, err)
	}
	if err := tunnel.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(t.Context(), o); !errors.Is(err, ErrNone) {
		t.Errorf("error %v after its end", err)
	}
	if all, err := All(t.Context(), o.Getenv); err != nil || len(all) != 0 {
		t.Errorf("all: %+v, error %v", all, err)
	}
	if tunnel.Stop(t.Context()) == nil {
		t.Error("what has left can be stopped")
	}
	if _, err := tunnel.Status(t.Context()); err == nil {
		t.Error("what has left has a status")
	}
}

// Commands that start at once share one tunnel.
func TestStartersShareOneTunnel(t *testing.T) {
	t.Parallel()
	o := place(t).options()
	tunnels := make([]*Tunnel, 5)
	var wg sync.WaitGroup
	for i := range tunnels {
		wg.Go(func() {
			var err error
			if tunnels[i], err = Attach(t.Context(), o); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	started := 0
	for _, tunnel := range tunnels {
		if t.Failed() || tunnel.Record.PID != tunnels[0].Record.PID {
			t.Fatalf("%+v", tunnel)
		}
		if tunnel.Started {
			started++
		}
	}
	if started != 1 {
		t.Errorf("%d were started", started)
	}
}

// A run has its evidence, and is attached until it is closed.
func TestARunAndItsEvidence(t *testing.T) {
	t.Parallel()
	o := place(t).options(deny("evil.example"))
	tunnel, run, err := Acquire(t.Context(), o, "mine")
	if err != nil || !tunnel.Started {
		t.Fatalf("%+v, error %v", tunnel, err)
	}
	shared, other, err := Acquire(t.Context(), o, "other")
	if err != nil || shared.Record.PID != tunnel.Record.PID || shared.Started {
		t.Fatalf("%+v, error %v", shared, err)
	}
	runs := func() int {
		doc, err := tunnel.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return doc.Runs
	}
	if n := runs(); n != 2 {
		t.Errorf("%d runs", n)
	}
	other.Close()
	eventually(t, "a closed run stays attached", func() bool { return runs() == 1 })
	host := contract.CanaryHost("mine") + ":443"
	for _, target := range []string{host, "evil.example:443"} {
		if err := tunnel.Probe(t.Context(), target); err != nil {
			t.Errorf("%s: %v", target, err)
		}
	}
	seen, err := run.Evidence(t.Context())
	refused := func(f *status.Failure) bool {
		return f.Kind == status.PolicyDenied && f.Host == "evil.example:443" && f.Run == "mine"
	}
	if err != nil || len(seen.Hosts) != 1 || seen.Hosts[0].Host != host || !slices.ContainsFunc(seen.Failures, refused) {
		t.Errorf("%+v, error %v", seen, err)
	}
	if trial, err := tunnel.Trial(t.Context(), "mine"); err != nil || trial.Connects != 1 {
		t.Errorf("%+v, error %v", trial, err)
	}
	run.Close()
	eventually(t, "a closed run stays attached", func() bool { return runs() == 0 })
}

// A run whose tunnel crashes gets another on the same port, since its command goes
// on pointing there, and is attached to that.
func TestARunRepairsItsTunnel(t *testing.T) {
	t.Parallel()
	o := place(t).options()
	tunnel, run, err := Acquire(t.Context(), o, "mine")
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	for range 2 {
		crash(t, tunnel)
		dead := tunnel.Record.PID
		eventually(t, "there is no successor", func() bool {
			found, err := Find(t.Context(), o)
			if err != nil || found.Record.PID == dead {
				return false
			}
			doc, err := found.Status(t.Context())
			if err != nil || doc.Runs != 1 {
				return false
			}
			if found.Record.Port != tunnel.Record.Port {
				t.Errorf("it is on port %d, not %d", found.Record.Port, tunnel.Record.Port)
			}
			tunnel = found
			return true
		})
	}
	if err := tunnel.Probe(t.Context(), contract.CanaryHost("x")+":443"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the run does not ask the successor", func() bool {
		seen, err := run.Evidence(t.Context())
		return err == nil && len(seen.Hosts) == 1
	})
}

// A run whose tunnel leaves on purpose starts no other.
func TestARunLetsAStoppedTunnelGo(t *testing.T) {
	t.Parallel()
	o := place(t).options()
	tunnel, run, err := Acquire(t.Context(), o, "mine")
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	if err := tunnel.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond) // a successor would be up
	if all, err := All(t.Context(), o.Getenv); err != nil || len(all) != 0 {
		t.Errorf("%+v, error %v", all, err)
	}
	if _, err := run.Evidence(t.Context()); err == nil {
		t.Error("a tunnel that has left gives evidence")
	}
}

// A crashed tunnel's port is taken up by the next one, also where nobody repairs it.
func TestACrashedTunnelsPortIsTakenUp(t *testing.T) {
	t.Parallel()
	e := place(t)
	tunnel := up(t, e.options())
	crash(t, tunnel)
	second := up(t, e.options())
	if second.Record.Port != tunnel.Record.Port || second.Record.PID == tunnel.Record.PID {
		t.Errorf("%+v after %+v", second.Record, tunnel.Record)
	}
	crash(t, second)
	// An environment that points there is not led through the dead one.
	third := up(t, e.with("HTTPS_PROXY", tunnel.URL()).options(deny("evil.example")))
	if third.Record.Port != tunnel.Record.Port || third.Record.Upstream != "" {
		t.Errorf("%+v", third.Record)
	}
}

// Whoever has taken over a dead tunnel's port is not believed: it cannot prove that
// it wrote the record.
func TestAnImpostorIsNotTheTunnel(t *testing.T) {
	t.Parallel()
	e := place(t)
	w, err := resolve(t.Context(), e.options())
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan http.Header, 10)
	impostor := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		asked <- r.Header
		rw.Header().Set(contract.ProofHeader, r.Header.Get(contract.ProofHeader)) // sent back
	}))
	defer impostor.Close()
	r := &rundir.Record{Key: w.key, Settings: w.settings, PID: os.Getpid(), Port: impostor.Listener.Addr().(*net.TCPAddr).Port, Secret: "the secret of the record", Version: "test"}
	if err := r.Write(e.get("AGENT_PROXY_STATE_DIR")); err != nil {
		t.Fatal(err)
	}
	if found, err := Find(t.Context(), e.options()); !errors.Is(err, ErrNone) {
		t.Errorf("%+v, error %v", found, err)
	}
	for name, values := range <-asked {
		if strings.Contains(strings.Join(values, ""), r.Secret) {
			t.Errorf("the secret is in %s", name)
		}
	}
	_, _, err = (&Tunnel{Record: r}).call(t.Context(), http.MethodGet, contract.RunPath)
	if err == nil || !strings.Contains(err.Error(), "is not the tunnel of the record") {
		t.Errorf("error %v", err)
	}
	tunnel, run, err := Acquire(t.Context(), e.options(), "mine")
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	if !tunnel.Started || tunnel.Record.Port == r.Port {
		t.Errorf("%+v", tunnel.Record)
	}
}

// A tunnel that refuses what it is asked, and one that is not there, are errors that
// say so.
func TestCallsThatFail(t *testing.T) {
	t.Parallel()
	tunnel := up(t, place(t).options())
	if _, _, err := tunnel.call(t.Context(), http.MethodPost, contract.RunPath); err == nil || !strings.Contains(err.Error(), "the tunnel answered 400") {
		t.Errorf("error %v", err)
	}
	if doc, err := fetchStatus(t.Context(), tunnel.URL()+"/nothing"); err == nil || !strings.Contains(err.Error(), "404") && !strings.Contains(err.Error(), "405") {
		t.Errorf("%+v, error %v", doc, err)
	}
	gone := &Tunnel{Record: &rundir.Record{Port: 1, Secret: "s"}}
	if _, err := gone.Trial(t.Context(), "x"); err == nil {
		t.Error("no error of a tunnel that is not there")
	}
	if err := gone.Probe(t.Context(), "a.example:443"); err == nil {
		t.Error("no error of a tunnel that is not there")
	}
	if _, err := gone.inherited(t.Context()); err == nil {
		t.Error("no error of a tunnel that is not there")
	}
}

// A daemon that cannot serve is an error in its own words, and leaves nothing behind.
func TestADaemonThatCannotServe(t *testing.T) {
	t.Parallel()
	taken := listener(t).Addr().(*net.TCPAddr).Port
	o := place(t).options(func(c *config.Config) { c.Front.Port = taken })
	if _, err := Attach(t.Context(), o); err == nil || !strings.HasPrefix(err.Error(), "the tunnel did not start: ") || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("error %v", err)
	}
	if _, run, err := Acquire(t.Context(), o, "mine"); err == nil {
		run.Close()
		t.Error("a run was attached to nothing")
	}
	if all := rundir.ReadAll(o.Getenv("AGENT_PROXY_STATE_DIR")); len(all) != 0 {
		t.Errorf("%+v", all)
	}
}

// A daemon that dies without a word, or says none, is an error with the end of its
// log.
func TestADaemonThatDies(t *testing.T) {
	e := place(t)
	o := e.with(moodVariable, dies).options()
	if _, err := Attach(t.Context(), o); err == nil || !strings.HasPrefix(err.Error(), "the tunnel died while starting; its log ") || !strings.HasSuffix(err.Error(), "last words") {
		t.Errorf("error %v", err)
	}
	o = e.with(moodVariable, sleeps).options()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Attach(ctx, o); err == nil || !strings.HasPrefix(err.Error(), "the tunnel was not ready") {
		t.Errorf("error %v", err)
	}
	up(t, e.options()) // and the next one comes up
}

// A daemon keeps nothing of the environment of the run that started it but what it
// needs: it serves others.
func TestADaemonKeepsNoSecrets(t *testing.T) {
	t.Setenv("MY_TOKEN", "a secret of the run's")
	t.Setenv("HTTPS_PROXY", "http://user:secret@proxy.example")
	tunnel := up(t, place(t).options())
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", tunnel.Record.PID))
	if errors.Is(err, os.ErrNotExist) {
		raw, err = nil, nil // no Linux: what is spawned is the same
	}
	if err != nil || strings.Contains(string(raw), "secret") {
		t.Errorf("%q, error %v", raw, err)
	}
	for _, name := range daemonEnv {
		if strings.Contains(strings.ToUpper(name), "PROXY") || strings.Contains(name, "TOKEN") {
			t.Errorf("daemons inherit %s", name)
		}
	}
}

// What is not as one would expect is said when a tunnel is started.
func TestNotices(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	state, runtime := filepath.Join(base, "state"), filepath.Join(base, "run")
	wanted := filepath.Join(state, "agentproxy")
	for dir, mode := range map[string]os.FileMode{wanted: 0o755, filepath.Join(runtime, "agentproxy"): 0o700} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
	}
	e := place(t).with("AGENT_PROXY_STATE_DIR", "", "XDG_STATE_HOME", state, "XDG_RUNTIME_DIR", runtime, "http_proxy", "user:secret@proxy.example:3128")
	tunnel := up(t, e.options())
	defer tunnel.Stop(t.Context())
	all := strings.Join(tunnel.Notices, "\n")
	for _, want := range []string{wanted + " cannot be used (has mode 0755, which lets others in; fix it with: chmod 0700 " + wanted + ")", "http_proxy names the proxy http://proxy.example:3128", "HTTPS_PROXY"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not said in\n%s", want, all)
		}
	}
	if strings.Contains(all, "secret") || strings.Count(all, wanted+" ") != 1 {
		t.Errorf("said:\n%s", all)
	}
	if tunnel.Dir != filepath.Join(runtime, "agentproxy") {
		t.Errorf("its state is in %s", tunnel.Dir)
	}
}

// A starter is told once that it takes long, and is not when it does not.
func TestProgress(t *testing.T) {
	o := place(t).with(moodVariable, sleeps).options()
	told := make(chan struct{}, 10)
	ctx, cancel := context.WithCancel(t.Context())
	o.Progress = func() { told <- struct{}{}; cancel() }
	if _, err := Attach(ctx, o); err == nil {
		t.Error("no error")
	}
	if len(told) != 1 {
		t.Errorf("told %d times", len(told))
	}
}

// Two builds of one version are told apart, and one is always the same.
func TestBuild(t *testing.T) {
	t.Parallel()
	a := Build("1.0")
	if a != Build("1.0") || !strings.HasPrefix(a, "1.0+") || a == Build("1.1") {
		t.Errorf("%s and %s", a, Build("1.1"))
	}
}

// What a daemon would be started with is known without starting one.
func TestWantedStartsNothing(t *testing.T) {
	t.Parallel()
	o := place(t).options(deny("evil.example"))
	start, err := Wanted(t.Context(), o)
	if err != nil || start.Key == "" || start.Settings == "" || start.Version != "test" || !slices.Equal(start.Config.Policy.Deny, []string{"evil.example"}) || start.Gate {
		t.Errorf("%+v, error %v", start, err)
	}
	if entries, err := os.ReadDir(o.Getenv("AGENT_PROXY_STATE_DIR")); err != nil || len(entries) != 0 {
		t.Errorf("%v, error %v", entries, err)
	}
}

package daemon

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/proxy/status"
)

// A run is attached for as long as its connection lasts.
func TestRunsComeAndGo(t *testing.T) {
	t.Parallel()
	d := start(t)
	one, two := d.attach(t, "one", os.Getpid()), d.attach(t, "two", os.Getpid())
	if n := d.document(t).Runs; n != 2 {
		t.Errorf("%d runs", n)
	}
	one.Close()
	eventually(t, "a run that has gone is still attached", func() bool { return d.document(t).Runs == 1 })
	two.Close()
	eventually(t, "a run that has gone is still attached", func() bool { return d.document(t).Runs == 0 })
}

// What the tunnel has seen of its only run is that run's: hosts, each with its
// count, and failures with the process.
func TestEvidenceOfTheOnlyRun(t *testing.T) {
	t.Parallel()
	d := start(t, func(o *Options) { o.Config.Policy.Deny = []string{"evil.example"} })
	defer d.attach(t, "only", os.Getpid()).Close()
	host := contract.CanaryHost("x")
	for range 2 {
		get(t, d.client(t), "https://"+host+"/")
	}
	d.connect(t, "evil.example:443")
	seen := d.evidence(t, "only")
	if len(seen.Hosts) != 1 || seen.Hosts[0].Host != host+":443" || seen.Hosts[0].Opened != 2 || seen.Hosts[0].Last.Before(seen.Hosts[0].First.Time) {
		t.Errorf("hosts %+v", seen.Hosts)
	}
	if len(seen.Failures) != 1 || seen.Failures[0].Kind != status.PolicyDenied || seen.Failures[0].Run != "only" || seen.Failures[0].Host != "evil.example:443" {
		t.Errorf("failures %+v", seen.Failures)
	}
	if other := d.evidence(t, "other"); !other.Silent() {
		t.Errorf("another's: %+v", other)
	}
}

// A tunnel that leaves on purpose says so to its runs, which then start no
// successor; whoever comes too late is told.
func TestStopSaysStopped(t *testing.T) {
	t.Parallel()
	d := start(t)
	run := d.attach(t, "one", os.Getpid())
	d.ask(t, rundir.RoleClient, http.MethodPost, contract.StopPath, nil)
	if said, err := io.ReadAll(run); err != nil || string(said) != contract.Stopped {
		t.Errorf("%q, error %v", said, err)
	}
	d.leaves(t)
}

// A daemon that nobody needs leaves; one that a run, a tunnel or a shell needs
// stays until they have ended.
func TestIdleExit(t *testing.T) {
	t.Parallel()
	const idle = 100 * time.Millisecond
	for name, hold := range map[string]func(t *testing.T, d *running) (release func()){
		"nobody": func(*testing.T, *running) func() { return func() {} },
		"a run": func(t *testing.T, d *running) func() {
			run := d.attach(t, "one", os.Getpid())
			return func() { run.Close() }
		},
		"a tunnel": func(t *testing.T, d *running) func() {
			c, res, _ := d.connect(t, contract.CanaryHost("x")+":443")
			if res.StatusCode != http.StatusOK {
				t.Fatal(res.Status)
			}
			return func() { c.Close() }
		},
		"a shell": func(t *testing.T, d *running) func() {
			if err := rundir.KeepFor(d.dir, "key", os.Getpid()); err != nil {
				t.Fatal(err)
			}
			return func() { rundir.ForgetShells(d.dir, "key") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options(t)
			o.Config.Front.IdleExit = idle.String()
			// Its end is no sooner than the hold: a run that comes late holds nothing.
			if name != "nobody" {
				if err := rundir.KeepFor(o.Dir, "key", os.Getpid()); err != nil {
					t.Fatal(err)
				}
			}
			d, err := launch(t, o)
			if err != nil {
				t.Fatal(err)
			}
			release := hold(t, d)
			if name != "nobody" {
				if name != "a shell" {
					rundir.ForgetShells(d.dir, "key")
				}
				select {
				case <-d.done:
					t.Error("it left although it was needed")
				case <-time.After(3 * idle):
				}
			}
			release()
			d.leaves(t)
			if !strings.Contains(d.log.String(), "idle for 100ms") {
				t.Errorf("the log does not say why: %s", d.log)
			}
		})
	}
}

// A tunnel that was started to stay does, and says that it has no idle time.
func TestStay(t *testing.T) {
	t.Parallel()
	d := start(t, func(o *Options) { o.Stay, o.Config.Front.IdleExit = true, "50ms" })
	select {
	case <-d.done:
		t.Fatal("it left")
	case <-time.After(200 * time.Millisecond):
	}
	if doc := d.document(t); doc.IdleExit != "" {
		t.Errorf("idle exit %q", doc.IdleExit)
	}
}

// A tunnel whose record has gone is found by nobody any more, and leaves, whoever
// holds a shell open.
func TestLeavesWhenTheRecordHasGone(t *testing.T) {
	t.Parallel()
	d := start(t, func(o *Options) { o.Config.Front.IdleExit = "500ms" })
	if err := rundir.KeepFor(d.dir, "key", os.Getpid()); err != nil {
		t.Fatal(err)
	}
	d.Remove()
	d.leaves(t)
	if !strings.Contains(d.log.String(), "the endpoint record has gone") {
		t.Errorf("%s", d.log)
	}
}

// A run that comes when the daemon has decided to leave is refused, so that it
// starts another; a daemon with a run does not decide so.
func TestNoRunIsLetInAtTheEnd(t *testing.T) {
	t.Parallel()
	rs := newRuns()
	if !rs.attach("one", 1, true) || rs.closeIfNone() || !rs.attach("two", 2, true) {
		t.Fatal("a daemon with a run is closed to others")
	}
	rs.detach("one")
	rs.detach("two")
	if rs.lastEnd().IsZero() || !rs.closeIfNone() || rs.attach("three", 3, true) {
		t.Error("a run was let in after the end")
	}
	d := &daemon{runs: rs}
	w := &recorder{header: http.Header{}}
	r, err := http.NewRequest(http.MethodPost, contract.RunPath+"?"+url.Values{"id": {"x"}, "pid": {"1"}}.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if d.serveRun(w, r); w.code != http.StatusServiceUnavailable {
		t.Errorf("code %d", w.code)
	}
}

// recorder is a response without a server.
type recorder struct {
	header http.Header
	code   int
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) Write(b []byte) (int, error) { return len(b), nil }
func (r *recorder) WriteHeader(code int)        { r.code = code }

// What is remembered is bounded, the newest of failures and the first of hosts.
func TestWhatIsRememberedIsBounded(t *testing.T) {
	t.Parallel()
	rs := newRuns()
	rs.attach("one", 1, true)
	for i := range 2 * keptHosts {
		rs.opened("one", fmt.Sprintf("%d.example:443", i))
		rs.record(&status.Failure{Host: fmt.Sprintf("%d.example:443", i), Run: "one"})
	}
	seen := rs.evidence("one")
	if len(seen.Hosts) != keptHosts || seen.Hosts[0].Host != "0.example:443" {
		t.Errorf("%d hosts, first %+v", len(seen.Hosts), seen.Hosts[0])
	}
	newest := fmt.Sprintf("%d.example:443", 2*keptHosts-1)
	for name, list := range map[string][]*status.Failure{"the run's": seen.Failures, "all": rs.recent()} {
		if len(list) != keptFailures || list[len(list)-1].Host != newest {
			t.Errorf("%s: %d failures, newest %s", name, len(list), list[len(list)-1].Host)
		}
	}
	rs.opened("one", "0.example:443")
	if again := rs.evidence("one").Hosts[0]; again.Opened != 2 {
		t.Errorf("%+v", again)
	}
}

// A tunnel whose client has gone may have been any run's: none of them is said to
// have been silent.
func TestUnattributedTunnelsCountForAll(t *testing.T) {
	t.Parallel()
	rs := newRuns()
	rs.attach("one", 1, true)
	rs.attach("two", 2, true)
	rs.opened("", "a.example:443")
	for _, id := range []string{"one", "two"} {
		if seen := rs.evidence(id); seen.Silent() || seen.Unattributed != 1 || len(seen.Hosts) != 0 {
			t.Errorf("%s: %+v", id, seen)
		}
	}
	if rs.only() != "" {
		t.Error("one of two is the only one")
	}
}

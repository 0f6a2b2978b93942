package daemon

import (
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agentproxy/agentproxy/proxy/audit"
	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/page"
	"github.com/agentproxy/agentproxy/proxy/peer"
	"github.com/agentproxy/agentproxy/proxy/proxytest/leftout"
	"github.com/agentproxy/agentproxy/proxy/proxytest/tcp"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/proxy/status"
	"golang.org/x/sys/unix"
)

// nobodys is a number that no process can have.
const nobodys = 1 << 30

// Of several runs each sees its own: by the process that holds the client's socket,
// and its ancestors.
func TestEachRunSeesItsOwn(t *testing.T) {
	t.Parallel()
	d := start(t, func(o *Options) { o.Config.Policy.Deny = []string{"evil.example"} })
	defer d.attach(t, "ours", os.Getppid()).Close() // go test, or a shell, above us
	defer d.attach(t, "other", nobodys).Close()
	host := contract.CanaryHost("x") + ":443"
	// The tunnel stays open: whose it is may be found out while it is used.
	if _, res, _ := d.connect(t, host); res.StatusCode != http.StatusOK {
		t.Fatal(res.Status)
	}
	d.connect(t, "evil.example:443")
	eventually(t, "the tunnel is nobody's", func() bool { return len(d.evidence(t, "ours").Hosts) == 1 })
	seen := d.evidence(t, "ours")
	if seen.Hosts[0].Host != host || seen.Unattributed != 0 {
		t.Errorf("%+v", seen)
	}
	if len(seen.Failures) != 1 || seen.Failures[0].PID != os.Getpid() || seen.Failures[0].Process == "" {
		t.Errorf("%+v", seen.Failures)
	}
	if other := d.evidence(t, "other"); !other.Silent() {
		t.Errorf("another run's: %+v", other)
	}
}

// A client that belongs to none of several runs is none's: it is kept apart from
// their evidence, with its process.
func TestClientsOfNoRun(t *testing.T) {
	t.Parallel()
	d := start(t, func(o *Options) { o.Config.Policy.Deny = []string{"evil.example"} })
	for _, id := range []string{"one", "two"} {
		defer d.attach(t, id, nobodys).Close()
	}
	d.connect(t, "evil.example:443")
	for _, id := range []string{"one", "two"} {
		if seen := d.evidence(t, id); !seen.Silent() {
			t.Errorf("%s: %+v", id, seen)
		}
	}
	if f := d.document(t).RecentRelayFailures; len(f) != 1 || f[0].Run != "" || f[0].PID != os.Getpid() {
		t.Errorf("%+v", f)
	}
}

// A process is of the run that its environment names, wherever it stands in the
// tree: sudo and double forks leave no ancestors.
func TestOwnerByTheVariable(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, contract.SpawnedCommand) // it waits for its options
	id := strings.Repeat("a", guessless)
	cmd.Env = []string{contract.RunVariable + "=" + id}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Close()
	pid := cmd.Process.Pid
	eventually(t, "its environment cannot be read", func() bool { return strings.Contains(peer.Environ(pid), id) })
	rs := newRuns()
	rs.attach("parent", os.Getpid(), true)
	if got := rs.owner(pid); got != id {
		t.Errorf("owner %q", got)
	}
	if rs.givenTo(pid) {
		t.Error("a run that is not attached has given something away")
	}
	rs.attach(id, nobodys, true)
	if !rs.givenTo(pid) || rs.givenTo(nobodys) {
		t.Error("who has been given the identity of a run is not told from who has not")
	}
	short := newRuns()
	short.attach("aaaa", nobodys, true)
	if short.givenTo(pid) {
		t.Error("an identity that can be guessed lets others in")
	}
}

// dialAs connects as another user. A socket belongs to the user of its thread's file
// system accesses (credentials(7)), which root may choose.
func dialAs(t *testing.T, uid int, address string) net.Conn {
	t.Helper()
	type result struct {
		c   net.Conn
		err error
	}
	got := make(chan result)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its user
		if _, _, errno := unix.RawSyscall(unix.SYS_SETFSUID, uintptr(uid), 0, 0); errno != 0 {
			got <- result{nil, errno}
			return
		}
		c, err := net.Dial("tcp4", address)
		got <- result{c, err}
	}()
	r := <-got
	if r.err != nil {
		t.Fatal(r.err)
	}
	t.Cleanup(func() { r.c.Close() })
	return r.c
}

// Other users are refused, with words that help them; of many refusals few are
// recorded, and none tells shells or runs that something is wrong with theirs.
func TestOtherUsersAreRefused(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		leftout.Note(t, "another user's connection: only root can make one")
		return
	}
	const other = 4242
	d := start(t)
	defer d.attach(t, "ours", os.Getpid()).Close()
	for range 5 {
		_, res, body := connectOn(t, dialAs(t, other, d.address()), contract.CanaryHost("x")+":443")
		if res.StatusCode != http.StatusForbidden || !strings.Contains(body, "you are user 4242") || !strings.Contains(body, "agentproxy up") {
			t.Errorf("%s, %q", res.Status, body)
		}
	}
	eventually(t, "no refusal is recorded", func() bool { return len(d.document(t).RecentRelayFailures) > 0 })
	if f := d.document(t).RecentRelayFailures; len(f) != 1 || f[0].Rule != othersSockets || f[0].PID != 0 {
		t.Errorf("%+v", f)
	}
	if seen := d.evidence(t, "ours"); !seen.Silent() {
		t.Errorf("%+v", seen)
	}
}

// What a run of root's does as another user is let in: the process has been given
// the run's identity.
func TestRunsOfRootsMayChangeTheirUser(t *testing.T) {
	t.Parallel()
	environ := peer.Environ(os.Getpid())
	if os.Geteuid() != 0 || len(environ) < guessless {
		leftout.Note(t, "another user's connection: only root can make one")
		return
	}
	d := start(t)
	run := d.attach(t, environ[:guessless], os.Getpid()) // stands in for a variable with it
	if _, res, body := connectOn(t, dialAs(t, 4242, d.address()), contract.CanaryHost("x")+":443"); res.StatusCode != http.StatusOK {
		t.Errorf("%s, %q", res.Status, body)
	}
	run.Close()
	eventually(t, "the run is still attached", func() bool { return d.document(t).Runs == 0 })
	if _, res, _ := connectOn(t, dialAs(t, 4242, d.address()), contract.CanaryHost("x")+":443"); res.StatusCode != http.StatusForbidden {
		t.Errorf("after the run's end: %s", res.Status)
	}
	defer d.attach(t, environ[:guessless], os.Getpid()).Close()
	if _, res, body := connectOn(t, dialAs(t, 4242, d.address()), contract.CanaryHost("x")+":443"); res.StatusCode != http.StatusOK {
		t.Errorf("another run, right after a refusal: %s, %q", res.Status, body)
	}
}

// A client that has closed its socket before it can be looked for is refused:
// anybody could have sent a request so.
func TestClientsThatHaveGoneAreRefused(t *testing.T) {
	t.Parallel()
	d := &daemon{runs: newRuns()}
	_, server := tcp.Pair(t)
	if f := d.admit(server); f != nil {
		t.Fatalf("our own is refused: %v", f)
	}
	client, server := tcp.Pair(t)
	client.SetLinger(0)
	client.Close()
	if f := d.admit(server); f == nil || f.Kind != status.PolicyDenied || f.Code != http.StatusForbidden || !strings.Contains(f.Detail, "closed it at once") {
		t.Errorf("%+v", f)
	}
}

// A failure whose client cannot be found is the only run's, for want of another;
// where there are several it is none's.
func TestFailureOfAClientThatHasGone(t *testing.T) {
	t.Parallel()
	o := options(t)
	o.Log = slog.New(slog.DiscardHandler)
	d := &daemon{options: o, runs: newRuns(), stats: page.NewStats(), log: audit.Open(o.Dir, o.Log)}
	defer d.log.Close()
	var err error
	if d.shellFile, err = rundir.NewShellFile(o.Dir, o.Key, 1); err != nil {
		t.Fatal(err)
	}
	defer d.shellFile.Stop()
	gone, far := net.Pipe() // no socket of anybody's
	defer gone.Close()
	defer far.Close()
	for _, id := range []string{"one", "two"} {
		d.runs.attach(id, nobodys, true)
		d.report(gone, &status.Failure{Kind: status.NotTLS, Host: "https://u:secret@a.example/x"})
	}
	if one, two := d.runs.evidence("one").Failures, d.runs.evidence("two").Failures; len(one) != 1 || len(two) != 0 {
		t.Errorf("the first run has %d failures, the second %d", len(one), len(two))
	}
	if all := d.runs.recent(); len(all) != 2 || all[0].Run != "one" || all[1].Run != "" || all[0].Host != "a.example" || all[0].TS.IsZero() {
		t.Errorf("%+v", all)
	}
}

// Searches that only give the page a name take no more than their share: one at a
// time, and none soon after a long one.
func TestSearchesAreSpared(t *testing.T) {
	t.Parallel()
	var s search
	if !s.begin() || s.begin() {
		t.Error("two at once")
	}
	s.end(time.Now().Add(-time.Hour)) // it took an hour
	if s.begin() {
		t.Error("another right after a long one")
	}
	quick := search{}
	if !quick.begin() {
		t.Fatal("none at all")
	}
	quick.end(time.Now())
	eventually(t, "none after a quick one", quick.begin)
}

// A connection of a user who was refused lately waits for its own search, if that
// is soon. Other users do not wait, nor do those whose last was a run's.
func TestStrangersWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s strangers
		yes := func() bool { return true }
		s.searched(1, false, time.Second/searchShare)
		begun := time.Now()
		if !s.search(2, yes) || time.Since(begun) != 0 {
			t.Error("another user waits")
		}
		if !s.search(1, yes) {
			t.Error("a run's is refused unseen")
		}
		if waited := time.Since(begun); waited != time.Second {
			t.Errorf("it waited %v", waited)
		}
		if !s.search(1, yes) || time.Since(begun) != time.Second {
			t.Error("one whose last was a run's waits")
		}
		s.searched(1, false, time.Hour)
		if !s.search(1, yes) || time.Since(begun) > time.Second+strangerWait {
			t.Error("on a slow machine a run's is refused unseen")
		}
		begun = time.Now()
		ended := make(chan struct{})
		s.ended = ended
		s.searched(1, false, time.Second/searchShare)
		go close(ended)
		if s.search(1, yes) || time.Since(begun) != 0 || s.waiting != 0 {
			t.Error("one keeps the daemon from its end")
		}
	})
}

// However many strangers connect, few wait, none longer than it may, and searches
// take their share of the time and no more.
func TestFloodsOfStrangers(t *testing.T) {
	t.Parallel()
	const took = 10 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		var s strangers
		waiting := func() int {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.waiting
		}
		s.searched(1, false, took)
		begun, searches := time.Now(), 0 // one search at a time
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() {
				if s.search(1, func() bool { searches++; time.Sleep(took); return false }) {
					t.Error("a stranger is let in")
				}
			})
		}
		synctest.Wait()
		if n := waiting(); n != waitingOfOne {
			t.Errorf("%d wait", n)
		}
		all.Wait()
		if waited, most := time.Since(begun), int(strangerWait/(searchShare*took)); waited > strangerWait+took || searches == 0 || searches > most {
			t.Errorf("%d searches in %v, want %d at most", searches, waited, most)
		}
		for uid := range 100 {
			s.searched(uid, false, took)
			for range 100 {
				all.Go(func() { s.search(uid, func() bool { return false }) })
			}
		}
		synctest.Wait()
		if n := waiting(); n != waitingOfAll {
			t.Errorf("%d of many users wait", n)
		}
		all.Wait()
		if n := waiting(); n != 0 {
			t.Errorf("%d wait for ever", n)
		}
	})
}

// Only so many users are remembered.
func TestKeptStrangers(t *testing.T) {
	t.Parallel()
	var s strangers
	for uid := range 3 * keptStrangers {
		s.searched(uid, false, time.Hour)
	}
	if len(s.refused) > keptStrangers {
		t.Errorf("%d are remembered", len(s.refused))
	}
}

// Of a flood of refusals the first is recorded, and the next one later says how many
// were not.
func TestFloodsOfRefusals(t *testing.T) {
	t.Parallel()
	var s strangers
	if missed, yes := s.record(); !yes || missed != 0 {
		t.Errorf("the first: %d, %v", missed, yes)
	}
	for range 7 {
		if _, yes := s.record(); yes {
			t.Fatal("all are recorded")
		}
	}
	s.told = s.told.Add(-strangerPause)
	if missed, yes := s.record(); !yes || missed != 7 {
		t.Errorf("later: %d, %v", missed, yes)
	}
}

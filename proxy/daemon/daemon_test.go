package daemon

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/proxytest"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/google/go-cmp/cmp"
)

// The status document says what the tunnel is, to the files that it names.
func TestStatusDocument(t *testing.T) {
	t.Parallel()
	d := start(t, func(o *Options) {
		o.Config.Path = "/etc/agentproxy.toml"
		o.Config.Front.IdleExit = "90s"
		o.Tools = func(doc *status.Document) { doc.GitConfigInjection = true }
		o.Readme = func(doc *status.Document) (string, error) { return fmt.Sprintf("# port %d\n", doc.Port), nil }
	})
	eventually(t, "there is no guide", func() bool { return d.document(t).ReadmePath != "" })
	doc := d.document(t)
	if !doc.Enabled || doc.Port != d.Port || doc.PID != os.Getpid() || doc.Mode != "embedded" || !doc.Standalone || doc.Upstream != "" || doc.Selective {
		t.Errorf("%+v", doc)
	}
	if doc.StateDir != d.dir || doc.ConfigPath != "/etc/agentproxy.toml" || doc.Version != "test" || doc.IdleExit != "1m30s" || doc.NoProxy != status.DefaultNoProxy {
		t.Errorf("%+v", doc)
	}
	if !doc.GitConfigInjection || doc.RecentRelayFailures == nil || doc.Runs != 0 || doc.Shells != 0 || !doc.CAExpires.After(time.Now()) {
		t.Errorf("%+v", doc)
	}
	ours, err := os.ReadFile(filepath.Join(d.dir, rundir.CertFile))
	if err != nil {
		t.Fatal(err)
	}
	if bundle, err := os.ReadFile(doc.CABundlePath); err != nil || !bytes.Contains(bundle, ours) {
		t.Errorf("the bundle %s is without our authority, error %v", doc.CABundlePath, err)
	}
	if !exists(doc.JavaTrustStorePath) || len(doc.CAFingerprint) != 64 {
		t.Errorf("truststore %q, fingerprint %q", doc.JavaTrustStorePath, doc.CAFingerprint)
	}
	if guide, err := os.ReadFile(doc.ReadmePath); err != nil || string(guide) != fmt.Sprintf("# port %d\n", d.Port) {
		t.Errorf("%q, error %v", guide, err)
	}
}

// A guide that cannot be written is no reason not to serve: the document names none.
func TestNoGuide(t *testing.T) {
	t.Parallel()
	d := start(t, func(o *Options) {
		o.Readme = func(*status.Document) (string, error) { return "", os.ErrInvalid }
	})
	eventually(t, "nothing is logged", func() bool { return strings.Contains(d.log.String(), "no guide") })
	if doc := d.document(t); doc.ReadmePath != "" || !doc.Enabled {
		t.Errorf("%+v", doc)
	}
}

// The record leads to the tunnel for as long as it is up, and its port is known
// afterwards; shells find a line that they can read.
func TestWhatLiesInTheDirectory(t *testing.T) {
	t.Parallel()
	d := start(t)
	r, err := rundir.Read(d.dir, "key")
	if err != nil || r.Port != d.Port || r.PID != os.Getpid() || r.Settings != "settings" || r.Version != "test" || len(r.Secret) < 26 {
		t.Errorf("%+v, error %v", r, err)
	}
	shell := rundir.ShellFilePath(d.dir, "key")
	if line, err := os.ReadFile(shell); err != nil || !strings.HasPrefix(string(line), fmt.Sprintf("%d 0000000000000 ", d.Port)) {
		t.Errorf("%q, error %v", line, err)
	}
	d.connect(t, "not-a-target")
	eventually(t, "shells are not told of the failure", func() bool {
		line, _ := os.ReadFile(shell)
		return !strings.Contains(string(line), " 0000000000000 ")
	})
	d.stop()
	d.leaves(t)
	if len(rundir.ReadAll(d.dir)) != 0 || exists(shell) || !rundir.WasOurs(d.dir, fmt.Sprint(d.Port)) {
		t.Error("what it leaves behind is not what it should")
	}
}

// A daemon that cannot serve says why, and leaves no record that leads nowhere.
func TestWhatKeepsADaemonFromStarting(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() }) // the cases outlast this function
	port := taken.Addr().(*net.TCPAddr).Port
	for _, c := range []struct {
		name  string
		spoil func(*Options)
		says  string
	}{
		{"a configured port is taken", func(o *Options) { o.Config.Front.Port = port }, "address already in use"},
		{"an address is taken", func(o *Options) { o.Listen = taken.Addr().String() }, "address already in use"},
		{"no upstream", func(o *Options) { o.Config.Egress.Upstream = "ftp://user:secret@proxy.example" }, "egress.upstream: the scheme must be http or https"},
		{"a rule that is none", func(o *Options) { o.Config.Policy.Deny = []string{"*.*"} }, "deny"},
		{"a gate's rule that is none", func(o *Options) {
			o.Gate, o.Config.Egress.Upstream, o.Config.Policy.Deny = true, "http://proxy.example:3128", []string{"*.*"}
		}, "deny"},
		{"roots that are not there", func(o *Options) { o.Config.Egress.ExtraRoots = []string{filepath.Join(o.Dir, "none.pem")} }, "no such file"},
		{"an authority without its key", func(o *Options) { os.WriteFile(filepath.Join(o.Dir, rundir.CertFile), nil, 0o600) }, "has lost its key"},
		{"no place for the shells' file", func(o *Options) { os.Mkdir(rundir.ShellFilePath(o.Dir, o.Key), 0o700) }, "write the shells' file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := options(t)
			c.spoil(&o)
			if _, err := launch(t, o); err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "secret") {
				t.Errorf("error %v, want one that says %q", err, c.says)
			}
			if len(rundir.ReadAll(o.Dir)) != 0 {
				t.Error("it leaves a record")
			}
		})
	}
}

// A crashed predecessor's port is taken up again where it is free, and given up
// where it is not: commands run that still point at it.
func TestPreferredPort(t *testing.T) {
	t.Parallel()
	first := start(t)
	second := start(t, func(o *Options) { o.Port = first.Port })
	if second.Port == first.Port {
		t.Error("two have one port")
	}
	first.stop()
	first.leaves(t)
	if third := start(t, func(o *Options) { o.Port = first.Port }); third.Port != first.Port {
		t.Errorf("port %d, want %d", third.Port, first.Port)
	}
}

// A tunnel behind an upstream says where it leaves, never with what password, and
// that the environment said so.
func TestUpstreamMode(t *testing.T) {
	t.Parallel()
	inner := start(t)
	upstream := fmt.Sprintf("http://user:secret@127.0.0.1:%d", inner.Port)
	d := start(t, func(o *Options) {
		o.Config.Egress.Upstream = upstream
		o.Inherited = contract.Inherited{Upstream: upstream, CAs: []string{"/ca.pem"}}
	})
	doc := d.document(t)
	if doc.Mode != "upstream" || doc.Standalone || doc.Upstream != fmt.Sprintf("http://127.0.0.1:%d", inner.Port) {
		t.Errorf("%+v", doc)
	}
	if r, err := rundir.Read(d.dir, "key"); err != nil || !r.Inherited || r.Upstream != doc.Upstream {
		t.Errorf("%+v, error %v", r, err)
	}
	if strings.Contains(d.log.String(), "secret") {
		t.Error("the password is in the log")
	}
	var inherited contract.Inherited
	d.answer(t, contract.InheritedPath, nil, &inherited)
	if inherited.Upstream != upstream || !slices.Equal(inherited.CAs, []string{"/ca.pem"}) {
		t.Errorf("%+v", inherited)
	}
	if _, res, body := d.connect(t, "127.0.0.1:443"); res.StatusCode != http.StatusForbidden || !strings.Contains(body, "policy_denied") {
		t.Errorf("the upstream's refusal: %s, %q", res.Status, body)
	}
}

// A tunnel that would lead into itself is refused: it would go round for ever.
func TestUpstreamIsNotItself(t *testing.T) {
	t.Parallel()
	free, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	free.Close()
	o := options(t)
	o.Port, o.Config.Egress.Upstream = port, fmt.Sprintf("http://localhost:%d", port)
	if _, err := launch(t, o); err == nil || !strings.Contains(err.Error(), "is this tunnel itself") {
		t.Errorf("error %v", err)
	}
}

// A gate refuses by its own rules what the tunnel behind it would let through, and
// passes the rest on, which is refused there by its.
func TestGate(t *testing.T) {
	t.Parallel()
	inner := start(t, func(o *Options) { o.Config.Policy.Deny = []string{"inner.example"} })
	d := start(t, func(o *Options) {
		o.Gate = true
		o.Config.Egress.Upstream = fmt.Sprintf("http://127.0.0.1:%d", inner.Port)
		o.Config.Policy.Deny = []string{"gate.example", "requests.example/x"}
	})
	if _, res, body := d.connect(t, "requests.example:443"); res.StatusCode != http.StatusForbidden || !strings.Contains(body, "cannot be judged") {
		t.Errorf("rules on requests, which a gate cannot apply: %s, %q", res.Status, body)
	}
	for target, by := range map[string]string{"gate.example:443": `deny "gate.example"`, "inner.example:443": `deny "inner.example"`} {
		if _, res, body := d.connect(t, target); res.StatusCode != http.StatusForbidden || !strings.Contains(body, strings.TrimSuffix(strings.TrimPrefix(by, `deny "`), `"`)) {
			t.Errorf("%s: %s, %q", target, res.Status, body)
		}
	}
	if failures := inner.document(t).RecentRelayFailures; len(failures) != 1 || failures[0].Host != "inner.example:443" {
		t.Errorf("the gate let through: %v", failures)
	}
	failures := d.document(t).RecentRelayFailures
	if len(failures) != 3 || !slices.ContainsFunc(failures, func(f *status.Failure) bool { return f.Rule == `deny "gate.example"` && f.By == "policy" }) {
		t.Errorf("%v", failures)
	}
}

// The control routes answer those alone who can read the record, and prove in turn
// that they are of the tunnel of that record.
func TestControlRoutesWantAProof(t *testing.T) {
	t.Parallel()
	d := start(t)
	for _, path := range []string{contract.RunPath, contract.StopPath, contract.TrialPath, contract.InheritedPath, contract.ReloadPath} {
		for _, role := range []string{"", rundir.RoleServer} {
			res := d.ask(t, role, http.MethodPost, path, url.Values{"id": {"x"}, "pid": {"1"}})
			body, _ := io.ReadAll(res.Body)
			if res.StatusCode != http.StatusForbidden || res.Header.Get(contract.ProofHeader) != "" || !strings.Contains(string(body), "proof") {
				t.Errorf("%s, role %q: %s, %q", path, role, res.Status, body)
			}
		}
	}
	res := d.ask(t, rundir.RoleClient, http.MethodGet, contract.RunPath, nil)
	if res.StatusCode != http.StatusOK || !d.Verify(rundir.RoleServer, "nonce", res.Header.Get(contract.ProofHeader)) {
		t.Errorf("%s, proof %q", res.Status, res.Header.Get(contract.ProofHeader))
	}
	if doc := d.document(t); !doc.Enabled || doc.Runs != 0 {
		t.Errorf("%+v", doc)
	}
}

// What is asked wrongly is answered so that the caller can tell.
func TestRunRouteRefusesWhatIsNoRun(t *testing.T) {
	t.Parallel()
	d := start(t)
	for _, c := range []struct {
		method string
		query  url.Values
		code   int
	}{
		{http.MethodPost, url.Values{"id": {"x"}}, http.StatusBadRequest},
		{http.MethodPost, url.Values{"pid": {"1"}}, http.StatusBadRequest},
		{http.MethodPost, url.Values{"id": {"x"}, "pid": {"one"}}, http.StatusBadRequest},
		{http.MethodDelete, url.Values{"id": {"x"}}, http.StatusMethodNotAllowed},
	} {
		if res := d.ask(t, rundir.RoleClient, c.method, contract.RunPath, c.query); res.StatusCode != c.code {
			t.Errorf("%s %v: %s", c.method, c.query, res.Status)
		}
	}
	if seen := d.evidence(t, "nobody"); !seen.Silent() {
		t.Errorf("%+v", seen)
	}
}

// The canary is reached through the tunnel, and tells what it has seen of a trial.
func TestTrial(t *testing.T) {
	t.Parallel()
	d := start(t)
	get(t, d.client(t), "https://"+contract.CanaryHost("mine")+"/")
	var mine, other contract.Trial
	d.answer(t, contract.TrialPath, url.Values{"trial": {"mine"}}, &mine)
	d.answer(t, contract.TrialPath, url.Values{"trial": {"other"}}, &other)
	if diff := cmp.Diff(contract.Trial{Connects: 1, Requests: 1}, mine); diff != "" || other != (contract.Trial{}) {
		t.Errorf("%s\nanother's: %+v", diff, other)
	}
}

// An old client's https:// request in absolute form is carried, and that is said.
func TestAbsoluteFormIsCarried(t *testing.T) {
	t.Parallel()
	for _, compat := range []bool{true, false} {
		d := start(t, func(o *Options) { o.Config.Front.Compat = &compat })
		c, err := net.Dial("tcp4", d.address())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(limit))
		host := contract.CanaryHost("old")
		fmt.Fprintf(c, "GET https://%[1]s/ HTTP/1.1\r\nHost: %[1]s\r\n\r\n", host)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		carried := slices.ContainsFunc(d.document(t).Accommodations, func(a status.Accommodation) bool { return a.Code == "absolute_form_https" && a.Count == 1 })
		if ok := res.StatusCode == http.StatusOK; ok != compat || carried != compat {
			t.Errorf("compat %v: %s, said %v", compat, res.Status, carried)
		}
	}
}

// An egress for other machines listens where it is told to, asks for credentials,
// and has something put before its listener.
func TestListeningForOthers(t *testing.T) {
	t.Parallel()
	wrapped := false
	d := start(t, func(o *Options) {
		o.Listen = "127.0.0.1:0"
		o.Authorize = func(user, password string) bool { return user == "me" && password == "right" }
		o.WrapListener = func(l net.Listener, _ *ca.Authority) (net.Listener, error) {
			wrapped = true
			return l, nil
		}
	})
	if _, res, _ := d.connect(t, contract.CanaryHost("x")+":443"); res.StatusCode != http.StatusProxyAuthRequired || !wrapped {
		t.Errorf("%s, wrapped %v", res.Status, wrapped)
	}
	c := d.client(t)
	tr := c.Transport.(*http.Transport)
	tr.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: d.address(), User: url.UserPassword("me", "right")})
	get(t, c, "https://"+contract.CanaryHost("x")+"/")
}

// What has happened is on the page's metrics and in the log of decisions.
func TestDecisionsAreKept(t *testing.T) {
	t.Parallel()
	d := start(t, func(o *Options) { o.Config.Policy.Deny = []string{"evil.example"} })
	d.connect(t, "evil.example:443")
	get(t, d.client(t), "https://"+contract.CanaryHost("x")+"/")
	want := map[string]status.Outcome{"evil.example:443": status.Refused, contract.CanaryHost("x") + ":443": status.Opened}
	eventually(t, "decisions are not logged", func() bool {
		logs, _ := filepath.Glob(filepath.Join(d.dir, "audit*"))
		got := map[string]status.Outcome{}
		for _, path := range logs {
			raw, _ := os.ReadFile(path)
			for line := range strings.Lines(string(raw)) {
				var e status.Entry
				if json.Unmarshal([]byte(line), &e) == nil {
					got[e.Host] = e.Outcome
				}
			}
		}
		return cmp.Equal(want, got)
	})
	res := d.ask(t, "", http.MethodGet, status.MetricsPath, nil)
	if body, err := io.ReadAll(res.Body); err != nil || !strings.Contains(string(body), "policy_denied") {
		t.Errorf("%s, error %v", body, err)
	}
}

// origin is one behind the tunnel, by the name origin.example.
func origin(t testing.TB, h http.Handler) func(*Options) {
	t.Helper()
	authority := proxytest.NewCA(t, "origin's")
	address := proxytest.Origin(t, authority.Issue(t, nil, nil, "origin.example"), h)
	return func(o *Options) {
		root := filepath.Join(filepath.Dir(o.Dir), "origin.pem")
		if err := os.WriteFile(root, authority.PEM(), 0o600); err != nil {
			t.Fatal(err)
		}
		o.Config.Egress.ExtraRoots = []string{root}
		o.Config.Egress.ConnectTo = map[string]string{"origin.example:443": address}
	}
}

// A daemon that is told to leave lets what is under way come to its end, while its
// port takes nothing new any more.
func TestLeavingWaitsForWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	asked, release := make(chan struct{}), make(chan struct{})
	d := start(t, origin(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		<-release
		io.WriteString(w, "the whole answer")
	})))
	answered := make(chan string, 1)
	c := d.client(t)
	go func() {
		res, err := c.Get("https://origin.example/")
		if err != nil {
			answered <- err.Error()
			return
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		answered <- string(body)
	}()
	<-asked
	if res := d.ask(t, rundir.RoleClient, http.MethodPost, contract.StopPath, nil); res.StatusCode != http.StatusNoContent {
		t.Fatalf("%s", res.Status)
	}
	eventually(t, "the port stays open", func() bool {
		c, err := net.Dial("tcp4", d.address())
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	select {
	case <-d.done:
		t.Error("it has left in the middle of a request")
	default:
	}
	close(release)
	if got := <-answered; got != "the whole answer" {
		t.Errorf("%q", got)
	}
	d.leaves(t)
	if strings.Contains(d.log.String(), "not all came to its end") {
		t.Error("it has not waited")
	}
}

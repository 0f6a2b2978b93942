package daemon

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/proxytest"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/proxy/status"
)

// limit is how long a test waits for what must come: it is no measure.
const limit = 20 * time.Second

// TestMain lets the test binary be the process that attach spawns.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == contract.SpawnedCommand {
		if Spawned(func(*Options) {}) != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// running is a daemon in this process.
type running struct {
	*rundir.Record
	dir  string
	stop context.CancelFunc
	log  *syncBuffer
	done chan struct{}
	err  error // once done
}

// syncBuffer is a log that may be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// options are those of a daemon in a directory of its own.
func options(t testing.TB) Options {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	if err := rundir.MakeDir(dir); err != nil {
		t.Fatal(err)
	}
	return Options{Start: contract.Start{Config: &config.Config{}, Dir: dir, Key: "key", Settings: "settings", Version: "test"}}
}

// launch runs a daemon until the test ends, or the error that it did not come up
// for.
func launch(t testing.TB, o Options) (*running, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	d := &running{dir: o.Dir, stop: cancel, log: new(syncBuffer), done: make(chan struct{})}
	o.Log = slog.New(slog.NewJSONHandler(d.log, nil))
	ready := make(chan *rundir.Record, 1)
	o.Ready = func(r *rundir.Record) { ready <- r }
	go func() {
		defer close(d.done)
		d.err = Run(ctx, o)
	}()
	t.Cleanup(func() {
		cancel()
		<-d.done
	})
	select {
	case d.Record = <-ready:
		return d, nil
	case <-d.done:
		return nil, d.err
	case <-time.After(limit):
		t.Fatal("the daemon does not come up")
		return nil, nil
	}
}

func start(t testing.TB, change ...func(*Options)) *running {
	t.Helper()
	o := options(t)
	for _, f := range change {
		f(&o)
	}
	d, err := launch(t, o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// leaves waits for the daemon's end, which must be without an error.
func (d *running) leaves(t testing.TB) {
	t.Helper()
	select {
	case <-d.done:
		if d.err != nil {
			t.Errorf("it left with %v", d.err)
		}
	case <-time.After(limit):
		t.Fatal("the daemon does not leave")
	}
}

func (d *running) address() string { return fmt.Sprintf("127.0.0.1:%d", d.Port) }

// client is a client behind the tunnel that trusts its authority.
func (d *running) client(t testing.TB) *http.Client {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(d.dir, rundir.CertFile))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(raw)
	proxy := &url.URL{Scheme: "http", Host: d.address()}
	tr := &http.Transport{Proxy: http.ProxyURL(proxy), TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: limit}
}

// get fetches a page through the tunnel, which the canary or an origin answers.
func get(t testing.TB, c *http.Client, url string) string {
	t.Helper()
	res, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, error %v", url, res.Status, err)
	}
	return string(body)
}

// ask makes a request of the front itself, with the proof that a role gives; ""
// gives none. The caller closes the body.
func (d *running) ask(t testing.TB, role, method, path string, query url.Values) *http.Response {
	t.Helper()
	r, err := http.NewRequest(method, "http://"+d.address()+path+"?"+query.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if role != "" {
		r.Header.Set(contract.NonceHeader, "nonce")
		r.Header.Set(contract.ProofHeader, d.Proof(role, "nonce"))
	}
	tr := &http.Transport{DisableKeepAlives: true}
	res, err := tr.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res
}

// answer asks as a client that has read the record, and decodes what is said.
func (d *running) answer(t testing.TB, path string, query url.Values, into any) {
	t.Helper()
	role := rundir.RoleClient
	if path == status.Path {
		role = "" // it is for everybody of this user
	}
	res := d.ask(t, role, http.MethodGet, path, query)
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(into); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, error %v", path, res.Status, err)
	}
}

func (d *running) document(t testing.TB) (doc status.Document) {
	t.Helper()
	d.answer(t, status.Path, nil, &doc)
	return doc
}

func (d *running) evidence(t testing.TB, id string) (seen status.Evidence) {
	t.Helper()
	d.answer(t, contract.RunPath, url.Values{"id": {id}}, &seen)
	return seen
}

// attach attaches a run and returns its attachment, at whose end stands what the
// daemon says last.
func (d *running) attach(t testing.TB, id string, pid int) io.ReadCloser {
	t.Helper()
	res := d.ask(t, rundir.RoleClient, http.MethodPost, contract.RunPath, url.Values{"id": {id}, "pid": {strconv.Itoa(pid)}})
	if res.StatusCode != http.StatusOK {
		t.Fatalf("the run is not let in: %s", res.Status)
	}
	return res.Body
}

// connect asks for a tunnel.
func (d *running) connect(t testing.TB, target string) (net.Conn, *http.Response, string) {
	t.Helper()
	c, err := net.Dial("tcp4", d.address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return connectOn(t, c, target)
}

func connectOn(t testing.TB, c net.Conn, target string) (net.Conn, *http.Response, string) {
	t.Helper()
	c.SetDeadline(time.Now().Add(limit))
	fmt.Fprintf(c, "CONNECT %[1]s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", target)
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: http.MethodConnect})
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode == http.StatusOK {
		return c, res, ""
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return c, res, string(body)
}

// eventually waits until something holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// leadsTo serves https://NAME and returns the part of a configuration that leads there.
func leadsTo(t *testing.T, name string, h http.Handler) string {
	t.Helper()
	root := proxytest.NewCA(t, "root")
	addr := proxytest.Origin(t, root.Issue(t, nil, nil, name), h)
	pem := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(pem, root.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("[egress]\nextra_roots = [%q]\n[egress.connect_to]\n%q = %q\n", pem, name+":443", addr)
}

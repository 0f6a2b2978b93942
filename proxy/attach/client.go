package attach

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/agentproxy/agentproxy/proxy/capture/sockets"
	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/peer"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/proxy/status"
)

const callTimeout = 2 * time.Second

// probeTimeout is longer than the front takes to answer, whatever happens.
const probeTimeout = 6 * time.Second

// ErrForbidden is returned when a tunnel does not let this process do what it asks for.
var ErrForbidden = errors.New("the tunnel refuses")

// call makes one request to the daemon. Each side proves that it has read the
// record, so a process that took over a dead daemon's port is not mistaken for
// it. The caller closes the connection. (net/http's client would do as much
// with a millisecond more of start-up on the path of every exec.)
func (t *Tunnel) call(ctx context.Context, method, path string) (*http.Response, net.Conn, error) {
	return t.callWithin(ctx, callTimeout, method, path)
}

func (t *Tunnel) callWithin(ctx context.Context, timeout time.Duration, method, path string) (*http.Response, net.Conn, error) {
	var dialer net.Dialer
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	address := fmt.Sprintf("127.0.0.1:%d", t.Record.Port)
	conn, err := dialer.DialContext(ctx, "tcp4", address)
	if err != nil {
		return nil, nil, err
	}
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	nonce := rand.Text()
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\n%s: %s\r\n%s: %s\r\nContent-Length: 0\r\n\r\n",
		method, path, address, contract.NonceHeader, nonce, contract.ProofHeader, t.Record.Proof(rundir.RoleClient, nonce))
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	if !t.Record.Verify(rundir.RoleServer, nonce, res.Header.Get(contract.ProofHeader)) {
		conn.Close()
		return nil, nil, fmt.Errorf("what listens on port %d is not the tunnel of the record", t.Record.Port)
	}
	if res.StatusCode >= 300 {
		defer conn.Close()
		body, _ := io.ReadAll(io.LimitReader(res.Body, 500)) // without it the refusal is one all the same
		why := strings.TrimSpace(strings.TrimPrefix(string(body), "agentproxy: "))
		if res.StatusCode == http.StatusForbidden {
			return nil, nil, fmt.Errorf("%w: %s", ErrForbidden, why)
		}
		return nil, nil, fmt.Errorf("the tunnel answered %s: %s", res.Status, why)
	}
	conn.SetDeadline(time.Time{})
	return res, conn, nil
}

// alive reports whether the process behind the record is there and is the one.
func (t *Tunnel) alive(ctx context.Context) bool {
	_, conn, err := t.call(ctx, http.MethodGet, contract.RunPath)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// Stop tells the daemon to leave and waits until its port is closed and, where
// the system can tell, until it writes nothing into the state directory any more.
func (t *Tunnel) Stop(ctx context.Context) error {
	exit := peer.WatchExit(t.Record.PID)
	defer exit.Close()
	_, conn, err := t.call(ctx, http.MethodPost, contract.StopPath)
	if err != nil {
		return err
	}
	conn.Close()
	for range 200 {
		if !t.alive(ctx) {
			exit.Wait(contract.DrainLimit + callTimeout)
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("the tunnel (pid %d) did not leave", t.Record.PID)
}

// Reload has the tunnel read its policy again.
func (t *Tunnel) Reload(ctx context.Context) (contract.Reloaded, error) {
	var answer contract.Reloaded
	res, conn, err := t.callWithin(ctx, callTimeout+contract.FetchLimit, http.MethodPost, contract.ReloadPath)
	if err != nil {
		return answer, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(callTimeout))
	return answer, json.NewDecoder(res.Body).Decode(&answer)
}

// Status fetches the status document.
func (t *Tunnel) Status(ctx context.Context) (*status.Document, error) {
	return fetchStatus(ctx, t.URL())
}

func fetchStatus(ctx context.Context, proxyURL string) (*status.Document, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(proxyURL, "/")+status.Path, nil)
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: &http.Transport{Proxy: nil, DisableKeepAlives: true}}
	res, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the status page answered %s", res.Status)
	}
	doc := new(status.Document)
	return doc, json.NewDecoder(io.LimitReader(res.Body, 4<<20)).Decode(doc)
}

// agentProxyBundle asks the proxy that the environment names whether it is an
// agent proxy, and returns its CA bundle if it is on this machine.
func agentProxyBundle(ctx context.Context, proxyURL string) string {
	doc, err := fetchStatus(ctx, proxyURL)
	if err != nil || !doc.Enabled {
		return ""
	}
	// Whoever has taken a dead proxy's port could name a file of theirs.
	if rundir.CheckForeign(doc.CABundlePath) != nil {
		return ""
	}
	return doc.CABundlePath
}

// Run is an attached run. While it lasts the daemon does not leave for
// idleness, and a daemon that crashes is replaced on the same port.
type Run struct {
	ID string

	options Options
	done    chan struct{}
	tunnels chan *Tunnel // holds the current one; who has it may use what follows

	captured []*sockets.Set // what has been handed over
}

// Acquire attaches a run to the tunnel for the options, started if need be. A
// tunnel that leaves between being found and being entered is replaced.
func Acquire(ctx context.Context, o Options, id string) (*Tunnel, *Run, error) {
	w, err := resolve(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	enter := func(t *Tunnel) (*Run, error) {
		res, conn, err := t.attach(ctx, id, o.NoAsk)
		if err != nil {
			return nil, fmt.Errorf("attach to the tunnel on port %d: %w", t.Record.Port, err)
		}
		r := &Run{ID: id, options: o, done: make(chan struct{}), tunnels: make(chan *Tunnel, 1)}
		r.tunnels <- t
		go r.keep(t, res, conn)
		return r, nil
	}
	for _, t := range w.recorded(w.dirs...) { // that it lets us in shows that it lives
		if r, err := enter(t); err == nil {
			return t, r, nil
		}
	}
	for try := 1; ; try++ {
		t, err := Attach(ctx, o)
		if err != nil {
			return nil, nil, err
		}
		r, err := enter(t)
		if err == nil || try == 3 {
			return t, r, err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (t *Tunnel) attach(ctx context.Context, id string, noAsk bool) (*http.Response, net.Conn, error) {
	query := url.Values{"id": {id}, "pid": {strconv.Itoa(os.Getpid())}}
	if noAsk {
		query.Set("ask", "no")
	}
	return t.call(ctx, http.MethodPost, contract.RunPath+"?"+query.Encode())
}

// keep waits for the attachment to end and repairs it when that was a crash.
func (r *Run) keep(t *Tunnel, res *http.Response, conn net.Conn) {
	for range 10 {
		said := r.wait(res, conn)
		select {
		case <-r.done:
			return
		default:
		}
		if strings.Contains(said, contract.Stopped) {
			return
		}
		var err error
		if t, res, conn, err = r.repair(t); err != nil {
			return
		}
	}
}

// wait returns what the daemon says last, once the attachment has ended on its
// side or on ours.
func (r *Run) wait(res *http.Response, conn net.Conn) string {
	ended := make(chan struct{})
	go func() {
		select {
		case <-r.done:
		case <-ended:
		}
		conn.Close()
	}()
	said, _ := io.ReadAll(io.LimitReader(res.Body, 64))
	close(ended)
	return string(said)
}

func (r *Run) repair(dead *Tunnel) (*Tunnel, *http.Response, net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	o := r.options
	o.Port, o.Progress = dead.Record.Port, nil
	t, err := Attach(ctx, o)
	if err != nil {
		return nil, nil, nil, err
	}
	res, conn, err := t.attach(ctx, r.ID, r.options.NoAsk)
	if err != nil {
		return nil, nil, nil, err
	}
	<-r.tunnels
	r.handAgain(t)
	r.tunnels <- t
	return t, res, conn, nil
}

// Evidence returns what the tunnel saw of this run so far.
func (r *Run) Evidence(ctx context.Context) (*status.Evidence, error) {
	t := <-r.tunnels
	r.tunnels <- t
	res, conn, err := t.call(ctx, http.MethodGet, contract.RunPath+"?"+url.Values{"id": {r.ID}}.Encode())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(callTimeout))
	var seen status.Evidence
	if err := json.NewDecoder(res.Body).Decode(&seen); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return &seen, nil
}

// Close detaches the run.
func (r *Run) Close() {
	close(r.done)
	r.letGo()
}

// Trial returns what the canary saw of a trial.
func (t *Tunnel) Trial(ctx context.Context, name string) (contract.Trial, error) {
	var trial contract.Trial
	res, conn, err := t.call(ctx, http.MethodGet, contract.TrialPath+"?"+url.Values{"trial": {name}}.Encode())
	if err != nil {
		return trial, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(callTimeout))
	return trial, json.NewDecoder(res.Body).Decode(&trial)
}

// Probe asks for a tunnel to an authority and drops it. What came of it is in
// the tunnel's records.
func (t *Tunnel) Probe(ctx context.Context, authority string) error {
	conn, _, err := t.connect(ctx, authority)
	if err == nil {
		conn.Close()
	}
	return err
}

// Dial returns a tunnel to an authority, as CONNECT opens it.
func (t *Tunnel) Dial(ctx context.Context, authority string) (net.Conn, error) {
	conn, res, err := t.connect(ctx, authority)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		conn.Close()
		return nil, &Answer{Code: res.StatusCode, Status: res.Status}
	}
	return conn, nil
}

// Answer is a CONNECT that was not opened.
type Answer struct {
	Code   int
	Status string // "403 denied by …"
}

func (a *Answer) Error() string { return "the tunnel answered " + a.Status }

func (t *Tunnel) connect(ctx context.Context, authority string) (net.Conn, *http.Response, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp4", fmt.Sprintf("127.0.0.1:%d", t.Record.Port))
	if err != nil {
		return nil, nil, err
	}
	conn.SetDeadline(time.Now().Add(probeTimeout))
	fmt.Fprintf(conn, "CONNECT %[1]s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", authority)
	// A server speaks first in no protocol that is carried: nothing is read ahead.
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect})
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return conn, res, nil
}

package preload

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/profiles/env"
	"github.com/agentproxy/agentproxy/proxy/front"
	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/proxytest"
	"github.com/agentproxy/agentproxy/proxy/proxytest/leftout"
)

// world is a tunnel, an origin behind it that only the tunnel can find, and the
// environment of a command in it.
type world struct {
	environ  []string
	hooks    Hooks
	dir      string // a directory for files of the test
	proxyURL string
	// local is the address of an origin on loopback, which the roots trust.
	local string
}

const hello = "hello"

// newWorld starts one. Names under .test do not resolve outside the tunnel, so
// an answer from origin.test has come through it.
func newWorld(t *testing.T) *world {
	t.Helper()
	authority := proxytest.NewCA(t, "origin CA")
	origin := proxytest.Origin(t, authority.Issue(t, nil, nil, "origin.test"), http.HandlerFunc(serve))
	tunnel := proxytest.Start(t, proxytest.Setup{
		Rules:     policy.Rules{Default: "allow", Deny: []string{"denied.test"}},
		Roots:     authority.Pool(),
		ConnectTo: map[string]string{"origin.test:443": origin},
		// The front must not do the hook's work for it.
		Change: func(f *front.Front) { f.Routes.(*front.Routes).Carry = nil },
	})
	w := &world{dir: t.TempDir(), proxyURL: tunnel.URL.String()}
	w.local = proxytest.Origin(t, authority.Issue(t, nil, nil, "127.0.0.1", "localhost"), http.HandlerFunc(serve))
	bundle := w.write(t, "bundle.pem", string(tunnel.Front.Routes.(*front.Routes).CA)+string(authority.PEM()))
	for _, name := range []string{"PATH", "LANG"} {
		w.environ = append(w.environ, name+"="+os.Getenv(name))
	}
	w.environ = append(w.environ, "HOME="+w.dir, "HTTPS_PROXY="+w.proxyURL, "https_proxy="+w.proxyURL,
		"NO_PROXY="+env.Loopback, "no_proxy="+env.Loopback)
	for _, name := range []string{"SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "AGENT_PROXY_CA_BUNDLE_PATH"} {
		w.environ = append(w.environ, name+"="+bundle)
	}
	var err error
	// A path with a space, which the variables must be able to carry.
	if w.hooks, err = Write(filepath.Join(w.dir, "state directory", "preload")); err != nil {
		t.Fatal(err)
	}
	return w
}

// serve is the origin. To an upgrade it answers with a WebSocket that says hello.
func serve(rw http.ResponseWriter, r *http.Request) {
	switch {
	case strings.EqualFold(r.Header.Get("Upgrade"), "websocket"):
		sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		c, _, err := rw.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n\x81\x05"+hello,
			base64.StdEncoding.EncodeToString(sum[:]))
		io.ReadAtLeast(c, make([]byte, 6), 6) // the client's close frame
		c.Write([]byte("\x88\x00"))
	case strings.HasSuffix(r.URL.Path, "/models"):
		rw.Header().Set("Content-Type", "application/json")
		io.WriteString(rw, `{"object":"list","data":[{"id":"`+hello+`"}]}`)
	case r.Method == http.MethodPost && r.Header.Get("X-Test") != "":
		io.Copy(rw, r.Body)
	case r.Method == http.MethodPost:
		rw.Header().Set("Content-Type", "text/xml")
		io.WriteString(rw, "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>"+hello+"</Account></GetCallerIdentityResult></GetCallerIdentityResponse>")
	case r.Header.Get("Proxy-Authorization") != "":
		http.Error(rw, "the proxy's credentials reached the origin", http.StatusBadRequest)
	case r.URL.Path == "/versions": // of a gem server that has none
		io.WriteString(rw, "created_at: 2020-01-01T00:00:00Z\n---\n")
	case r.URL.Path == "/large":
		rw.Write(bytes.Repeat([]byte("x"), 5<<20))
	default:
		io.WriteString(rw, hello)
	}
}

// write makes a file in the world's directory and returns its path.
func (w *world) write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// with returns w with more variables; "NAME=" without a value unsets one.
func (w *world) with(variables ...string) *world {
	other := *w
	var edits []env.Edit
	for _, v := range variables {
		name, value, _ := strings.Cut(v, "=")
		edits = append(edits, env.Edit{Name: name, Value: value, Unset: value == ""})
	}
	other.environ = env.Apply(w.environ, edits)
	return &other
}

// through returns w with another proxy, "" for none.
func (w *world) through(url string) *world {
	return w.with("HTTPS_PROXY="+url, "https_proxy="+url)
}

// sparing returns w with another NO_PROXY, "" for none.
func (w *world) sparing(hosts string) *world {
	return w.with("NO_PROXY="+hosts, "no_proxy="+hosts)
}

// result is how a program ended.
type result struct {
	stdout, stderr string
	status         int
	took           time.Duration
}

func (r result) String() string {
	return fmt.Sprintf("status %d after %v\nstdout: %s\nstderr: %s", r.status, r.took, r.stdout, r.stderr)
}

// run runs a program in the world; one that hangs is ended and fails the test.
func (w *world) run(t *testing.T, argv ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env, cmd.Dir, cmd.WaitDelay = w.environ, w.dir, time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start := time.Now()
	err := cmd.Run()
	if exit := new(exec.ExitError); err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
		t.Fatalf("%q: %v\n%s%s", argv, err, stdout.String(), stderr.String())
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode(), time.Since(start)}
}

// works checks that a program prints what the origin says, nothing else, and
// ends at once.
func works(t *testing.T, r result) {
	t.Helper()
	if r.status != 0 || r.stdout != hello+"\n" {
		t.Errorf("did not get its answer: %v", r)
	}
	if r.took > 15*time.Second {
		t.Errorf("hung on before it ended: %v", r)
	}
}

// fails checks that a program failed and told each of the phrases.
func fails(t *testing.T, r result, phrases ...string) {
	t.Helper()
	if r.status == 0 {
		t.Errorf("succeeded: %v", r)
	}
	for _, phrase := range phrases {
		if !strings.Contains(r.stderr, phrase) {
			t.Errorf("does not say %q: %v", phrase, r)
		}
	}
}

func withCredentials(url string) string { return strings.Replace(url, "//", "//us%40er:secret@", 1) }

// credentials checks that those in the proxy's URL are sent to it, and are not in
// what a request then prints, which tells the phrase.
func credentials(t *testing.T, w *world, request func(*world) result, phrase string) {
	t.Helper()
	proxy, seen := listening(t)
	r := request(w.through(withCredentials(proxy)))
	fails(t, r, phrase)
	if strings.Contains(r.stderr, "secret") {
		t.Errorf("the password is shown: %v", r)
	}
	if got := seen(); got != "us@er:secret" {
		t.Errorf("the proxy was sent %q", got)
	}
}

// same checks that a program does the same with and without the hook.
func same(t *testing.T, without, with result) {
	t.Helper()
	if without.stdout != with.stdout || without.stderr != with.stderr || without.status != with.status {
		t.Errorf("without the hook: %v\nwith it: %v", without, with)
	}
}

// cached returns a folder of what testdata/preload/install has fetched, and
// false, with a note, when it is not there.
func cached(t *testing.T, name string) (string, bool) {
	t.Helper()
	path := filepath.Join(os.Getenv("PRELOAD_CACHE"), name)
	if _, err := os.Stat(filepath.Join(path, ".complete")); os.Getenv("PRELOAD_CACHE") == "" || err != nil {
		leftout.Note(t, name+", which testdata/preload/install fetches into $PRELOAD_CACHE")
		return "", false
	}
	return path, true
}

// installed returns a program's path, and "", with a note, when it is not here.
func installed(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		leftout.Note(t, program+", which is not installed")
	}
	return path
}

// refusing is the URL of a proxy that nobody runs.
func refusing(t *testing.T) string { return "http://" + proxytest.Refuse(t) }

// listening is a proxy that wants credentials, and what it was sent.
func listening(t *testing.T) (url string, seen func() string) {
	t.Helper()
	sent := make(chan string, 10)
	address := proxytest.Listen(t, func(c net.Conn) {
		defer c.Close()
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		encoded := strings.TrimPrefix(r.Header.Get("Proxy-Authorization"), "Basic ")
		pair, _ := base64.StdEncoding.DecodeString(encoded)
		sent <- string(pair)
		io.WriteString(c, "HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n")
	})
	return "http://" + address, func() string {
		select {
		case pair := <-sent:
			return pair
		default:
			return "nothing"
		}
	}
}

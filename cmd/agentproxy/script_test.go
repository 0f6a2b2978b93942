package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/proxy/proxytest"
	"github.com/agentproxy/agentproxy/proxy/proxytest/leftout"
	"github.com/agentproxy/agentproxy/proxy/proxytest/middle"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/rogpeppe/go-internal/testscript"
)

// The scripts are the specification of the command line. The test binary is
// agentproxy itself, and fetch, a client that like many knows no more than
// HTTPS_PROXY and SSL_CERT_FILE. How long a tunnel takes to start on a busy
// machine is no part of it.
func TestMain(m *testing.M) {
	onSlowStart = func(*process) {}
	testscript.Main(m, programs)
}

// hasLandlock reports whether the kernel has Landlock with rules for TCP.
var hasLandlock = func() bool { return false }

// programs are what the test binary can be called as.
var programs = map[string]func(){"agentproxy": main, "fetch": fetch, "serve": serve, "strike": strike}

func fetch() {
	for _, url := range os.Args[1:] {
		res, err := http.Get(url)
		if err != nil {
			fmt.Fprintln(os.Stderr, "fetch:", err)
			os.Exit(22)
		}
		defer res.Body.Close()
		io.Copy(os.Stdout, res.Body)
		if res.StatusCode >= 400 {
			fmt.Fprintln(os.Stderr, "fetch:", res.Status)
			os.Exit(22)
		}
	}
}

// serve is a server of the command's, on a port of loopback: /fetch?URL fetches
// another, /end ends it.
func serve() {
	l, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "serve:", err)
		os.Exit(1)
	}
	http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/end":
			fmt.Fprintln(w, "bye")
			w.(http.Flusher).Flush()
			time.AfterFunc(50*time.Millisecond, func() { os.Exit(0) })
		case "/fetch":
			res, err := http.Get(r.URL.RawQuery)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			defer res.Body.Close()
			io.Copy(w, res.Body)
		default:
			fmt.Fprintln(w, "here")
		}
	}))
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "../../testdata/script",
		Setup: func(env *testscript.Env) error {
			home := filepath.Join(env.WorkDir, "home")
			env.Setenv("HOME", home)
			env.Setenv("STATE", filepath.Join(home, ".local", "state", "agentproxy"))
			env.Setenv("XDG_RUNTIME_DIR", "")
			env.Defer(func() {
				stopAll(env.Getenv)
				rundir.RemovePublic(env.Getenv("STATE"))
			})
			return os.MkdirAll(home, 0o755)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"origin": cmdOrigin, "listen": cmdListen, "freeport": cmdFreePort, "parallel": cmdParallel, "eventually": cmdEventually, "kill-tunnel": cmdKillTunnel, "middle": cmdMiddle,
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "root":
				return os.Getuid() == 0, nil
			case "mountns":
				if err := exec.Command("unshare", "-m", "true").Run(); err != nil {
					leftout.Note(t, "a read-only and a full home, for want of the right to mount")
					return false, nil
				}
				return true, nil
			case "capture":
				if err := exec.Command("unshare", "-Urnm", "true").Run(); err != nil {
					leftout.Note(t, "a network of its own for a command, for want of the right to make namespaces")
					return false, nil
				}
				return true, nil
			case "landlock":
				if !hasLandlock() {
					leftout.Note(t, "isolation without namespaces, which takes Landlock's rules for TCP (Linux 6.7)")
					return false, nil
				}
				return true, nil
			}
			if name, ok := strings.CutPrefix(cond, "shell:"); ok {
				if _, err := exec.LookPath(name); err != nil {
					leftout.Note(t, "what concerns "+name+", which is not installed")
					return false, nil
				}
				return true, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		RequireExplicitExec: true,
	})
}

func stopAll(getenv func(string) string) {
	all, err := attach.All(context.Background(), getenv)
	if err != nil {
		return
	}
	for _, t := range all {
		t.Stop(context.Background())
	}
}

// origin NAME… serves https://NAME/ on loopback and writes config.toml, which
// maps the names there and trusts their root. /fail answers with 403, /slow over a
// second and a half, and /published has the files of that directory.
func cmdOrigin(ts *testscript.TestScript, _ bool, names []string) {
	t := scriptT{ts}
	root := proxytest.NewCA(t, "script root")
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "hello from %s\n", r.Host) })
	mux.HandleFunc("/fail", func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "the origin's own words", http.StatusForbidden)
	})
	mux.Handle("/published/", http.FileServer(http.Dir(ts.MkAbs("."))))
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		for i := range 30 {
			fmt.Fprintf(w, "part %d\n", i)
			w.(http.Flusher).Flush()
			time.Sleep(50 * time.Millisecond)
		}
		io.WriteString(w, "the end\n")
	})
	s := httptest.NewUnstartedServer(mux)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{root.Issue(t, nil, nil, names...)}}
	s.StartTLS()
	ts.Defer(s.Close)
	var b strings.Builder
	ts.Check(os.WriteFile(ts.MkAbs("root.pem"), root.PEM(), 0o644))
	fmt.Fprintf(&b, "[egress]\nextra_roots = [%q]\n[egress.connect_to]\n", ts.MkAbs("root.pem"))
	for _, name := range names {
		fmt.Fprintf(&b, "%q = %q\n", name+":443", s.Listener.Addr())
	}
	ts.Check(os.WriteFile(ts.MkAbs("config.toml"), []byte(b.String()), 0o644))
	ts.Setenv("AGENTPROXY_CONFIG", ts.MkAbs("config.toml"))
}

// middle VAR DEFECT starts an upstream egress that re-terminates TLS and has the
// defect, and puts its URL into VAR; its root is in middle.pem.
func cmdMiddle(ts *testscript.TestScript, _ bool, args []string) {
	p := middle.Start(scriptT{ts}, middle.Defect(args[1]))
	ts.Defer(p.Close)
	ts.Check(os.WriteFile(ts.MkAbs("middle.pem"), p.PEM(), 0o644))
	ts.Setenv(args[0], p.URL())
}

// scriptT lets the helpers of tests serve scripts.
type scriptT struct{ *testscript.TestScript }

func (scriptT) Helper() {}

func (t scriptT) Fatal(args ...any) { t.Fatalf("%s", fmt.Sprint(args...)) }

// listen VAR opens a port that answers every connection with a web page, and
// puts its number into VAR.
func cmdListen(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok\n") }))
	_, port, err := net.SplitHostPort(l.Addr().String())
	ts.Check(err)
	ts.Setenv(args[0], port)
}

// freeport VAR puts the number of a port that nobody listens on into VAR.
func cmdFreePort(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	_, port, err := net.SplitHostPort(l.Addr().String())
	ts.Check(err)
	ts.Check(l.Close())
	ts.Setenv(args[0], port)
}

// parallel N command… runs the command N times at once; all must succeed.
func cmdParallel(ts *testscript.TestScript, _ bool, args []string) {
	var n int
	fmt.Sscan(args[0], &n)
	var wg sync.WaitGroup
	errs := make(chan error, n)
	for range n {
		wg.Go(func() {
			cmd := scriptCommand(ts, args[1:])
			if out, err := cmd.CombinedOutput(); err != nil {
				errs <- fmt.Errorf("%w: %s", err, out)
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		ts.Fatalf("%v", err)
	}
}

// scriptCommand is a command as the script would run it, with the part of the
// environment that agentproxy reads.
func scriptCommand(ts *testscript.TestScript, args []string) *exec.Cmd {
	cmd := &exec.Cmd{Path: args[0], Args: args, Dir: ts.MkAbs(".")}
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if path := filepath.Join(dir, args[0]); cmd.Path == args[0] {
			if _, err := os.Stat(path); err == nil {
				cmd.Path = path
			}
		}
	}
	for _, name := range []string{"PATH", "HOME", "AGENTPROXY_CONFIG", "TMPDIR", "XDG_RUNTIME_DIR"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	return cmd
}

// eventually command… repeats the command until it ends as wanted.
func cmdEventually(ts *testscript.TestScript, neg bool, args []string) {
	var out []byte
	for range 200 {
		var err error
		if out, err = scriptCommand(ts, args).CombinedOutput(); (err == nil) != neg {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("%v never ended as wanted; last output: %s", args, bytes.TrimSpace(out))
}

// kill-tunnel kills the daemon without warning.
func cmdKillTunnel(ts *testscript.TestScript, _ bool, _ []string) {
	for _, r := range rundir.ReadAll(ts.Getenv("STATE")) {
		p, err := os.FindProcess(r.PID)
		ts.Check(err)
		ts.Check(p.Kill())
		for range 200 {
			if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", r.Port)); err != nil {
				break
			} else {
				c.Close()
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/proxytest"
	"github.com/agentproxy/agentproxy/proxy/proxytest/leftout"
	"github.com/agentproxy/agentproxy/proxy/rundir"
)

// person is a user of this machine who runs agentproxy: a number of their own and
// a home. They need not be in the user database.
type person struct {
	t    *testing.T
	uid  int
	home string
	exe  string
}

// people returns as many users, in a directory that all of them can reach. Only
// root can be several.
func people(t *testing.T, n int) []*person {
	t.Helper()
	if os.Geteuid() != 0 {
		leftout.Note(t, "what one local user can do to another: only root can be both")
		t.SkipNow()
	}
	base, err := os.MkdirTemp("", "agentproxy-users")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(base, "agentproxy")
	copyFile(t, self, exe, 0o755)
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	var list []*person
	for i := range n {
		uid := 40000 + os.Getpid()%10000*2 + i
		p := &person{t: t, uid: uid, home: filepath.Join(base, fmt.Sprint(uid)), exe: exe}
		if err := os.Mkdir(p.home, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(p.home, uid, uid); err != nil {
			t.Fatal(err)
		}
		for _, dir := range p.shared() {
			if _, err := os.Lstat(dir); err == nil {
				t.Fatalf("%s is there already", dir)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
		}
		t.Cleanup(func() { p.run(nil, "down") })
		list = append(list, p)
	}
	return list
}

// shared are the places of the person's state that every user could have made.
func (p *person) shared() []string {
	return []string{fmt.Sprintf("/dev/shm/agentproxy-%d", p.uid), filepath.Join(os.TempDir(), fmt.Sprintf("agentproxy-%d", p.uid))}
}

// run runs agentproxy as the person, for a minute at most.
func (p *person) run(environ []string, args ...string) (stdout, stderr string, err error) {
	p.t.Helper()
	return p.runWith(environ, nil, args...)
}

// runWith also gives it files, from descriptor 3 on.
func (p *person) runWith(environ []string, files []*os.File, args ...string) (stdout, stderr string, err error) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.exe, args...)
	cmd.Dir, cmd.ExtraFiles = "/", files
	cmd.Env = append([]string{"HOME=" + p.home, "PATH=" + filepath.Dir(p.exe) + ":/usr/bin:/bin"}, environ...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(p.uid), Gid: uint32(p.uid)}}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	if ctx.Err() != nil {
		p.t.Fatalf("agentproxy %v hangs; stderr: %s", args, errs.String())
	}
	return out.String(), errs.String(), err
}

func copyFile(t *testing.T, from, to string, mode fs.FileMode) {
	t.Helper()
	raw, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, raw, mode)
	}
	if err == nil {
		err = os.Chmod(to, mode)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// forwarder lets others into a tunnel that refuses other users' sockets, as its
// owner could.
func forwarder(t *testing.T, to int) (port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", to))
			if err != nil {
				near.Close()
				continue
			}
			go func() { io.Copy(far, near); far.Close() }()
			go func() { io.Copy(near, far); near.Close() }()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// plant puts a tunnel of the attacker's, with its CA, bundle and hooks, where the
// victim's state could be: the key of a tunnel is the same for the same program
// and configuration.
func plant(t *testing.T, attacker *person, dir string) (port int) {
	t.Helper()
	state := filepath.Join(attacker.home, "state")
	if _, errs, err := attacker.run([]string{"AGENT_PROXY_STATE_DIR=" + state}, "exec", "--", "true"); err != nil {
		t.Fatalf("%v: %s", err, errs)
	}
	sockets, err := filepath.Glob(filepath.Join(state, "*.sock")) // which are no files to copy
	if err != nil {
		t.Fatal(err)
	}
	for _, socket := range sockets {
		os.Remove(socket)
	}
	if err := os.CopyFS(dir, os.DirFS(state)); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o666)
		if d.IsDir() {
			mode = 0o777
		}
		return firstError(os.Lchown(path, attacker.uid, attacker.uid), os.Chmod(path, mode))
	})
	if err != nil {
		t.Fatal(err)
	}
	records, err := filepath.Glob(filepath.Join(dir, "endpoint-*.json"))
	if err != nil || len(records) != 1 {
		t.Fatalf("records %v, error %v", records, err)
	}
	raw, err := os.ReadFile(records[0])
	if err != nil {
		t.Fatal(err)
	}
	var r rundir.Record
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { attacker.run([]string{"AGENT_PROXY_STATE_DIR=" + state}, "down") })
	port = forwarder(t, r.Port)
	changed := bytes.Replace(raw, fmt.Appendf(nil, `"port":%d`, r.Port), fmt.Appendf(nil, `"port":%d`, port), 1)
	if err := os.WriteFile(records[0], changed, 0o666); err != nil || bytes.Equal(changed, raw) {
		t.Fatalf("%s, error %v", raw, err)
	}
	return port
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// A tunnel that another user has planted is not used: neither its port, nor its
// CA, nor its hooks, and a word is said.
func TestNobodyElsesTunnelIsOurs(t *testing.T) {
	pair := people(t, 2)
	victim, attacker := pair[0], pair[1]
	planted := victim.shared()
	port := plant(t, attacker, planted[0])
	plant(t, attacker, planted[1])

	check := func(t *testing.T, out string) {
		t.Helper()
		if strings.Contains(out, fmt.Sprintf(":%d", port)) {
			t.Errorf("the command leaves through the attacker's port %d:\n%s", port, out)
		}
		for _, dir := range planted {
			if strings.Contains(out, dir) {
				t.Errorf("the command is pointed at files in %s:\n%s", dir, out)
			}
		}
	}
	out, errs, err := victim.run(nil, "exec", "--", "sh", "-c", "env")
	if err != nil || !strings.Contains(out, "HTTPS_PROXY=http://127.0.0.1:") {
		t.Fatalf("%v\n%s%s", err, out, errs)
	}
	check(t, out)
	if !strings.Contains(errs, "agentproxy: passed over: "+planted[0]+" belongs to user") {
		t.Errorf("not a word about it: %q", errs)
	}
	if out, errs, err = victim.run(nil, "down"); err != nil || !strings.Contains(out, "stopped the tunnel") || strings.Contains(out, fmt.Sprint(port)) {
		t.Errorf("down: %v\n%s%s", err, out, errs)
	}

	// Nor where the wanted directory cannot be had: then there is no other.
	out, errs, err = victim.run([]string{"XDG_STATE_HOME=/proc/nowhere"}, "exec", "--", "sh", "-c", "env")
	check(t, out)
	if err == nil || !strings.Contains(errs, "agentproxy: no usable state directory") {
		t.Errorf("%v\n%s%s", err, out, errs)
	}
}

// strike PORT N sends that many requests to a tunnel that is somebody else's, as
// fast as it can: each is written and its connection reset before the tunnel can
// ask the kernel whose it was, or closed.
func strike() {
	times, err := strconv.Atoi(os.Args[2])
	if err != nil {
		os.Exit(2)
	}
	for i := range times {
		conn, err := net.Dial("tcp", "127.0.0.1:"+os.Args[1])
		if err != nil {
			continue
		}
		fmt.Fprintf(conn, "POST https://a.test/strike HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\n%02d", i%100)
		if i%4 != 3 {
			conn.(*net.TCPConn).SetLinger(0)
		}
		conn.Close()
	}
}

// Another user's requests are not carried, not even those whose connection is gone
// before it can be looked up; and many of them neither fill the log nor keep the
// owner out.
func TestAnotherUsersRequestsAreNotCarried(t *testing.T) {
	pair := people(t, 2)
	owner, attacker := pair[0], pair[1]
	var struck atomic.Int64
	root := proxytest.NewCA(t, "root")
	origin := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/strike" {
			struck.Add(1)
		}
		io.WriteString(w, "hello")
	}))
	origin.TLS = &tls.Config{Certificates: []tls.Certificate{root.Issue(t, nil, nil, "a.test")}}
	origin.StartTLS()
	t.Cleanup(origin.Close)
	base := filepath.Dir(owner.exe)
	config := fmt.Sprintf("[egress]\nextra_roots = [\"root.pem\"]\n[egress.connect_to]\n\"a.test:443\" = %q\n", origin.Listener.Addr())
	if err := firstError(os.WriteFile(filepath.Join(base, "root.pem"), root.PEM(), 0o644), os.WriteFile(filepath.Join(base, "config.toml"), []byte(config), 0o644)); err != nil {
		t.Fatal(err)
	}
	copyFile(t, owner.exe, filepath.Join(base, "strike"), 0o755)
	copyFile(t, owner.exe, filepath.Join(base, "fetch"), 0o755)
	environ := []string{"AGENTPROXY_CONFIG=" + filepath.Join(base, "config.toml")}
	url, errs, err := owner.run(environ, "up")
	if err != nil {
		t.Fatalf("%v: %s", err, errs)
	}
	port := strings.TrimSpace(url[strings.LastIndexByte(url, ':')+1:])
	other := &person{t: t, uid: attacker.uid, home: attacker.home, exe: filepath.Join(base, "strike")}
	if _, errs, err := other.run(nil, port, "3000"); err != nil {
		t.Fatalf("%v: %s", err, errs)
	}
	if out, errs, err := owner.run(environ, "exec", "--", "fetch", "https://a.test/"); err != nil || out != "hello" {
		t.Errorf("the owner: %v\n%s%s", err, out, errs)
	}
	if n := struck.Load(); n > 0 {
		t.Errorf("%d of 3000 requests of another user reached the origin", n)
	}
	for _, name := range []string{"daemon-*.log", "audit.log"} {
		logs, err := filepath.Glob(filepath.Join(owner.home, ".local", "state", "agentproxy", name))
		if err != nil || len(logs) != 1 {
			t.Fatalf("%v, error %v", logs, err)
		}
		if info, err := os.Stat(logs[0]); err != nil || info.Size() > 20_000 {
			t.Errorf("%s has %d bytes, error %v", name, info.Size(), err)
		}
	}
	if out, _, err := owner.run(environ, "status"); err != nil || !strings.Contains(out, "policy_denied") {
		t.Errorf("not a word about it: %v\n%s", err, out)
	}
}

// What another user puts in the way makes no command wait: a pipe, a link, a
// directory in the place of a record or of the directory itself.
func TestAPlantedPipeHoldsNothingUp(t *testing.T) {
	pair := people(t, 2)
	victim, attacker := pair[0], pair[1]
	dirs := victim.shared()
	plant(t, attacker, dirs[0])
	records, err := filepath.Glob(filepath.Join(dirs[0], "endpoint-*.json"))
	if err != nil || len(records) != 1 {
		t.Fatalf("%v, error %v", records, err)
	}
	if err := firstError(os.Remove(records[0]), syscall.Mkfifo(records[0], 0o666), os.Chown(records[0], attacker.uid, attacker.uid),
		syscall.Mkfifo(dirs[1], 0o666), os.Chown(dirs[1], attacker.uid, attacker.uid)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"status"}, {"exec", "--", "true"}, {"log"}, {"ca", "show"}, {"why", "example.com"}, {"down"}, {"down"}, {"uninstall", "--yes"}} {
		if _, errs, err := victim.run(nil, args...); err != nil && args[0] != "status" {
			t.Errorf("agentproxy %v: %v: %s", args, err, errs)
		}
	}
}

// Root with the HOME of a user, as under "sudo -E": that user's files are not
// root's, and root leaves none there.
func TestRootInAUsersHome(t *testing.T) {
	user := people(t, 1)[0]
	state := filepath.Join(user.home, ".local", "state", "agentproxy")
	if _, errs, err := user.run(nil, "exec", "--", "true"); err != nil {
		t.Fatalf("%v: %s", err, errs)
	}
	runtime := filepath.Join(filepath.Dir(user.home), "root")
	if err := os.Mkdir(runtime, 0o700); err != nil {
		t.Fatal(err)
	}
	root := &person{t: t, uid: 0, home: user.home, exe: user.exe}
	environ := []string{"XDG_RUNTIME_DIR=" + runtime}
	out, errs, err := root.run(environ, "exec", "--", "sh", "-c", "env")
	t.Cleanup(func() { root.run(environ, "down") })
	if err != nil || !strings.Contains(out, "AGENT_PROXY_STATE_DIR="+runtime+"/agentproxy\n") || strings.Contains(out, "="+state) {
		t.Errorf("%v\n%s%s", err, out, errs)
	}
	if !strings.Contains(errs, state+" cannot be used (belongs to user") && !strings.Contains(errs, "belongs to user") {
		t.Errorf("not a word about it: %q", errs)
	}
	// With a home that has no state yet.
	if err := os.RemoveAll(filepath.Join(user.home, ".local")); err != nil {
		t.Fatal(err)
	}
	if _, errs, err := root.run(environ, "exec", "--", "true"); err != nil {
		t.Errorf("%v: %s", err, errs)
	}
	if _, err := os.Lstat(filepath.Join(user.home, ".local")); err == nil {
		t.Error("root has made a directory in the user's home")
	}
}

// A hook, a bundle or a truststore that was changed or damaged since is made anew
// before a command is pointed at it.
func TestWhatACommandIsPointedAtIsLookedAtEachTime(t *testing.T) {
	home := t.TempDir()
	environ := []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
	run := func(args ...string) string {
		t.Helper()
		cmd := agentproxy(t, environ, args...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("agentproxy %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	t.Cleanup(func() { run("down") })
	state := filepath.Join(home, ".local", "state", "agentproxy")
	run("exec", "--", "true")
	files := map[string][]byte{}
	public := rundir.Public(state)
	t.Cleanup(func() { rundir.RemovePublic(state) })
	err := filepath.WalkDir(public, func(path string, d fs.DirEntry, err error) error {
		name := filepath.Base(path)
		for _, pointed := range []string{"ca-bundle.crt", "java-truststore.p12", "node.cjs", "sitecustomize.py", "prepend.php", "ruby.rb"} {
			if err == nil && name == pointed {
				files[path], err = os.ReadFile(path)
			}
		}
		return err
	})
	if err != nil || len(files) != 6 {
		t.Fatalf("%d files, error %v", len(files), err)
	}
	for name, damage := range map[string]func([]byte) []byte{
		"emptied":    func([]byte) []byte { return nil },
		"cut":        func(b []byte) []byte { return b[:min(len(b), 1000)/2] },
		"zeroed":     func(b []byte) []byte { return make([]byte, len(b)) },
		"lengthened": func(b []byte) []byte { return append(bytes.Clone(b), "more"...) },
	} {
		for path, content := range files {
			if err := os.WriteFile(path, damage(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if out := run("exec", "--", "true"); out != "" {
			t.Errorf("%s: %s", name, out)
		}
		for path, content := range files {
			if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, content) && filepath.Ext(path) != ".p12" || len(now) == 0 || bytes.Equal(now, damage(content)) {
				t.Errorf("%s: %s was not mended: %d bytes of %d, error %v", name, path, len(now), len(content), err)
			}
		}
	}
}

package capture

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/capture/sockets"
	"github.com/agentproxy/agentproxy/proxy/proxytest/contained"
	"github.com/agentproxy/agentproxy/proxy/proxytest/leftout"
	"github.com/agentproxy/agentproxy/proxy/proxytest/process"
	"github.com/agentproxy/agentproxy/proxy/proxytest/tcp"
	"golang.org/x/sys/unix"
)

const containedRole = "contained"

// supervised starts a command that is supervised from the start, and returns what ends
// it: it waits for the command, leaves it, and returns what that printed.
func supervised(t *testing.T, o Options, hand func(*sockets.Set) error, argv ...string) (end func() string, ok bool) {
	t.Helper()
	r, err := New(o, hand)
	if err != nil {
		t.Fatal(err)
	}
	r.FallBack(&Refused{What: "no network of its own", Err: errors.New("by a test")})
	path, stage, err := r.Begin(argv[0], argv)
	if err != nil {
		t.Fatal(err)
	}
	cmd := &exec.Cmd{Path: path, Args: stage, Env: os.Environ()}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	Clone(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := r.Finish(); err != nil {
		cmd.Wait()
		if errors.As(err, new(*Refused)) {
			t.Log(err)
			leftout.Note(t, "a supervisor for a command, which this system refuses")
			return nil, false
		}
		t.Fatal(err)
	}
	return func() string {
		cmd.Wait()
		r.Leave()
		return out.String()
	}, true
}

// tunnel is where supervised commands lead, and says to each connection for where it
// was.
func tunnel(t *testing.T) (hand func(*sockets.Set) error, ended func()) {
	t.Helper()
	sets := make(chan *sockets.Set, 1)
	var held *sockets.Set
	hand = func(s *sockets.Set) error {
		held = s
		sets <- s
		l := file(t, s, sockets.Forward, 0, net.FileListener)
		t.Cleanup(func() { l.Close(); s.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				to, err := sockets.ReadDestination(c, s.Secret)
				fmt.Fprintf(c, "you meant %s %v", to, err)
				c.Close()
			}
		}()
		return nil
	}
	return hand, func() {
		for _, s := range held.Sockets {
			if s.Kind == sockets.Alive {
				polled := []unix.PollFd{{Fd: int32(s.FD), Events: unix.POLLIN}}
				if n, err := unix.Poll(polled, int(limit/time.Millisecond)); n != 1 || err != nil {
					t.Errorf("nobody is supervised, and nobody is told: %d, %v", n, err)
				}
			}
		}
	}
}

// What a supervised command connects to is carried with its address; a port that nobody
// carries refuses at once, and so does whoever gets datagrams.
func TestASupervisedCommandConnects(t *testing.T) {
	local, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	go tcp.Greet(local, "a service of the host's")
	for to, want := range map[string]string{
		"192.0.2.7:443":         "you meant 192.0.2.7:443 <nil>",
		"[2001:db8::7]:443":     "you meant [2001:db8::7]:443 <nil>",
		"[::ffff:192.0.2.8]:80": "you meant 192.0.2.8:80 <nil>",
		"192.0.2.7:53":          "you meant 192.0.2.7:53 <nil>",
		local.Addr().String():   "a service of the host's",
		"192.0.2.7:8080":        "connection refused",
	} {
		hand, ended := tunnel(t)
		end, ok := supervised(t, Options{Ports: []uint16{443, 80}}, hand, self(t, dialRole, to)...)
		if !ok {
			return
		}
		if got := end(); !strings.Contains(got, want) {
			t.Errorf("%s: %q", to, got)
		}
		ended()
	}
	hand, _ := tunnel(t)
	end, _ := supervised(t, Options{Ports: []uint16{443}}, hand, self(t, askRole, "192.0.2.7:443")...)
	if got := end(); !strings.Contains(got, "connection refused") {
		t.Errorf("a datagram: %q", got)
	}
}

// Questions to any name server reach us.
func TestASupervisedCommandAsksForNames(t *testing.T) {
	var answered chan error
	end, ok := supervised(t, Options{}, func(s *sockets.Set) error {
		c := file(t, s, sockets.Datagram, DNSPort, net.FilePacketConn)
		answered = make(chan error, 1)
		go func() {
			defer c.Close()
			defer s.Close()
			question := make([]byte, 100)
			c.SetDeadline(time.Now().Add(limit))
			n, from, err := c.ReadFrom(question)
			if err == nil {
				_, err = c.WriteTo(append([]byte("answer to "), question[:n]...), from)
			}
			answered <- err
		}()
		return nil
	}, self(t, askRole, "192.0.2.53:53")...)
	if !ok {
		return
	}
	if got := end(); got != "answer to question" {
		t.Errorf("%q, %v", got, <-answered)
	}
}

// A supervised command reads the file with our roots in the place of one without, by
// whatever path; others, and what is there outside, stay as they are.
func TestASupervisedCommandReadsOurRoots(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ours, theirs := write("ours", "ours\n"), write("theirs/roots", "theirs\n")
	write("other", "other\n")
	write("merged/hash.0", "merged\n")
	if err := os.Symlink("theirs/roots", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("hash.0", filepath.Join(dir, "merged/link.0")); err != nil {
		t.Fatal(err)
	}
	write("hashed/hash.1", "own\n")
	write("merged/hash.1", "own\n")
	write("merged/all", "without\n")
	all := write("hashed/all", "without\n")
	mounts := []Mount{{ours, theirs}, {filepath.Join(dir, "merged"), filepath.Join(dir, "hashed")}, {ours, all}, {ours, filepath.Join(dir, "gone")}}
	hand, _ := tunnel(t)
	end, ok := supervised(t, Options{Mounts: mounts}, hand, "/bin/sh", "-c", `
		cd "$1"; cat theirs/roots link "$1/link" other hashed/hash.0; cd theirs; cat ../link; echo new >>roots
		cd ..; ls hashed; ls -l hashed | grep -o "link.0 ->.*"; cat hashed/all; cd hashed; cat all
		test -r "$1/hashed/link.0" && test -L link.0 && ! test -w link.0 && ! test -e link.1 && readlink link.0; stat -L -c %s link.0
		readlink -f link.0; cat link.0`, "sh", dir)
	if !ok {
		return
	}
	want := "ours\nours\nours\nother\nmerged\nours\n" +
		"all\nhash.0\nhash.1\nlink.0\nlink.0 -> hash.0\nours\nours\n" +
		"hash.0\n7\n" + dir + "/hashed/hash.0\nmerged\n"
	if got := end(); got != want {
		t.Errorf("inside: %q", got)
	}
	if got, err := os.ReadFile(theirs); err != nil || string(got) != "theirs\nnew\n" {
		t.Errorf("outside: %q, %v", got, err)
	}
}

// One that cannot be executed is told by the error of execve(2), and nobody is
// supervised then.
func TestASupervisedCommandThatIsNotThere(t *testing.T) {
	hand, ended := tunnel(t)
	r, err := New(Options{}, hand)
	if err != nil {
		t.Fatal(err)
	}
	r.FallBack(&Refused{What: "no network of its own", Err: errors.New("by a test")})
	path, stage, err := r.Begin("/nowhere/at/all", []string{"all"})
	if err != nil {
		t.Fatal(err)
	}
	cmd := &exec.Cmd{Path: path, Args: stage, Env: os.Environ()}
	Clone(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	err = r.Finish()
	cmd.Wait()
	if errors.As(err, new(*Refused)) {
		leftout.Note(t, "a supervisor for a command, which this system refuses")
		return
	}
	if err != syscall.ENOENT {
		t.Errorf("%v", err)
	}
	ended()
}

// What a supervised command leaves behind goes on being supervised; the tunnel is told
// when the last of it has ended.
func TestWhatIsLeftBehindIsSupervised(t *testing.T) {
	dir := t.TempDir()
	begin, said := filepath.Join(dir, "begin"), filepath.Join(dir, "said")
	if err := syscall.Mkfifo(begin, 0o600); err != nil {
		t.Fatal(err)
	}
	dial := strings.Join(self(t, dialRole, "192.0.2.7:443"), " ")
	hand, ended := tunnel(t)
	end, ok := supervised(t, Options{Ports: []uint16{443}}, hand, "/bin/sh", "-c",
		fmt.Sprintf(`(read x <%s; %s) >%s 2>&1 </dev/null &`, begin, dial, said))
	if !ok {
		return
	}
	end()
	if err := os.WriteFile(begin, []byte("go\n"), 0); err != nil {
		t.Fatal(err)
	}
	ended()
	if got, err := os.ReadFile(said); err != nil || string(got) != "you meant 192.0.2.7:443 <nil>" {
		t.Errorf("it said %q, %v", got, err)
	}
}

// beContained becomes another process of ours as in a container.
func beContained(args []string) error {
	path, err := os.Executable()
	if err != nil {
		return err
	}
	return contained.Exec(append([]string{path, tryRole}, args...))
}

const tryRole = "try"

// tryAndSay says by which means commands are captured here.
func tryAndSay([]string) error {
	for _, isolated := range []bool{false, true} {
		means, err := Try(isolated)
		fmt.Printf("%q %v\n", means, err != nil)
	}
	return nil
}

// Where a container's filter refuses namespaces, commands are supervised, isolated ones
// too where the kernel has what that takes.
func TestInAContainerCommandsAreSupervised(t *testing.T) {
	out, err := process.Command(t, containedRole).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := "\"supervisor\" false\n\"supervisor\" false\n"
	if landlockVersion() < landlockNet {
		want = "\"supervisor\" false\n\"\" true\n"
	}
	if got := string(out); got != want {
		t.Errorf("by %s", got)
	}
}

// A supervisor does nothing that it was not told in full.
func TestSuperviseRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, told := range []string{"", "no supervision", "[]"} {
		if err := Supervise(strings.NewReader(told)); err == nil {
			t.Errorf("%q: no error", told)
		}
	}
}

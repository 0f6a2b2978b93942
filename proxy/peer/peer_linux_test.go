package peer

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestLookupAndFind(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Logf("%s: %v", address, err)
			continue
		}
		defer l.Close()
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		s, err := Lookup(server)
		if err != nil {
			t.Fatal(err)
		}
		if s.UID != os.Getuid() || s.Inode == 0 {
			t.Errorf("%s: got %+v", address, s)
		}
		p, err := Find(s, 0)
		if err != nil || p.PID != os.Getpid() {
			t.Errorf("%s: found %+v, %v; want pid %d", address, p, err, os.Getpid())
		}
	}
}

func TestGetenvAndParent(t *testing.T) {
	cmd := exec.Command("sh", "-c", "echo ready; read line")
	cmd.Env = append(os.Environ(), "PEER_TEST=yes=1")
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	// Start returns before the kernel has laid the new environment out.
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if got := Getenv(cmd.Process.Pid, "PEER_TEST"); got != "yes=1" {
		t.Errorf("got %q", got)
	}
	if got := Parent(cmd.Process.Pid); got != os.Getpid() {
		t.Errorf("parent %d, want %d", got, os.Getpid())
	}
	started := Started(cmd.Process.Pid)
	if !Lives(cmd.Process.Pid, started) || Lives(cmd.Process.Pid, started+"0") || Lives(cmd.Process.Pid, "") {
		t.Errorf("started %q: it lives, and no other does", started)
	}
	cmd.Process.Kill()
	cmd.Wait()
	if Lives(cmd.Process.Pid, started) {
		t.Error("it has ended")
	}
}

// A process has ended when Wait returns, even one that nobody has waited for.
func TestExit(t *testing.T) {
	cmd := exec.Command("sh", "-c", "read line")
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	exit := WatchExit(cmd.Process.Pid)
	defer exit.Close()
	exit.Wait(10 * time.Millisecond)
	ended := func() bool {
		var info unix.Siginfo
		if err := unix.Waitid(unix.P_PID, cmd.Process.Pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != nil {
			t.Fatal(err)
		}
		return info.Signo != 0
	}
	if ended() {
		t.Fatal("it has ended by itself")
	}
	cmd.Process.Kill()
	exit.Wait(time.Minute)
	if !ended() {
		t.Error("it runs on")
	}
}

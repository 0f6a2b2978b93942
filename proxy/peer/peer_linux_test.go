package peer

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"testing"
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
}

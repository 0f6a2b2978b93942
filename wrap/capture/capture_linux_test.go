package capture

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/capture/sockets"
	"github.com/agentproxy/agentproxy/proxy/proxytest/leftout"
	"github.com/agentproxy/agentproxy/proxy/proxytest/process"
	"golang.org/x/sys/unix"
)

// Processes that the tests start.
const (
	dialRole   = "dial"
	askRole    = "ask"
	humbleRole = "humble"
	exitRole   = "exit"
)

func TestMain(m *testing.M) {
	process.Main(m, map[string]func([]string) error{StageCommand: Stage, dialRole: dial, askRole: ask, humbleRole: beHumble, exitRole: captureAndExit, isolateRole: beIsolated,
		SuperviseCommand: func([]string) error { return Supervise(os.Stdin) }, containedRole: beContained, tryRole: tryAndSay, pollRole: pollFirst, reuseRole: serveAgain, reachRole: reach, ownRole: reachOwn, askForRole: askFor})
}

// limit is how long a test waits for what must come: it is no measure.
const limit = time.Minute

// dial prints what a server at an address says.
func dial(args []string) error {
	c, err := net.DialTimeout("tcp", args[0], limit)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = io.Copy(os.Stdout, c)
	return err
}

// ask prints the answer to a datagram.
func ask(args []string) error {
	c, err := net.Dial("udp", args[0])
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(limit))
	if _, err := c.Write([]byte("question")); err != nil {
		return err
	}
	buf := make([]byte, 100)
	n, err := c.Read(buf)
	os.Stdout.Write(buf[:n])
	return err
}

// start captures a command and returns what it prints, once that has ended; finished
// is Finish's.
func start(o Options, hand func(*sockets.Set) error, argv ...string) (output func() string, started, finished error) {
	r, err := New(o, hand)
	if err != nil {
		return nil, err, nil
	}
	path, stage, err := r.Begin(argv[0], argv)
	if err != nil {
		return nil, err, nil
	}
	cmd := &exec.Cmd{Path: path, Args: stage}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	Clone(cmd)
	if err := cmd.Start(); err != nil {
		r.Abandon()
		return nil, refusal(err), nil
	}
	finished = r.Finish()
	return func() string { cmd.Wait(); return out.String() }, nil, finished
}

// isRefused reports, and notes, that the system lets no command be captured.
func isRefused(t *testing.T, err error) bool {
	t.Helper()
	if !errors.As(err, new(*Refused)) {
		return false
	}
	t.Log(err)
	leftout.Note(t, "a network of its own for a command, which this system refuses")
	return true
}

// capture is start where it must succeed; "" and false when the system refuses it.
func capture(t *testing.T, o Options, hand func(*sockets.Set) error, argv ...string) (output func() string, ok bool) {
	t.Helper()
	output, started, finished := start(o, hand, argv...)
	err := errors.Join(started, finished)
	if isRefused(t, err) {
		return nil, false
	}
	if err != nil {
		t.Fatal(err)
	}
	return output, true
}

// release closes what is handed over.
func release(set *sockets.Set) error {
	set.Close()
	return nil
}

// self is the test binary as one of its processes.
func self(t *testing.T, role string, args ...string) []string {
	t.Helper()
	cmd := process.Command(t, role, args...)
	return append([]string{cmd.Path}, cmd.Args[1:]...)
}

// file is one of a set as net has it.
func file[T any](t *testing.T, set *sockets.Set, kind sockets.Kind, port uint16, open func(*os.File) (T, error)) T {
	t.Helper()
	i := slices.IndexFunc(set.Sockets, func(s sockets.Socket) bool { return s.Kind == kind && s.Port == port })
	if i < 0 {
		t.Fatalf("there is no %s socket for port %d", kind, port)
	}
	fd, err := unix.Dup(set.Sockets[i].FD)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "socket")
	defer f.Close()
	opened, err := open(f)
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

// What the command connects to, at any address, is accepted by whoever holds the
// sockets outside, who sees which address it was.
func TestEveryAddressIsOurs(t *testing.T) {
	set := make(chan *sockets.Set, 1)
	for to, family := range map[string]string{"192.0.2.7:443": "", "127.0.0.1:443": "", "[2001:db8::7]:443": "6"} {
		output, ok := capture(t, Options{Ports: []uint16{443}}, func(s *sockets.Set) error { set <- s; return nil }, self(t, dialRole, to)...)
		if !ok {
			return
		}
		held := <-set
		if family == "6" && !held.IPv6 {
			held.Close()
			continue
		}
		l := file(t, held, sockets.Stream, 443, net.FileListener)
		l.(*net.TCPListener).SetDeadline(time.Now().Add(limit))
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "you meant %s", c.LocalAddr())
		c.Close()
		if got := output(); got != "you meant "+to {
			t.Errorf("%s: %q", to, got)
		}
		l.Close()
		held.Close()
	}
}

// Questions to any name server come out where the sockets are held, with what is
// needed to answer from the address that was asked.
func TestNameServersAreOurs(t *testing.T) {
	set := make(chan *sockets.Set, 1)
	output, ok := capture(t, Options{}, func(s *sockets.Set) error { set <- s; return nil }, self(t, askRole, "192.0.2.53:53")...)
	if !ok {
		return
	}
	held := <-set
	defer held.Close()
	c := file(t, held, sockets.Datagram, DNSPort, net.FilePacketConn).(*net.UDPConn)
	defer c.Close()
	c.SetDeadline(time.Now().Add(limit))
	question, info := make([]byte, 100), make([]byte, 100)
	n, infoN, _, from, err := c.ReadMsgUDPAddrPort(question, info)
	if err != nil || string(question[:n]) != "question" {
		t.Fatalf("%q, %v", question[:n], err)
	}
	if _, _, err := c.WriteMsgUDPAddrPort([]byte("answer"), info[:infoN], from); err != nil {
		t.Fatal(err)
	}
	if got := output(); got != "answer" {
		t.Errorf("the command got %q", got)
	}
}

// The set names the command's network, which is another than ours, and has what the
// tunnel takes. Ports that nobody serves refuse at once.
func TestTheNetworkIsItsOwn(t *testing.T) {
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	var namespace uint64
	count := map[sockets.Kind]int{}
	dial := strings.Join(self(t, dialRole, "192.0.2.7:8080"), " ")
	output, ok := capture(t, Options{Ports: []uint16{443, 80}}, func(s *sockets.Set) error {
		namespace = s.Namespace
		for _, socket := range s.Sockets {
			count[socket.Kind]++
		}
		return release(s)
	}, "/bin/sh", "-c", "readlink /proc/self/ns/net; "+dial)
	if !ok {
		return
	}
	network, said, _ := strings.Cut(output(), "\n")
	if network != fmt.Sprintf("net:[%d]", namespace) || network == own {
		t.Errorf("the command is in %s, of %d; we are in %s", network, namespace, own)
	}
	if !strings.Contains(said, "connection refused") {
		t.Errorf("a port that nobody serves: %q", said)
	}
	if count[sockets.Stream] != 3 || count[sockets.Datagram] != 1 || count[sockets.Diag] != 1 || count[sockets.Spare] < 2 {
		t.Errorf("the tunnel got %v", count)
	}
}

// What is mounted is seen inside, cannot be written, and is not seen outside. What has
// gone meanwhile is nothing to mount over.
func TestMounts(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ours, theirs := write("ours", "ours"), write("theirs", "theirs")
	output, ok := capture(t, Options{Mounts: []Mount{{ours, theirs}, {ours, filepath.Join(dir, "gone")}}}, release,
		"/bin/sh", "-c", `cat "$1"; echo x 2>/dev/null >"$1" || echo " read-only"`, "sh", theirs)
	if !ok {
		return
	}
	if got := output(); !strings.HasPrefix(got, "ours") || !strings.HasSuffix(got, " read-only\n") {
		t.Errorf("inside: %q", got)
	}
	for path, want := range map[string]string{ours: "ours", theirs: "theirs"} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("outside: %q, %v", got, err)
		}
	}
}

// A command that cannot be executed is told by the error of execve(2), and a script
// without "#!" is a shell's.
func TestExecution(t *testing.T) {
	dir := t.TempDir()
	for name, tt := range map[string]struct {
		mode os.FileMode
		err  error
	}{"missing": {0, syscall.ENOENT}, "plain": {0o600, syscall.EACCES}, "script": {0o700, nil}} {
		path := filepath.Join(dir, name)
		if tt.mode != 0 {
			if err := os.WriteFile(path, []byte("echo $1\n"), tt.mode); err != nil {
				t.Fatal(err)
			}
		}
		output, started, err := start(Options{}, release, path, "argument")
		if isRefused(t, errors.Join(started, err)) {
			return
		}
		if started != nil || err != tt.err {
			t.Errorf("%s: %v, %v", name, started, err)
			continue
		}
		if out := output(); err == nil && out != "argument\n" {
			t.Errorf("%s printed %q", name, out)
		}
	}
}

// When something fails before the command is executed, it is not: a mount that the
// kernel refuses, a port that is taken, a tunnel that will not have it.
func TestNothingIsExecutedByHalves(t *testing.T) {
	if _, ok := capture(t, Options{}, release, "/bin/true"); !ok {
		return
	}
	dir := t.TempDir()
	ran, file := filepath.Join(dir, "ran"), filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	no := errors.New("no")
	for _, tt := range []struct {
		options Options
		hand    func(*sockets.Set) error
		refused bool
		says    string
	}{
		{Options{Mounts: []Mount{{dir, file}}}, release, true, "mount over " + file + ": not a directory"},
		{Options{Ports: []uint16{443, 443}}, release, true, "tcp socket for port 443: address already in use"},
		{Options{}, func(s *sockets.Set) error { s.Close(); return no }, false, "hand the command's network to the tunnel: no"},
	} {
		output, started, err := start(tt.options, tt.hand, "/bin/sh", "-c", "echo ran >"+ran)
		if started != nil {
			t.Fatal(started)
		}
		output()
		if err == nil || errors.As(err, new(*Refused)) != tt.refused || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%v, not %s", err, tt.says)
		}
		if _, err := os.Stat(ran); err == nil {
			t.Errorf("%s: the command was executed", tt.says)
		}
	}
}

// A stage that nobody wants any more ends without a trace, and its run may be begun
// again.
func TestAbandon(t *testing.T) {
	r, err := New(Options{}, release)
	if err != nil {
		t.Fatal(err)
	}
	ran := filepath.Join(t.TempDir(), "ran")
	path, argv, err := r.Begin("/bin/sh", []string{"sh", "-c", "echo ran >" + ran})
	if err != nil {
		t.Fatal(err)
	}
	cmd := &exec.Cmd{Path: path, Args: argv}
	Clone(cmd)
	if err := cmd.Start(); err != nil {
		isRefused(t, refusal(err))
		return
	}
	r.Abandon()
	cmd.Wait()
	if _, err := os.Stat(ran); err == nil {
		t.Error("the command was executed")
	}
	if _, again, err := r.Begin("/bin/true", []string{"true"}); err != nil || !isStage(again) {
		t.Errorf("begun again: %q, %v", again, err)
	}
	r.Abandon()
}

// beHumble becomes another process of ours without the rights that making namespaces
// takes of root: as an ordinary user, it needs a user namespace.
func beHumble(args []string) error {
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_SYS_ADMIN, 0, 0, 0); err != nil && os.Geteuid() == 0 {
		return err
	}
	path, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(path, append([]string{path, exitRole}, args...), os.Environ())
}

// captureAndExit captures a command and prints what that prints, or what refuses it.
func captureAndExit(argv []string) error {
	output, started, finished := start(Options{Ports: []uint16{443}}, release, argv...)
	err := errors.Join(started, finished)
	if refused := new(Refused); errors.As(err, &refused) {
		fmt.Printf("refused: %v\n", err)
		return nil
	}
	if err != nil {
		return err
	}
	fmt.Print(output())
	return nil
}

// Who may not administer the machine gets a user namespace: the command has the same
// number there, and none of the rights that the stage had.
func TestWithoutTheRightToAdminister(t *testing.T) {
	cmd := process.Command(t, humbleRole, "/bin/sh", "-c", "id -u; grep CapEff /proc/self/status; readlink /proc/self/ns/user")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if strings.HasPrefix(string(out), "refused: ") {
		leftout.Note(t, "a user namespace for a command, which this system refuses")
		return
	}
	lines := strings.Split(string(out), "\n")
	if len(lines) != 4 {
		t.Fatalf("printed %q", out)
	}
	var rights uint64
	if _, err := fmt.Sscanf(lines[1], "CapEff: %x", &rights); err != nil {
		t.Fatalf("%q: %v", lines[1], err)
	}
	for _, c := range []int{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_SYS_ADMIN, unix.CAP_SYS_PTRACE, unix.CAP_SYS_MODULE} {
		if rights&(1<<c) != 0 {
			t.Errorf("the command has capability %d", c)
		}
	}
	own, err := os.Readlink("/proc/self/ns/user")
	if err != nil || lines[0] != fmt.Sprint(os.Geteuid()) || lines[2] == own {
		t.Errorf("printed %q in place of %s, %v", out, own, err)
	}
}

// A refusal says what was tried, why it failed, and what may be switched on.
func TestRefusal(t *testing.T) {
	cause := errors.New("operation not permitted")
	err := refusal(cause)
	refused := new(Refused)
	if !errors.As(err, &refused) || !errors.Is(err, cause) || refused.Advice == "" || !strings.HasSuffix(err.Error(), ": operation not permitted") {
		t.Errorf("%+v", err)
	}
}

// The stage does nothing that it was not told in full.
func TestStageRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, args := range [][]string{nil, {"{}", "/bin/true"}, {"no order", "/bin/true", "true"}, {`{"control":1000000}`, "/bin/true", "true"}} {
		if err := Stage(args); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

// Only the stage is started in namespaces of its own, and what is held for it is let
// go of when it has been started.
func TestCloneAndRelease(t *testing.T) {
	other := exec.Command("/bin/true", "a", "b", "c", "d", "e")
	if Clone(other); other.SysProcAttr != nil {
		t.Errorf("another command: %+v", other.SysProcAttr)
	}
	Release(other.Args)
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	told, err := json.Marshal(order{Control: fds[1]})
	if err != nil {
		t.Fatal(err)
	}
	stage := []string{"agentproxy", StageCommand, string(told), "/bin/true", "true"}
	cmd := &exec.Cmd{Path: "/bin/true", Args: stage}
	if Clone(cmd); cmd.SysProcAttr == nil || cmd.SysProcAttr.Cloneflags&(unix.CLONE_NEWNET|unix.CLONE_NEWNS) != unix.CLONE_NEWNET|unix.CLONE_NEWNS {
		t.Errorf("the stage: %+v", cmd.SysProcAttr)
	}
	Release(stage)
	if n, err := unix.Read(fds[0], make([]byte, 1)); n != 0 || err != nil { // the end: nobody else holds it
		t.Errorf("it is still held: %d, %v", n, err)
	}
}

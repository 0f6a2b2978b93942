package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/agentproxy/agentproxy/proxy/proxytest/leftout"
	"github.com/agentproxy/agentproxy/proxy/proxytest/tcp"
	"golang.org/x/sys/unix"
)

const reachRole = "reach"

// reach prints what comes of connecting to each address: TCP's, or of AF_UNIX by a path or
// a name with "@".
func reach(args []string) error {
	for _, address := range args {
		network := "tcp"
		if strings.ContainsAny(address[:1], "/@") {
			network = "unix"
		}
		c, err := net.Dial(network, address)
		if err != nil {
			fmt.Println("not", address)
			continue
		}
		text, _ := io.ReadAll(c)
		c.Close()
		fmt.Println(string(text), address)
	}
	return nil
}

const ownRole = "own"

// reachOwn prints what comes of connecting to servers of its own: of each kind of address,
// with a socket that does not block as with one that does.
func reachOwn(args []string) error {
	for _, address := range args {
		network := "tcp"
		if strings.ContainsAny(address[:1], "/@") {
			network = "unix"
		}
		if strings.HasSuffix(address, "packet") {
			network = "unixpacket"
		}
		l, err := net.Listen(network, address)
		if err != nil {
			return err
		}
		go tcp.Greet(l, "own")
		to := l.Addr().String()
		if a, ok := l.Addr().(*net.TCPAddr); ok && a.IP.IsUnspecified() {
			to = fmt.Sprint("localhost:", a.Port)
		}
		c, err := net.Dial(network, to)
		if err != nil {
			return err
		}
		text := make([]byte, 10)
		n, err := c.Read(text)
		c.Close()
		l.Close()
		fmt.Println(string(text[:n]), err, address)
	}
	return nil
}

// isolated is supervised for an isolated command; false where the kernel has not what that
// takes.
func isolated(t *testing.T, o Options, i Isolation, argv ...string) (output string, ok bool) {
	t.Helper()
	if landlockVersion() < landlockNet {
		leftout.Note(t, "isolation without namespaces: "+errLandlock.Error())
		return "", false
	}
	o.Isolation = &i
	hand, ended := tunnel(t)
	end, ok := supervised(t, o, hand, argv...)
	if !ok {
		return "", false
	}
	output = end()
	ended()
	return output, true
}

// serveForTest answers "outside" to whoever connects.
func serveForTest(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go tcp.Greet(l, "outside")
	return l
}

// An isolated command in the host's network reaches its own servers, the tunnel, and what
// is shared with it.
func TestAnIsolatedCommandReachesItsOwn(t *testing.T) {
	dir := t.TempDir()
	emptied := filepath.Join(dir, "run")
	if err := os.Mkdir(emptied, 0o700); err != nil {
		t.Fatal(err)
	}
	shared, other := serveForTest(t, "tcp", "127.0.0.1:0"), serveForTest(t, "tcp", "127.0.0.1:0")
	known, abstract := filepath.Join(dir, "known"), "@"+dir
	serveForTest(t, "unix", known)
	serveForTest(t, "unix", abstract)
	i := Isolate("", nil, nil)
	later := filepath.Join(emptied, "later")
	serveForTest(t, "unix", later) // it is not among what was found
	i.Emptied = []string{emptied}
	i.Reach = []uint16{netip.MustParseAddrPort(shared.Addr().String()).Port()}
	out, ok := isolated(t, Options{Ports: []uint16{443}}, i, self(t, reachRole, "192.0.2.7:443", shared.Addr().String(), other.Addr().String(), "192.0.2.7:8080", known, later, abstract, "/nowhere", "@")...)
	if !ok {
		return
	}
	want := fmt.Sprintf("you meant 192.0.2.7:443 <nil> 192.0.2.7:443\noutside %s\nnot %s\nnot 192.0.2.7:8080\nnot %s\nnot %s\nnot %s\nnot /nowhere\nnot @\n",
		shared.Addr(), other.Addr(), known, later, abstract)
	if out != want {
		t.Errorf("%q, not %q", out, want)
	}
	own := []string{"127.0.0.1:0", ":0", dir + "/own", dir + "/own-packet", "@" + dir + "/own"}
	if l, err := net.Listen("tcp", "[::1]:0"); err == nil {
		l.Close()
		own = append(own, "[::1]:0")
	}
	out, _ = isolated(t, Options{}, i, self(t, ownRole, own...)...)
	for _, address := range own {
		if !strings.Contains(out, "own <nil> "+address+"\n") {
			t.Errorf("%s: %s", address, out)
		}
	}
}

// What is ours an isolated command cannot see, whatever it calls it; all else is as it was,
// also what it makes beside ours, and where it has no right to a file it has none still.
func TestAnIsolatedCommandSeesNothingOfOurs(t *testing.T) {
	home := t.TempDir()
	state := filepath.Join(home, "above", "state")
	for path, text := range map[string]string{"above/state/kept": "certificate", "above/state/secret": "key", "above/old": "old", "work/old": "old"} {
		path = filepath.Join(home, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text+"\n"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	ours := filepath.Join(home, "ours")
	if err := os.WriteFile(ours, []byte("roots\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	script := `exec 2>/dev/null; cd "$1"
		no() { "$@" >/dev/null && echo "could $*"; }
		cat above/state/kept above/old work/old roots
		no cat above/state/secret; no ls above/state; no cat "$1/above/./state/secret"; ln -s above/state link; no cat link/secret
		cd above/state && no cat secret; cd "$1"
		no ln above/state/secret hard; no mv above/state/secret soft
		mv above/state above/other && no cat above/other/secret; mv above moved && no cat moved/other/secret; mv moved above; mv above/other above/state
		echo new >new; cat new; echo more >>new; cat "$1/new" | tail -n 1; (umask 077; echo x >private; umask 0; echo x >public); stat -c %a private public
		mkdir -p made/deeper; echo deep >made/deeper/file; cat made/deeper/file; ls . >all && grep -c new all
		echo next >.next; mv .next new; cat new; rm new; cat new; (set -C; echo no >old && echo no >private) || echo there already
		: >truncated; echo longer >truncated; : >truncated; wc -c <truncated; echo w >work/new; cat work/new; test ! -e none && no cat none`
	i := Isolation{State: []string{state, filepath.Join(home, "none")}, Kept: []string{state + "/kept", state + "/none"}}
	roots := filepath.Join(home, "roots")
	if err := os.WriteFile(roots, []byte("without\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, ok := isolated(t, Options{Mounts: []Mount{{ours, roots}}}, i, "/bin/sh", "-c", script, "sh", home)
	if !ok {
		return
	}
	want := "certificate\nold\nold\nroots\nnew\nmore\n600\n666\ndeep\n1\nnext\nthere already\n0\nw\n"
	if out != want {
		t.Errorf("%q, not %q", out, want)
	}
	if text, err := os.ReadFile(state + "/secret"); err != nil || string(text) != "key\n" {
		t.Errorf("ours is %q, %v", text, err)
	}
}

// An isolated command has its name servers as every supervised one, though it has no
// sockets for datagrams.
func TestAnIsolatedCommandAsksForNames(t *testing.T) {
	if landlockVersion() < landlockNet {
		leftout.Note(t, "isolation without namespaces: "+errLandlock.Error())
		return
	}
	areAnswered(t, Options{Isolation: &Isolation{}})
}

// What an isolated command leaves behind stays isolated, and keeps what it has.
func TestWhatIsLeftBehindStaysIsolated(t *testing.T) {
	dir := t.TempDir()
	state, begin, said := filepath.Join(dir, "state"), filepath.Join(dir, "begin"), filepath.Join(dir, "said")
	if err := errors.Join(os.Mkdir(state, 0o700), os.WriteFile(state+"/secret", []byte("key"), 0o600), syscall.Mkfifo(begin, 0o600), os.WriteFile(said, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	other := serveForTest(t, "tcp", "127.0.0.1:0")
	dial := strings.Join(self(t, reachRole, "192.0.2.7:443", other.Addr().String()), " ")
	if landlockVersion() < landlockNet {
		leftout.Note(t, "isolation without namespaces: "+errLandlock.Error())
		return
	}
	hand, ended := tunnel(t)
	i := Isolation{State: []string{state}}
	end, ok := supervised(t, Options{Ports: []uint16{443}, Isolation: &i}, hand, "/bin/sh", "-c",
		fmt.Sprintf(`(read x <%s; %s; cat %s/secret; echo new >%s/new; cat %[4]s/new) >%[5]s 2>/dev/null </dev/null &`, begin, dial, state, dir, said))
	if !ok {
		return
	}
	end()
	if err := os.WriteFile(begin, []byte("go\n"), 0); err != nil {
		t.Fatal(err)
	}
	ended()
	want := fmt.Sprintf("you meant 192.0.2.7:443 <nil> 192.0.2.7:443\nnot %s\nnew\n", other.Addr())
	if got, err := os.ReadFile(said); err != nil || string(got) != want {
		t.Errorf("it said %q, %v", got, err)
	}
}

// The filter of a command that has no network of its own, run by hand.
func TestFilterInTheHostsNetwork(t *testing.T) {
	const arch = unix.AUDIT_ARCH_X86_64
	const goes = unix.SECCOMP_RET_ALLOW
	errno := func(e unix.Errno) uint32 { return unix.SECCOMP_RET_ERRNO | uint32(e) }
	for name, c := range map[string]struct {
		call uint32
		args [6]uint64
		want uint32
	}{
		"a stream":                    {unix.SYS_SOCKET, [6]uint64{unix.AF_INET, unix.SOCK_STREAM | unix.SOCK_CLOEXEC}, goes},
		"a stream of TCP":             {unix.SYS_SOCKET, [6]uint64{unix.AF_INET6, unix.SOCK_STREAM, unix.IPPROTO_TCP}, goes},
		"a stream of paths":           {unix.SYS_SOCKET, [6]uint64{unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP}, errno(unix.EPROTONOSUPPORT)},
		"datagrams":                   {unix.SYS_SOCKET, [6]uint64{unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_UDP}, goes},
		"pings":                       {unix.SYS_SOCKET, [6]uint64{unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_ICMP}, errno(unix.EPROTONOSUPPORT)},
		"packets":                     {unix.SYS_SOCKET, [6]uint64{unix.AF_INET, unix.SOCK_RAW}, errno(unix.EPROTONOSUPPORT)},
		"a socket in the file system": {unix.SYS_SOCKET, [6]uint64{unix.AF_UNIX, unix.SOCK_STREAM}, goes},
		"packets in the file system":  {unix.SYS_SOCKET, [6]uint64{unix.AF_UNIX, unix.SOCK_SEQPACKET | unix.SOCK_NONBLOCK}, goes},
		"datagrams there":             {unix.SYS_SOCKET, [6]uint64{unix.AF_UNIX, unix.SOCK_DGRAM | unix.SOCK_CLOEXEC}, errno(unix.EPROTONOSUPPORT)},
		"by their older name":         {unix.SYS_SOCKET, [6]uint64{unix.AF_UNIX, unix.SOCK_RAW}, errno(unix.EPROTONOSUPPORT)},
		"a pair":                      {unix.SYS_SOCKETPAIR, [6]uint64{unix.AF_UNIX, unix.SOCK_STREAM}, goes},
		"a pair for datagrams":        {unix.SYS_SOCKETPAIR, [6]uint64{unix.AF_UNIX, unix.SOCK_DGRAM}, errno(unix.EPROTONOSUPPORT)},
		"interfaces":                  {unix.SYS_SOCKET, [6]uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE}, goes},
		"devices":                     {unix.SYS_SOCKET, [6]uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_KOBJECT_UEVENT}, errno(unix.EPROTONOSUPPORT)},
		"the hypervisor":              {unix.SYS_SOCKET, [6]uint64{unix.AF_VSOCK, unix.SOCK_STREAM}, errno(unix.EAFNOSUPPORT)},
		"errors of datagrams":         {unix.SYS_SETSOCKOPT, [6]uint64{3, unix.IPPROTO_IP, unix.IP_RECVERR}, errno(0)},
		"errors by IPv6":              {unix.SYS_SETSOCKOPT, [6]uint64{3, unix.IPPROTO_IPV6, unix.IPV6_RECVERR}, errno(0)},
		"another option":              {unix.SYS_SETSOCKOPT, [6]uint64{3, unix.IPPROTO_IP, unix.IP_TOS}, goes},
		"another level":               {unix.SYS_SETSOCKOPT, [6]uint64{3, unix.SOL_SOCKET, unix.IP_RECVERR}, goes},
		"how to open":                 {unix.SYS_OPENAT2, [6]uint64{}, errno(unix.ENOSYS)},
	} {
		if got := decide(t, filter(arch, hostNetwork), c.call, arch, c.args); got != c.want {
			t.Errorf("%s: %#x, not %#x", name, got, c.want)
		}
	}
	if got := decide(t, traps(arch, true), unix.SYS_OPENAT, arch, [6]uint64{0, 0, unix.O_WRONLY | unix.O_CREAT}); got != unix.SECCOMP_RET_USER_NOTIF {
		t.Errorf("a file to write: %#x", got)
	}
}

// inTable is an address as the kernel's tables have it.
func inTable(a netip.AddrPort) (text string) {
	for b := a.Addr().AsSlice(); len(b) > 0; b = b[4:] {
		text += fmt.Sprintf("%08X", binary.NativeEndian.Uint32(b))
	}
	return fmt.Sprintf("%s:%04X", text, a.Port())
}

// Addresses as the kernel's tables have them.
func TestTableAddresses(t *testing.T) {
	for _, address := range []string{"127.0.0.1:8080", "0.0.0.0:1", "[::1]:65535", "[::]:443"} {
		want := netip.MustParseAddrPort(address)
		if got, ok := tableAddress(inTable(want)); !ok || got != want {
			t.Errorf("%s is %s, %v", inTable(want), got, ok)
		}
	}
	for _, text := range []string{"", "0100007F", "0100007F:12345", "0100007:50", "01000G7F:50", "0100007F0100007F:50"} {
		if got, ok := tableAddress(text); ok {
			t.Errorf("%q is %s", text, got)
		}
	}
}

// What is around directories, and what leads past it.
func TestWall(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"a/ours/within", "a/beside", "b/ours"} {
		if err := os.MkdirAll(filepath.Join(dir, path), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	w := wallAround([]string{dir + "/a/ours", dir + "/a/ours/within", dir + "/none", dir + "/b/ours", dir + "/b/ours"})
	if want := []string{dir + "/a/ours", dir + "/b/ours"}; !slices.Equal(w.Behind, want) {
		t.Errorf("behind is %q", w.Behind)
	}
	open := w.open()
	for path, want := range map[string]bool{dir + "/a/beside": true, dir + "/a/ours": false, dir + "/a": false, dir + "/b": false} {
		if slices.Contains(open, path) != want {
			t.Errorf("%s: %v", path, !want)
		}
	}
	for path, want := range map[string]string{"/": "", dir: "", dir + "/a/beside/x/y": dir + "/a/beside", dir + "/a/ours/x": dir + "/a/ours", dir + "/c": dir + "/c", "/usr/bin/x": "/usr"} {
		if got := w.entry(path); got != want {
			t.Errorf("%s: %q, not %q", path, got, want)
		}
	}
	if none := wallAround(nil); none.entry("/usr/bin") != "/usr" {
		t.Errorf("without directories: %+v", none)
	}
}

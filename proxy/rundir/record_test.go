package rundir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/peer"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// A record is read as it was written, by its key or among all, and only its user
// can read it.
func TestRecordIsReadAsWritten(t *testing.T) {
	t.Parallel()
	dir, file := place(t)
	must(t, os.Remove(file))
	want := &Record{Key: "k", Settings: "s", ConfigPath: "/c.toml", PID: os.Getpid(), Port: 4711, Secret: "secret", Version: "1", Upstream: "http://proxy.example:3128",
		Inherited: true, CAs: []string{"/ca.pem"}, Started: status.Time{Time: time.Unix(1e9, 0).UTC()}}
	must(t, want.Write(dir))
	got, err := Read(dir, "k")
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Record{})); diff != "" || err != nil {
		t.Errorf("error %v\n%s", err, diff)
	}
	if all := ReadAll(dir); len(all) != 1 || all[0].Secret != "secret" {
		t.Errorf("%+v", all)
	}
	if info, err := os.Stat(filepath.Join(dir, "endpoint-k.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, error %v", info, err)
	}
	if _, err := Read(dir, "other"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	if all := ReadAll(dir + ".none"); len(all) != 0 {
		t.Errorf("%+v", all)
	}
}

// What is no record is passed over: it must not lead a command to port 0, nor to
// whoever answers without a secret.
func TestWhatIsNoRecord(t *testing.T) {
	t.Parallel()
	dir, file := place(t)
	for name, content := range map[string]string{"cut": `{"key":"x","po`, "empty": "", "no port": `{"secret":"s"}`, "no secret": `{"port":1}`} {
		must(t, os.WriteFile(file, []byte(content), 0o600))
		if r, err := Read(dir, "x"); err == nil || len(ReadAll(dir)) != 0 {
			t.Errorf("%s: %+v", name, r)
		}
	}
	must(t, os.WriteFile(filepath.Join(dir, "notes.json"), []byte(`{"key":"y","port":1,"secret":"s"}`), 0o600))
	if all := ReadAll(dir); len(all) != 0 {
		t.Errorf("%+v", all)
	}
}

// A tunnel knows when its record has gone or is another's, and never removes that of
// its successor.
func TestRecordOfASuccessor(t *testing.T) {
	t.Parallel()
	dir, _ := place(t)
	mine := &Record{Key: "k", PID: 1, Port: 1, Secret: "one"}
	must(t, mine.Write(dir))
	if mine.Gone() {
		t.Error("it is there")
	}
	successor := &Record{Key: "k", PID: 2, Port: 1, Secret: "two"}
	must(t, successor.Write(dir))
	if !mine.Gone() {
		t.Error("it is another's")
	}
	mine.Remove()
	if r, err := Read(dir, "k"); err != nil || r.PID != 2 {
		t.Fatalf("%+v, error %v", r, err)
	}
	must(t, os.Chmod(filepath.Join(dir, "endpoint-k.json"), 0o666))
	if successor.Gone() {
		t.Error("a record that may not be believed is no reason to leave")
	}
	must(t, os.Chmod(filepath.Join(dir, "endpoint-k.json"), 0o600))
	successor.Remove()
	if !successor.Gone() || len(ReadAll(dir)) != 1 { // place's
		t.Error("it is there")
	}
}

// A proof holds for its role, its nonce and its secret alone.
func TestProofs(t *testing.T) {
	t.Parallel()
	r, other := &Record{Secret: "one"}, &Record{Secret: "two"}
	proof := r.Proof(RoleClient, "nonce")
	if !r.Verify(RoleClient, "nonce", proof) || strings.Contains(proof, "one") {
		t.Errorf("%s", proof)
	}
	for name, ok := range map[string]bool{
		"another role":   r.Verify(RoleServer, "nonce", proof),
		"another nonce":  r.Verify(RoleClient, "nonce2", proof),
		"another secret": other.Verify(RoleClient, "nonce", proof),
		"no nonce":       r.Verify(RoleClient, "", r.Proof(RoleClient, "")),
		"no proof":       r.Verify(RoleClient, "nonce", ""),
		"a part of it":   r.Verify(RoleClient, "nonce", proof[:32]),
	} {
		if ok {
			t.Errorf("%s passes", name)
		}
	}
}

// One starter at a time holds the lock; the next gets it when that is done.
func TestLock(t *testing.T) {
	t.Parallel()
	dir, _ := place(t)
	release, err := Lock(dir)
	must(t, err)
	got := make(chan error)
	go func() {
		release, err := Lock(dir)
		if err == nil {
			release()
		}
		got <- err
	}()
	select {
	case err := <-got:
		t.Fatalf("two have the lock: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	release()
	select {
	case err := <-got:
		must(t, err)
	case <-time.After(20 * time.Second):
		t.Fatal("it is never released")
	}
	if _, err := Lock(dir + ".none"); err == nil {
		t.Error("a directory that is not there was locked")
	}
}

// The shells' file is one line of the same length whatever it says, for its user.
func TestShellFile(t *testing.T) {
	t.Parallel()
	dir, _ := place(t)
	path := ShellFilePath(dir, "k")
	line := func() string {
		t.Helper()
		raw, err := os.ReadFile(path)
		must(t, err)
		return string(raw)
	}
	f, err := NewShellFile(dir, "k", 4711)
	must(t, err)
	before := line()
	must(t, f.Failed(time.UnixMilli(1700000000123)))
	after := line()
	if a, b := strings.Fields(before), strings.Fields(after); len(before) != len(after) || a[0] != "4711" || b[0] != "4711" ||
		a[1] != "0000000000000" || b[1] != "1700000000123" || a[2] != b[2] || !strings.HasSuffix(after, "\n") {
		t.Errorf("%q, then %q", before, after)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, error %v", info, err)
	}
	successor, err := NewShellFile(dir, "k", 4712)
	must(t, err)
	f.Stop()
	if !strings.HasPrefix(line(), "4712 ") {
		t.Errorf("%q: the successor's is gone", line())
	}
	successor.Stop()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	if _, err := NewShellFile(dir+".none", "k", 1); err == nil {
		t.Error("a file was written into no directory")
	}
}

// A shell keeps its tunnel for as long as it lives: neither a dead one does, nor
// another process that has got its number.
func TestShells(t *testing.T) {
	t.Parallel()
	dir, _ := place(t)
	if n := Shells(dir, "k"); n != 0 {
		t.Errorf("%d before any", n)
	}
	must(t, KeepFor(dir, "k", os.Getpid()))
	must(t, KeepFor(dir, "k", 1<<30)) // no process can have that number
	if peer.Started(os.Getpid()) == "" {
		t.Fatal("this process has not started")
	}
	shells := shellsDir(dir, "k")
	must(t, os.WriteFile(filepath.Join(shells, "1"), []byte("another time"), 0o600))
	must(t, os.WriteFile(filepath.Join(shells, ".being-written"), nil, 0o600))
	if n, other := Shells(dir, "k"), Shells(dir, "k2"); n != 1 || other != 0 {
		t.Errorf("%d, of another tunnel %d", n, other)
	}
	if left, err := os.ReadDir(shells); err != nil || len(left) != 2 {
		t.Errorf("%v, error %v", left, err)
	}
	must(t, ForgetShells(dir, "k"))
	if n := Shells(dir, "k"); n != 0 {
		t.Errorf("%d after all", n)
	}
}

// A full log is put aside, and what comes next begins a new one.
func TestOpenLog(t *testing.T) {
	t.Parallel()
	dir, _ := place(t)
	path := LogPath(dir, "k")
	add := func(text string) {
		t.Helper()
		f, err := OpenLog(path)
		must(t, err)
		defer f.Close()
		_, err = f.WriteString(text)
		must(t, err)
	}
	add("one\n")
	add("two\n")
	must(t, os.Truncate(path, MaxLog+1))
	add("three\n")
	if raw, err := os.ReadFile(path); err != nil || string(raw) != "three\n" {
		t.Errorf("%q, error %v", raw, err)
	}
	if raw, err := os.ReadFile(path + ".1"); err != nil || !strings.HasPrefix(string(raw), "one\ntwo\n") {
		t.Errorf("%d bytes, error %v", len(raw), err)
	}
	must(t, os.Remove(path))
	must(t, os.Symlink("/etc/passwd", path))
	if _, err := OpenLog(path); err == nil {
		t.Error("a link was taken for the log")
	}
}

func TestLogTail(t *testing.T) {
	t.Parallel()
	dir, _ := place(t)
	path := LogPath(dir, "k")
	must(t, os.WriteFile(path, []byte("one\ntwo\nthree\n\n"), 0o600))
	for lines, want := range map[int]string{1: "three", 2: "two\nthree", 10: "one\ntwo\nthree"} {
		if got := LogTail(path, lines); got != want {
			t.Errorf("%d: %q", lines, got)
		}
	}
	if got := LogTail(path+".none", 3); got != "" {
		t.Errorf("%q", got)
	}
}

// A file's state changes with whatever is done to it, what keeps its size and sets its
// time back included; one that OpenFile refuses has none.
func TestState(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := State(path)
	if again, fault := State(path); err != nil || fault != nil || again != before {
		t.Fatalf("%q, then %q: %v, %v", before, again, err, fault)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond) // the clock of a file system may tick so slowly
	damage := errors.Join(os.WriteFile(path, []byte("12345678\x00"), 0o600), os.Chtimes(path, info.ModTime(), info.ModTime()))
	if after, err := State(path); damage != nil || err != nil || after == before {
		t.Errorf("damage is not noticed: %q, %v, %v", after, damage, err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if is, err := State(path); err == nil {
		t.Errorf("others may write it: %q", is)
	}
}

// What we put into a state directory is known to be ours; what a user keeps there is
// not, and so survives.
func TestRegistered(t *testing.T) {
	t.Parallel()
	for _, path := range []string{CertFile, KeyFile, filepath.Base(recordPath("", "k")), filepath.Base(LogPath("", "k")), filepath.Base(LogPath("", "k")) + ".1",
		filepath.Base(ShellFilePath("", "k")), filepath.Base(shellsDir("", "k")), lockFile, portsFile} {
		if !IsRegistered(path) {
			t.Errorf("%s is not ours", path)
		}
	}
	for _, name := range []string{"", "notes.txt", "endpoint.json", ".git", "locks"} {
		if IsRegistered(name) {
			t.Errorf("%q is ours", name)
		}
	}
}

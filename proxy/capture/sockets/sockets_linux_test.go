package sockets

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pair returns two ends that exchange messages, over a path.
func pair(t *testing.T, path string) (client, server *net.UnixConn) {
	t.Helper()
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = Dial(path); err != nil {
		t.Fatal(err)
	}
	if server, err = l.AcceptUnix(); err != nil {
		t.Fatal(err)
	}
	server.SetDeadline(time.Now().Add(time.Minute))
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

// A set arrives as sockets of the other process's own, whatever the length of the
// path; where one was left, another is made.
func TestASetIsPassedOn(t *testing.T) {
	dir := t.TempDir()
	long := filepath.Join(dir, strings.Repeat("d", 100))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "s"), filepath.Join(dir, "s"), filepath.Join(long, "s")} {
		client, server := pair(t, path)
		reader, writer, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		fd, err := unix.Dup(int(writer.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		writer.Close()
		sent := &Set{Namespace: 7, IPv6: true, Sockets: []Socket{{Kind: Stream, Port: 443, FD: fd}}}
		if err := Send(client, Message{Run: "run1", Set: sent}); err != nil {
			t.Fatal(err)
		}
		sent.Close()
		m, err := Receive(server)
		if err != nil || m.Run != "run1" || m.Set == nil || m.Set.Namespace != 7 || !m.Set.IPv6 || len(m.Set.Sockets) != 1 {
			t.Fatalf("%+v, %v", m, err)
		}
		got := m.Set.Sockets[0]
		if flags, err := unix.FcntlInt(uintptr(got.FD), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 || got.Kind != Stream || got.Port != 443 {
			t.Errorf("%+v, flags %d, %v", got, flags, err)
		}
		if _, err := unix.Write(got.FD, []byte("through")); err != nil {
			t.Error(err)
		}
		m.Set.Close()
		if text, err := io.ReadAll(reader); err != nil || string(text) != "through" { // to its end: nobody holds it
			t.Errorf("%q, %v", text, err)
		}
		reader.Close()
	}
	if _, err := Dial(filepath.Join(dir, "nobody")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if _, err := Listen(filepath.Join(dir, strings.Repeat("e", 100), "s")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// What is said without a set arrives as it was said, and the end is an error.
func TestMessages(t *testing.T) {
	client, server := pair(t, filepath.Join(t.TempDir(), "s"))
	want := Message{Error: "no such file", Errno: 2, Executing: true}
	if err := Send(client, want); err != nil {
		t.Fatal(err)
	}
	if got, err := Receive(server); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	client.Close()
	if m, err := Receive(server); err == nil {
		t.Errorf("after the end: %+v", m)
	}
}

// A message that is not understood, or names other sockets than it has, is an error,
// and the sockets that came with it are closed.
func TestMessagesThatAreWrong(t *testing.T) {
	for _, text := range []string{"{", `{"set":{"sockets":[]}}`, `{"set":{"sockets":[{"kind":"tcp"},{"kind":"udp"}]}}`, `{"run":"run1"}`} {
		client, server := pair(t, filepath.Join(t.TempDir(), "s"))
		reader, writer, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := client.WriteMsgUnix([]byte(text), unix.UnixRights(int(writer.Fd())), nil); err != nil {
			t.Fatal(err)
		}
		writer.Close()
		if m, err := Receive(server); (err == nil) != strings.Contains(text, "run1") || m.Set != nil && err == nil {
			t.Errorf("%s: %+v, %v", text, m, err)
		}
		if _, err := reader.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%s: its socket is kept: %v", text, err)
		}
		reader.Close()
	}
}

// More than one message carries is not sent in part.
func TestTooManySockets(t *testing.T) {
	client, _ := pair(t, filepath.Join(t.TempDir(), "s"))
	if err := Send(client, Message{Set: &Set{Sockets: make([]Socket, maxDescriptors+1)}}); err == nil {
		t.Error("no error")
	}
}

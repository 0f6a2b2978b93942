package capture

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/agentproxy/agentproxy/proxy/capture/sockets"
	"github.com/agentproxy/agentproxy/wrap/term"
	"golang.org/x/sys/unix"
)

// supervise begins to supervise the stage, and returns what the tunnel serves it by: the
// sockets are the host's, on loopback.
func (r *Run) supervise(set *sockets.Set) (*sockets.Set, error) {
	if len(set.Sockets) != 1 || set.Sockets[0].Kind != sockets.Notify {
		set.Close()
		return nil, errors.New("the stage has sent something else than its calls")
	}
	calls := set.Sockets[0].FD
	served, known, alive, err := r.serve()
	if err != nil {
		unix.Close(calls)
		return nil, err
	}
	if r.supervisor, err = supervise(calls, alive, known); err != nil {
		served.Close()
		return nil, err
	}
	return served, nil
}

// serve makes the sockets, and the pipe that tells of the end.
func (r *Run) serve() (*sockets.Set, supervision, *os.File, error) {
	set := new(sockets.Set)
	fail := func(err error) (*sockets.Set, supervision, *os.File, error) {
		set.Close()
		return nil, supervision{}, nil, err
	}
	known := supervision{Ports: r.options.Ports, Mounts: r.options.Mounts, Guard: r.guard}
	known.Secret = make([]byte, secretLength)
	rand.Read(known.Secret)
	set.Secret = known.Secret
	forward, err := bound(unix.SOCK_STREAM, &known.Forward)
	if err != nil {
		return fail(err)
	}
	set.Sockets = append(set.Sockets, sockets.Socket{Kind: sockets.Forward, FD: forward})
	if err := unix.Listen(forward, backlog); err != nil {
		return fail(err)
	}
	names, err := bound(unix.SOCK_DGRAM, &known.Names)
	if err != nil {
		return fail(err)
	}
	set.Sockets = append(set.Sockets, sockets.Socket{Kind: sockets.Datagram, Port: DNSPort, FD: names})
	near, alive, err := os.Pipe()
	if err != nil {
		return fail(err)
	}
	defer near.Close()
	fd, err := unix.FcntlInt(near.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		alive.Close()
		return fail(err)
	}
	set.Sockets = append(set.Sockets, sockets.Socket{Kind: sockets.Alive, FD: fd})
	return set, known, alive, nil
}

const secretLength = 16

// bound returns a socket of loopback with a free port.
func bound(kind int, port *uint16) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	var address unix.Sockaddr
	err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	if err == nil {
		address, err = unix.Getsockname(fd)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	*port = uint16(address.(*unix.SockaddrInet4).Port)
	return fd, nil
}

// succession starts a process that supervises from now on. Where Yama lets only
// ancestors see into a process, what that cannot see into connects no more.
func (s *supervisor) succession() {
	self, err := os.Executable()
	if err != nil {
		return
	}
	known, err := s.told()
	if err != nil {
		return
	}
	defer known.Close()
	calls, err := unix.FcntlInt(uintptr(s.calls), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return
	}
	cmd := exec.Command(self, SuperviseCommand)
	cmd.Args[0] = "agentproxy"
	cmd.Stdin = known
	file := os.NewFile(uintptr(calls), string(sockets.Notify))
	defer file.Close()
	cmd.ExtraFiles = []*os.File{file, s.alive}
	cmd.Dir, cmd.Env = "/", []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if cmd.Start() == nil {
		cmd.Process.Release()
	}
}

// told is a file in memory of what a supervisor knows, which may be more than an argument
// holds.
func (s *supervisor) told() (*os.File, error) {
	fd, err := unix.MemfdCreate("supervision", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "supervision")
	if s.Guard != nil {
		s.Guard.mu.Lock()
		defer s.Guard.mu.Unlock()
	}
	err = json.NewEncoder(file).Encode(s.supervision)
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// Supervise supervises what a command has left behind, until the last of it ends. It
// reads what the supervisor before it knew; descriptors 3 and 4 are of the calls and of
// the pipe that tells the tunnel of the end.
func Supervise(told io.Reader) error {
	var known supervision
	if err := json.NewDecoder(told).Decode(&known); err != nil {
		return fmt.Errorf("%s: not what a supervisor knows: %w", SuperviseCommand, err)
	}
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT)
	unix.CloseOnExec(3)
	unix.CloseOnExec(4)
	term.CloseInherited()
	s, err := supervise(3, os.NewFile(4, "alive"), known)
	if err != nil {
		return err
	}
	<-s.ended
	s.close()
	return nil
}

package term

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// PassOnCommand is the hidden command of our binary that PassOn implements.
const PassOnCommand = "__pass-on"

// handOver starts a process that keeps the paths, which somebody whom the
// command left behind can still write to. When that fails, they end.
func handOver(paths []*path) {
	self, err := os.Executable()
	if err != nil {
		return
	}
	cmd := exec.Command(self, PassOnCommand)
	for _, p := range paths {
		kind := "pipe"
		if p.screen != nil {
			kind = "terminal"
		}
		cmd.Args = append(cmd.Args, fmt.Sprintf("%d:%s:%d", 3+len(cmd.ExtraFiles), kind, p.out))
		cmd.ExtraFiles = append(cmd.ExtraFiles, p.near)
		// Only what is still written to is kept open.
		if p.out == 1 {
			cmd.Stdout = os.Stdout
		} else {
			cmd.Stderr = os.Stderr
		}
	}
	cmd.Args[0] = "agentproxy"
	cmd.Dir, cmd.Env = "/", []string{}
	if cmd.Start() == nil {
		cmd.Process.Release()
	}
}

// PassOn copies until every stream has ended: "3:pipe:1" names the descriptor
// to read, what it is, and where it goes. The signals of the terminal were
// meant for others.
func PassOn(args []string) error {
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU)
	never, end, err := os.Pipe()
	if err != nil {
		return err
	}
	defer end.Close()
	var loops sync.WaitGroup
	for _, arg := range args {
		parts := strings.Split(arg, ":")
		if len(parts) != 3 {
			return fmt.Errorf("%s %s: not DESCRIPTOR:KIND:DESCRIPTOR", PassOnCommand, arg)
		}
		in, err := strconv.Atoi(parts[0])
		if err != nil {
			return err
		}
		out, err := strconv.Atoi(parts[2])
		if err != nil {
			return err
		}
		p := newPath(os.NewFile(uintptr(in), ""), nil, out)
		p.release = true
		if parts[1] == "terminal" {
			p.screen = resume(p.fd, out)
		}
		loops.Go(func() { p.run(int(never.Fd())) })
	}
	loops.Wait()
	return nil
}

package term

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
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
		cmd.Args = append(cmd.Args, fmt.Sprintf("%d:%d", 3+len(cmd.ExtraFiles), p.out))
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

// PassOn copies until every stream has ended: "3:1" names the descriptor to
// read and the one it goes to. The signals of the terminal were meant for
// others.
func PassOn(args []string) error {
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU)
	var loops sync.WaitGroup
	for _, arg := range args {
		var in, out int
		if _, err := fmt.Sscanf(arg, "%d:%d", &in, &out); err != nil {
			return fmt.Errorf("%s %s: not DESCRIPTOR:DESCRIPTOR", PassOnCommand, arg)
		}
		unix.CloseOnExec(in)
		p := newPath(os.NewFile(uintptr(in), ""), out)
		p.release = true
		loops.Go(func() { p.run(-1) })
	}
	CloseInherited()
	loops.Wait()
	return nil
}

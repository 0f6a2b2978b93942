package gitenv

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"os/exec"
	"time"

	"github.com/agentproxy/agentproxy/profiles/detect"
)

// Machine asks this machine's git and SSH agent.
func Machine(ctx context.Context, w detect.System) System {
	return System{System: w, Config: func() []byte { return config(ctx, w) }, AgentKeys: agentKeys}
}

// askTimeout is how long git and the agent may take.
const askTimeout = 2 * time.Second

func config(ctx context.Context, w detect.System) []byte {
	git := w.LookPath("git")
	if git == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, git, "config", "--list", "--show-origin", "-z")
	cmd.Env, cmd.Dir = w.Environ, w.Dir
	out, err := cmd.Output()
	if err != nil {
		return nil // git itself will say what is wrong with it
	}
	return out
}

// agentKeys asks an SSH agent for its identities: one request, number 11, whose
// answer, number 12, begins with their count (draft-ietf-sshm-ssh-agent §3.5).
// The ssh package of golang.org/x/crypto would do it at the price of a
// megabyte in every start.
func agentKeys(socket string) int {
	conn, err := net.DialTimeout("unix", socket, askTimeout)
	if err != nil {
		return 0
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(askTimeout))
	if _, err := conn.Write([]byte{0, 0, 0, 1, 11}); err != nil {
		return 0
	}
	var head [9]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil || head[4] != 12 {
		return 0
	}
	return int(binary.BigEndian.Uint32(head[5:]))
}

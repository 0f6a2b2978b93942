package attach

import (
	"errors"
	"fmt"
	"time"

	"github.com/agentproxy/agentproxy/proxy/capture/sockets"
	"github.com/agentproxy/agentproxy/proxy/rundir"
)

// HandOver gives the sockets of the run's network to the tunnel, and to each
// successor of one that has crashed. They are the run's own from now on.
func (r *Run) HandOver(set *sockets.Set) error {
	t := <-r.tunnels
	defer func() { r.tunnels <- t }()
	r.captured = append(r.captured, set)
	return t.handOver(r.ID, set)
}

// handAgain does so for a successor. What it does not take is lost: nothing is carried
// for the command then, and nothing gets out.
func (r *Run) handAgain(t *Tunnel) {
	for _, set := range r.captured {
		_ = t.handOver(r.ID, set) // nobody waits for it
	}
}

// letGo closes the sockets; the tunnel keeps its own for what the run leaves behind.
func (r *Run) letGo() {
	t := <-r.tunnels
	for _, set := range r.captured {
		set.Close()
	}
	r.captured = nil
	r.tunnels <- t
}

func (t *Tunnel) handOver(run string, set *sockets.Set) error {
	conn, err := sockets.Dial(rundir.CapturePath(t.Dir, t.Record.Key))
	if err != nil {
		return fmt.Errorf("reach the tunnel: %w", err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(2 * callTimeout))
	if err := sockets.Send(conn, sockets.Message{Run: run, Set: set}); err != nil {
		return err
	}
	answer, err := sockets.Receive(conn)
	if err == nil && answer.Error != "" {
		err = errors.New(answer.Error)
	}
	return err
}

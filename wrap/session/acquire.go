package session

import (
	"context"

	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/proxy/capture/sockets"
	"github.com/agentproxy/agentproxy/proxy/status"
)

// Acquire returns the tunnel for the options, started if need be, with the run
// attached to it.
type Acquire func(ctx context.Context, o attach.Options, id string) (*attach.Tunnel, Attachment, error)

// Attachment is a run's hold on its tunnel.
type Attachment interface {
	// Evidence is what the tunnel has seen of the run so far.
	Evidence(context.Context) (*status.Evidence, error)
	// HandOver gives the sockets of the command's own network to the tunnel.
	HandOver(*sockets.Set) error
	Close()
}

func acquire(ctx context.Context, o attach.Options, id string) (*attach.Tunnel, Attachment, error) {
	t, run, err := attach.Acquire(ctx, o, id)
	if err != nil {
		return nil, nil, err
	}
	return t, run, nil
}

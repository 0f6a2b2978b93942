// Package proxy holds what the parts of a tunnel agree on: the function behind
// which a CONNECT target is reached.
package proxy

import (
	"context"
	"net"

	"github.com/agentproxy/agentproxy/proxy/status"
)

// TunnelFunc opens a tunnel to a CONNECT target. It is the trust line: behind
// it stand the embedded egress or an upstream one. An error is a
// *status.Failure that the client is answered with.
type TunnelFunc func(ctx context.Context, target string) (net.Conn, error)

// Counter is a tunnel that counts the requests it has carried, by method; what it returns
// may be asked for at any time.
type Counter interface {
	Requests() map[string]int64
}

// Server is a tunnel that would rather serve the client's connection itself
// than have bytes copied. Serve returns when the connection is closed. taken is told
// once, when the client has taken the certificate that it was shown: it asks something.
type Server interface {
	Serve(client net.Conn, report func(*status.Failure), taken func())
}

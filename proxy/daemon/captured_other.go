//go:build !linux

package daemon

import (
	"net"

	"github.com/agentproxy/agentproxy/proxy/peer"
)

// captures are none on this system.
type captures struct{}

func (d *daemon) openCaptures() { d.captures = &captures{} }

func (*captures) stop()                                  {}
func (*captures) isolated() bool                         { return false }
func (*captures) count() int                             { return 0 }
func (*captures) runEnded(string)                        {}
func (*captures) runOf(net.Conn) string                  { return "" }
func (*captures) lookup(c net.Conn) (peer.Socket, error) { return peer.Lookup(c) }

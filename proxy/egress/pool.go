package egress

import (
	"bufio"
	"context"
	"sync"
	"time"

	"github.com/agentproxy/agentproxy/proxy/idle"
	"github.com/agentproxy/agentproxy/proxy/policy"
)

const (
	poolPerTarget = 128
	poolIdle      = 60 * time.Second
)

// pool keeps the lanes' idle connections to origins.
type pool struct {
	origins *origins

	mu     sync.Mutex
	conns  map[policy.Target][]*originConn // the newest last
	sweep  *time.Timer
	closed bool
}

func newPool(o *origins) *pool {
	p := &pool{origins: o, conns: map[policy.Target][]*originConn{}}
	p.sweep = time.AfterFunc(poolIdle, p.dropOld)
	return p
}

// get returns an idle connection to the target, or dials one.
func (p *pool) get(t policy.Target) (conn *originConn, reused bool, err error) {
	for {
		conn := p.take(t)
		if conn == nil {
			break
		}
		// Readable while nothing was asked: closed, or out of step.
		if !idle.Readable(conn.NetConn().(*trackedConn).Conn) {
			return conn, true, nil
		}
		conn.Close()
	}
	c, err := p.origins.getHTTP1(context.Background(), t)
	if err != nil {
		return nil, false, err
	}
	return &originConn{Conn: c, in: bufio.NewReaderSize(c, originHead), out: bufio.NewWriterSize(c, laneOut)}, false, nil
}

func (p *pool) take(t policy.Target) *originConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.conns[t]
	if len(list) == 0 {
		return nil
	}
	conn := list[len(list)-1]
	p.conns[t] = list[:len(list)-1]
	return conn
}

func (p *pool) put(t policy.Target, conn *originConn) {
	conn.since = time.Now()
	p.mu.Lock()
	full := p.closed || len(p.conns[t]) >= poolPerTarget || conn.in.Buffered() > 0
	if !full {
		p.conns[t] = append(p.conns[t], conn)
	}
	p.mu.Unlock()
	if full {
		conn.Close()
	}
}

// dropOld closes what has been idle for long, now and again later.
func (p *pool) dropOld() {
	var old []*originConn
	p.mu.Lock()
	for t, list := range p.conns {
		n := 0
		for n < len(list) && time.Since(list[n].since) > poolIdle {
			n++
		}
		old = append(old, list[:n]...)
		if p.conns[t] = list[n:]; len(list) == n {
			delete(p.conns, t)
		}
	}
	if !p.closed {
		p.sweep.Reset(poolIdle / 2)
	}
	p.mu.Unlock()
	for _, conn := range old {
		conn.Close()
	}
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.sweep.Stop()
	for _, list := range p.conns {
		for _, conn := range list {
			go conn.Close()
		}
	}
	clear(p.conns)
}

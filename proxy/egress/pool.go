package egress

import (
	"sync"
	"time"

	"github.com/agentproxy/agentproxy/proxy/policy"
)

const (
	poolPerTarget = 128
	poolIdle      = 60 * time.Second
)

// pool keeps what leads to origins while nobody uses it.
type pool[C any] struct {
	drop func(C) // what becomes of those that are not kept

	mu     sync.Mutex
	idle   map[policy.Target][]pooled[C] // the newest last
	sweep  *time.Timer
	closed bool
}

type pooled[C any] struct {
	what  C
	since time.Time
}

func newPool[C any](drop func(C)) *pool[C] {
	p := &pool[C]{drop: drop, idle: map[policy.Target][]pooled[C]{}}
	p.sweep = time.AfterFunc(poolIdle, p.dropOld)
	return p
}

// take returns the newest of the target, if there is one.
func (p *pool[C]) take(t policy.Target) (c C, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.idle[t]
	if len(list) == 0 {
		return c, false
	}
	c = list[len(list)-1].what
	list[len(list)-1] = pooled[C]{}
	p.idle[t] = list[:len(list)-1]
	return c, true
}

// put keeps c for the target, or drops it.
func (p *pool[C]) put(t policy.Target, c C) {
	p.mu.Lock()
	full := p.closed || len(p.idle[t]) >= poolPerTarget
	if !full {
		p.idle[t] = append(p.idle[t], pooled[C]{c, time.Now()})
	}
	p.mu.Unlock()
	if full {
		p.drop(c)
	}
}

// dropOld drops what has been idle for long, now and again later.
func (p *pool[C]) dropOld() {
	var old []pooled[C]
	p.mu.Lock()
	for t, list := range p.idle {
		n := 0
		for n < len(list) && time.Since(list[n].since) > poolIdle {
			n++
		}
		old = append(old, list[:n]...)
		if p.idle[t] = list[n:]; len(list) == n {
			delete(p.idle, t)
		}
	}
	if !p.closed {
		p.sweep.Reset(poolIdle / 2)
	}
	p.mu.Unlock()
	for _, one := range old {
		p.drop(one.what)
	}
}

func (p *pool[C]) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.sweep.Stop()
	p.dropAll()
}

// drain drops what is idle now.
func (p *pool[C]) drain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropAll()
}

func (p *pool[C]) dropAll() {
	for _, list := range p.idle {
		for _, one := range list {
			go p.drop(one.what)
		}
	}
	clear(p.idle)
}

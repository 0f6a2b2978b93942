package term

import (
	"slices"
	"sync"
	"unsafe"

	"github.com/agentproxy/agentproxy/proxy/guard"
)

const (
	// teeLimit is how much may wait for a reader that is slower than the command,
	// in bytes of memory: capacities and what lists them.
	teeLimit = 1 << 20
	// spareLimit is how much is kept to be used again, in bytes.
	spareLimit = teeLimit / 2
	// spareLeast is the capacity below which a buffer is not worth keeping.
	spareLeast = 4 << 10
)

// Viewer reads the copy of the output. Its methods are called one at a time.
type Viewer interface {
	// View gets the next bytes of a stream (1 or 2); they are lent.
	View(stream int, data []byte)
	// Gap tells that as many bytes hereabouts were not kept.
	Gap(bytes int)
}

// Tee hands a copy of the output to a viewer that never delays it: when the
// viewer falls behind, the oldest bytes that wait are dropped, so that the end
// of the output, where failures are told, is always seen. A viewer that panics
// sees nothing more; the command notices nothing of it.
type Tee struct {
	viewer Viewer
	done   chan struct{}
	fault  *guard.Fault // what ended the viewer; read after done

	mu      sync.Mutex
	changed sync.Cond
	queue   []chunk
	waiting int // sum of sizes in queue
	gap     int
	closed  bool
	spare   [][]byte
	spared  int // sum of capacities in spare
}

type chunk struct {
	stream int
	data   []byte
}

// size is the memory that a chunk in the queue takes, in bytes.
func (c chunk) size() int { return cap(c.data) + int(unsafe.Sizeof(c)) }

// NewTee starts the viewer's goroutine.
func NewTee(v Viewer) *Tee {
	t := &Tee{viewer: v, done: make(chan struct{})}
	t.changed.L = &t.mu
	go t.run()
	return t
}

// Close returns when the viewer has seen everything that was kept, and what
// ended the viewer before that, if anything did.
func (t *Tee) Close() *guard.Fault {
	t.mu.Lock()
	t.closed = true
	t.changed.Signal()
	t.mu.Unlock()
	<-t.done
	return t.fault
}

// write offers a copy of the data.
func (t *Tee) write(stream int, data []byte) {
	if t != nil && len(data) > 0 {
		t.give(stream, append(t.buffer(len(data)), data...))
	}
}

// buffer returns an empty buffer for n bytes, of an earlier chunk where one has
// about that capacity.
func (t *Tee) buffer(n int) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, buf := range slices.Backward(t.spare) {
		if cap(buf) >= n && cap(buf)/2 <= n {
			t.spare = slices.Delete(t.spare, i, i+1)
			t.spared -= cap(buf)
			return buf[:0]
		}
	}
	return make([]byte, 0, n)
}

// recycle keeps a buffer for later where there is room for it.
func (t *Tee) recycle(buf []byte) {
	if cap(buf) < spareLeast || t.closed {
		return
	}
	for len(t.spare) > 0 && t.spared+cap(buf) > spareLimit { // the oldest fit least
		t.spared -= cap(t.spare[0])
		t.spare = slices.Delete(t.spare, 0, 1)
	}
	t.spare = append(t.spare, buf)
	t.spared += cap(buf)
}

// give queues data that is the tee's from now on.
func (t *Tee) give(stream int, data []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed { // by a viewer that gave up
		return
	}
	c := chunk{stream, data}
	for t.waiting+c.size() > teeLimit && len(t.queue) > 0 {
		oldest := t.pop()
		t.gap += len(oldest.data)
		t.recycle(oldest.data)
	}
	t.queue = append(t.queue, c)
	t.waiting += c.size()
	t.changed.Signal()
}

// drop notes bytes that were not even offered.
func (t *Tee) drop(bytes int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gap += bytes
}

func (t *Tee) pop() chunk {
	c := t.queue[0]
	t.queue[0] = chunk{} // the array outlives it
	t.queue = t.queue[1:]
	t.waiting -= c.size()
	return c
}

func (t *Tee) run() {
	defer close(t.done)
	t.fault = guard.Do("reading the output", t.serve)
	if t.fault != nil {
		t.mu.Lock()
		t.closed, t.queue, t.spare, t.waiting, t.spared = true, nil, nil, 0, 0
		t.mu.Unlock()
	}
}

// serve shows the viewer what is queued until the tee is closed.
func (t *Tee) serve() {
	for {
		t.mu.Lock()
		for len(t.queue) == 0 && !t.closed {
			t.changed.Wait()
		}
		gap, more := t.gap, len(t.queue) > 0
		t.gap = 0
		var c chunk
		if more {
			c = t.pop()
		}
		t.mu.Unlock()

		if gap > 0 {
			t.viewer.Gap(gap)
		}
		if !more {
			return
		}
		t.viewer.View(c.stream, c.data)

		t.mu.Lock()
		t.recycle(c.data)
		t.mu.Unlock()
	}
}

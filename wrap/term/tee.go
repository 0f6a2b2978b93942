package term

import "sync"

// teeLimit is how much of the output may wait for a reader that is slower than
// the command, in bytes.
const teeLimit = 1 << 20

// Viewer reads the copy of the output. Its methods are called one at a time.
type Viewer interface {
	// View gets the next bytes of a stream (1 or 2); they are lent.
	View(stream int, data []byte)
	// Gap tells that as many bytes hereabouts were not kept.
	Gap(bytes int)
}

// Tee hands a copy of the output to a viewer that never delays it: when the
// viewer falls behind, the oldest bytes that wait are dropped, so that the end
// of the output, where failures are told, is always seen.
type Tee struct {
	viewer Viewer
	done   chan struct{}

	mu      sync.Mutex
	changed sync.Cond
	queue   []chunk
	waiting int // bytes in queue
	gap     int
	closed  bool
	spare   [][]byte
}

type chunk struct {
	stream int
	data   []byte
}

// NewTee starts the viewer's goroutine.
func NewTee(v Viewer) *Tee {
	t := &Tee{viewer: v, done: make(chan struct{})}
	t.changed.L = &t.mu
	go t.run()
	return t
}

// Close returns when the viewer has seen everything that was kept.
func (t *Tee) Close() {
	t.mu.Lock()
	t.closed = true
	t.changed.Signal()
	t.mu.Unlock()
	<-t.done
}

// write offers a copy of the data.
func (t *Tee) write(stream int, data []byte) {
	if t != nil && len(data) > 0 {
		t.give(stream, append(t.buffer(), data...))
	}
}

// buffer returns an empty buffer, of an earlier chunk where there is one.
func (t *Tee) buffer() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.spare)
	if n == 0 {
		return nil
	}
	buf := t.spare[n-1]
	t.spare = t.spare[:n-1]
	return buf[:0]
}

// give queues data that is the tee's from now on.
func (t *Tee) give(stream int, data []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.waiting+len(data) > teeLimit && len(t.queue) > 0 {
		oldest := t.pop()
		t.gap += len(oldest.data)
		t.spare = append(t.spare, oldest.data)
	}
	t.queue = append(t.queue, chunk{stream, data})
	t.waiting += len(data)
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
	t.queue = t.queue[1:]
	t.waiting -= len(c.data)
	return c
}

func (t *Tee) run() {
	defer close(t.done)
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
		t.spare = append(t.spare, c.data)
		t.mu.Unlock()
	}
}

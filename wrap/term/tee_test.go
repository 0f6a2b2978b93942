package term

import (
	"bytes"
	"strings"
	"testing"
)

// recorder is a viewer that may be held up.
type recorder struct {
	hold chan struct{}
	seen [3]bytes.Buffer
	gaps []int
}

func (r *recorder) View(stream int, data []byte) {
	<-r.hold
	r.seen[stream].Write(data)
}

func (r *recorder) Gap(bytes int) { r.gaps = append(r.gaps, bytes) }

func TestTeeKeepsStreamsApart(t *testing.T) {
	r := &recorder{hold: make(chan struct{})}
	close(r.hold)
	tee := NewTee(r)
	for range 1000 {
		tee.write(1, []byte("out\n"))
		tee.write(2, []byte("err\n"))
	}
	tee.Close()
	if r.seen[1].String() != string(bytes.Repeat([]byte("out\n"), 1000)) || r.seen[2].Len() != 4000 || r.gaps != nil {
		t.Errorf("out %d bytes, err %d bytes, gaps %v", r.seen[1].Len(), r.seen[2].Len(), r.gaps)
	}
}

// A viewer that sees nothing for as long as it likes delays no write; what
// waits is bounded, the end is kept, and the rest is counted.
func TestTeeDropsWhenTheViewerIsSlow(t *testing.T) {
	r := &recorder{hold: make(chan struct{})}
	tee := NewTee(r)
	block := bytes.Repeat([]byte("x"), 10000)
	const blocks = 1000
	for range blocks {
		tee.write(1, block) // would hang here
		tee.mu.Lock()
		waiting := tee.waiting
		tee.mu.Unlock()
		if waiting > teeLimit {
			t.Fatalf("%d bytes wait", waiting)
		}
	}
	tee.write(1, []byte("the end"))
	close(r.hold)
	tee.Close()
	if !bytes.HasSuffix(r.seen[1].Bytes(), []byte("xthe end")) {
		t.Error("the end was dropped")
	}
	dropped := 0
	for _, n := range r.gaps {
		dropped += n
	}
	if got := r.seen[1].Len() + dropped; dropped == 0 || got != blocks*len(block)+len("the end") {
		t.Errorf("%d seen and %d dropped", r.seen[1].Len(), dropped)
	}
}

// memory is the sum of all capacities that the tee holds, in bytes.
func (t *Tee) memory() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	sum := 0
	for _, c := range t.queue {
		sum += cap(c.data) + 32 // what the queue itself has for it
	}
	for _, buf := range t.spare {
		sum += cap(buf)
	}
	return sum
}

// What is held is bounded whatever the size of the writes, small ones after
// large ones too, and what is seen and what is missing is all there was.
func TestTeeHoldsNoMoreThanItsLimit(t *testing.T) {
	r := &recorder{hold: make(chan struct{})}
	tee := NewTee(r)
	written := 0
	for _, size := range []int{4 * bufferSize, 127, 1, bufferSize, 5000, 127} {
		block := bytes.Repeat([]byte("x"), size)
		for range 8*teeLimit/(size+100) + 1 {
			tee.write(1, block)
			written += size
		}
		if held := tee.memory(); held > teeLimit+spareLimit {
			t.Errorf("after writes of %d bytes %d are held", size, held)
		}
	}
	close(r.hold)
	tee.Close()
	if held := tee.memory(); held > spareLimit {
		t.Errorf("%d bytes are held at the end", held)
	}
	dropped := 0
	for _, n := range r.gaps {
		dropped += n
	}
	if got := r.seen[1].Len() + dropped; got != written {
		t.Errorf("%d seen and %d dropped of %d", r.seen[1].Len(), dropped, written)
	}
}

// What is missing at the very end is told as well.
func TestTeeTellsTheLastGap(t *testing.T) {
	r := &recorder{}
	tee := NewTee(r)
	tee.drop(5)
	tee.Close()
	if len(r.gaps) != 1 || r.gaps[0] != 5 {
		t.Errorf("gaps %v", r.gaps)
	}
}

func BenchmarkTee(b *testing.B) {
	block := bytes.Repeat([]byte("[INFO] Downloaded from central: artifact-1.2.3.jar (120 kB at 1.2 MB/s)\n"), 900)
	b.SetBytes(int64(len(block)))
	tee := NewTee(discard{})
	for b.Loop() {
		tee.write(1, block)
	}
	tee.Close()
}

type discard struct{}

func (discard) View(int, []byte) {}
func (discard) Gap(int)          {}

// broken is a viewer that panics at what it sees first.
type broken struct{}

func (broken) View(int, []byte) { panic("no such line") }
func (broken) Gap(int)          {}

// What reads the copy may fail as it likes: the command's output is taken as
// before, nothing is kept for a reader that is gone, and the fault is told at the
// end.
func TestAViewerThatPanicsEndsNothing(t *testing.T) {
	tee := NewTee(broken{})
	block := bytes.Repeat([]byte("x"), 10000)
	for range 1000 {
		tee.write(1, block)
	}
	fault := tee.Close()
	if fault == nil || !strings.Contains(fault.Error(), "no such line") {
		t.Fatalf("fault %v", fault)
	}
	tee.write(1, block)
	if tee.waiting != 0 || len(tee.queue) != 0 {
		t.Errorf("%d bytes are kept for a viewer that is gone", tee.waiting)
	}
}

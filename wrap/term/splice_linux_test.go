package term

import (
	"bytes"
	"os"
	"testing"
)

// The copy of a busy pipe may come in small portions: each is held in a buffer
// of its size, so that many fit.
func TestSmallReadsOfABusyPipeAreHeldInSmallBuffers(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	r := &recorder{hold: make(chan struct{})}
	tee := NewTee(r)
	read := make(chan struct{})
	go func() {
		defer close(read)
		tee.readAll(1, int(reader.Fd()))
	}()
	line := bytes.Repeat([]byte("x"), 127)
	const lines = 5000
	for range lines {
		if _, err := writer.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	writer.Close()
	<-read
	if held := tee.memory(); held > teeLimit+spareLimit {
		t.Errorf("%d bytes are held", held)
	}
	close(r.hold)
	tee.Close()
	if got := r.seen[1].Len(); got != lines*len(line) || r.gaps != nil { // 127 bytes take 160
		t.Errorf("%d bytes seen, gaps %v", got, r.gaps)
	}
}

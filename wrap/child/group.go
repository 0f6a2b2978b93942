package child

import (
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// groupPeers are those who share our process group, such as a script that runs us
// in a loop. A key that signals the command on its pseudo terminal would have
// signalled them too: without us, all of them were the terminal's foreground
// group. They get the signal a moment after the command, so that when it kills
// them, the terminal is in order already for whoever waits for them.
type groupPeers struct {
	mu   sync.Mutex
	owed []syscall.Signal
	last syscall.Signal // that we sent, at the time of
	sent time.Time
}

// aMoment is how long the command has to end of a signal.
const aMoment = 50 * time.Millisecond

func (o *groupPeers) signal(s syscall.Signal) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.owed = append(o.owed, s)
	time.AfterFunc(aMoment, o.flush)
}

// flush sends what is owed.
func (o *groupPeers) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.owed {
		o.last, o.sent = s, time.Now()
		unix.Kill(0, s)
	}
	o.owed = nil
}

// areUs reports whether a signal that we get now is one that we sent.
func (o *groupPeers) areUs(s os.Signal) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return s == o.last && time.Since(o.sent) < stopDelivery
}

package child

import (
	"sync"
	"syscall"
	"time"
)

// stopDelivery is how long a stop may take to reach us.
const stopDelivery = 200 * time.Millisecond

// keyStop keeps the SIGTSTP of a key from being taken for another stop. It is for
// the command and for us, and we may get to see ours only when both have stopped and
// been resumed: by then the terminal may have another foreground group, which would
// make it look like somebody's kill.
type keyStop struct {
	mu    sync.Mutex
	seen  bool      // one has come since the command was stopped last
	owed  bool      // it was stopped without one
	until time.Time // when no more is expected; zero while it is stopped
}

// stopped is called when the command has been stopped by a signal, and we are about
// to be.
func (k *keyStop) stopped(s syscall.Signal) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.owed, k.seen, k.until = s == syscall.SIGTSTP && !k.seen, false, time.Time{}
}

func (k *keyStop) resumed() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.until = time.Now().Add(stopDelivery)
}

// isLate reports whether a SIGTSTP that has come is that of the last stop.
func (k *keyStop) isLate() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.owed && (k.until.IsZero() || time.Now().Before(k.until)) {
		k.owed = false
		return true
	}
	k.seen = true
	return false
}

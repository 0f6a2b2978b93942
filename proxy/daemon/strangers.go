package daemon

import (
	"errors"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/agentproxy/agentproxy/proxy/peer"
	"github.com/agentproxy/agentproxy/proxy/status"
)

// othersSockets is the rule by which connections of other users are refused.
const othersSockets = "other users' sockets"

// admit refuses connections of other users. Root is let in: it could read the
// key anyway, and a command under sudo is still the user's command. So is what a
// run of root's does as another user, which only root can see. A client that has
// closed its socket before its owner could be asked for is refused: anybody could
// have sent a request so. Where the system cannot tell, everybody on loopback is
// let in.
func (d *daemon) admit(c net.Conn) *status.Failure {
	if d.captures.runOf(c) != "" {
		return nil // it came from where only a run of ours is
	}
	s, err := peer.Lookup(c)
	switch {
	case errors.Is(err, peer.ErrGone):
		return stranger("whose connection this was cannot be told: its client closed it at once", "")
	case err != nil || s.UID == os.Getuid() || s.UID == 0:
		return nil
	}
	if os.Geteuid() == 0 && d.givenToRun(s) {
		return nil
	}
	return stranger("this tunnel belongs to another user (you are user "+strconv.Itoa(s.UID)+")", "start your own: agentproxy up")
}

func stranger(detail, advice string) *status.Failure {
	return &status.Failure{Kind: status.PolicyDenied, Code: http.StatusForbidden, By: "front", Rule: othersSockets, Detail: detail, Advice: advice}
}

// givenToRun reports whether a socket is of a process that has been given the
// identity of a run.
func (d *daemon) givenToRun(s peer.Socket) bool {
	return d.strangers.search(s.UID, func() bool {
		p, ok := d.search.find(s)
		return ok && d.runs.givenTo(p.PID)
	})
}

// strangers keep other users' connections from costing much. A user whose
// processes were looked for in vain is searched for once in a while: what such a
// user connects meanwhile waits for its turn, and is refused unseen when too many
// wait or its turn does not come in time. Of many refusals a few are recorded.
type strangers struct {
	mu      sync.Mutex
	refused map[int]*refusedUser // by user
	waiting int                  // connections, of all of them
	told    time.Time            // when a refusal was recorded last
	since   int64                // refusals that were not, since then
	ended   <-chan struct{}      // is closed when none is to wait any longer
}

// refusedUser is one whose processes were looked for in vain.
type refusedUser struct {
	turn    chan struct{} // of capacity one: it is the turn of who has put something in
	waiting int
	next    time.Time // when to search again
}

const (
	// strangerPause is how often their refusals are recorded at most.
	strangerPause = 10 * time.Second
	keptStrangers = 1000
	// strangerWait is how long a connection may wait for its turn. Clients give up
	// when CONNECT is not answered within five seconds.
	strangerWait = 3 * time.Second
	// longestPause is between two searches of a slow machine: the first that waits
	// comes to its turn.
	longestPause = 2 * time.Second
	// waitingOfOne connections of one user may wait, and waitingOfAll of all.
	waitingOfOne, waitingOfAll = 16, 64
)

// search reports whether find does, which looks for the owner of a user's socket.
// It is called at once for a user who was not refused lately, else when it is the
// connection's turn.
func (s *strangers) search(uid int, find func() bool) bool {
	s.mu.Lock()
	user := s.refused[uid]
	s.mu.Unlock()
	if user != nil {
		if !s.await(user) {
			return false
		}
		defer func() { <-user.turn }()
	}
	begun := time.Now()
	found := find()
	s.searched(uid, found, time.Since(begun))
	return found
}

// await reports whether the turn of a user's connection has come. Who has had
// it takes out of turn what await put in.
func (s *strangers) await(user *refusedUser) bool {
	if !s.count(user) {
		return false
	}
	defer s.discount(user)
	deadline := time.Now().Add(strangerWait)
	late := time.After(strangerWait)
	select {
	case user.turn <- struct{}{}:
	case <-late:
		return false
	case <-s.ended:
		return false
	}
	s.mu.Lock()
	next := user.next
	s.mu.Unlock()
	if !next.After(deadline) {
		select {
		case <-time.After(time.Until(next)):
			return true
		case <-s.ended:
		}
	}
	<-user.turn
	return false
}

// count reports whether one more of a user's connections may wait.
func (s *strangers) count(user *refusedUser) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if user.waiting >= waitingOfOne || s.waiting >= waitingOfAll {
		return false
	}
	user.waiting++
	s.waiting++
	return true
}

func (s *strangers) discount(user *refusedUser) {
	s.mu.Lock()
	defer s.mu.Unlock()
	user.waiting--
	s.waiting--
}

// searched notes what a search came to, and how long it took.
func (s *strangers) searched(uid int, found bool, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	user := s.refused[uid]
	switch {
	case found:
		delete(s.refused, uid)
		return
	case user == nil && len(s.refused) >= keptStrangers:
		return
	case user == nil:
		user = &refusedUser{turn: make(chan struct{}, 1)}
		if s.refused == nil {
			s.refused = map[int]*refusedUser{}
		}
		s.refused[uid] = user
	}
	user.next = time.Now().Add(min(searchShare*took, longestPause))
}

// record reports whether a refusal is to be recorded, and how many were not since
// the last one.
func (s *strangers) record() (missed int64, yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.told) >= strangerPause {
		missed, s.told, s.since = s.since, now, 0
		return missed, true
	}
	s.since++
	return 0, false
}

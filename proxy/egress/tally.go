package egress

import (
	"net/http"
	"slices"
	"sync/atomic"
)

// counted are the methods that are told apart; others are counted together, as their
// names are the clients' choice.
var counted = [...]string{http.MethodGet, http.MethodPost, http.MethodHead, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}

// otherMethods is what others are counted as.
const otherMethods = "other"

// tally counts the requests that were carried, by method.
type tally struct {
	known [len(counted)]atomic.Int64
	other atomic.Int64
}

func (t *tally) add(method string) {
	if i := slices.Index(counted[:], method); i >= 0 {
		t.known[i].Add(1)
		return
	}
	t.other.Add(1)
}

// Requests implements proxy.Counter.
func (s *session) Requests() map[string]int64 {
	counts := map[string]int64{}
	for i, method := range counted {
		if n := s.carried.known[i].Load(); n > 0 {
			counts[method] = n
		}
	}
	if n := s.carried.other.Load(); n > 0 {
		counts[otherMethods] = n
	}
	return counts
}

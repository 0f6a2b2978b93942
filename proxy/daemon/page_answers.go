package daemon

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"

	"github.com/agentproxy/agentproxy/proxy/contract"
)

// pageKey is what one status page answers with. Only hashes are kept, and only here: no
// file, environment or document has what a run could answer with.
type pageKey struct {
	// code opens the page once, and is zero from then on; token is what it got for it.
	code, token [sha256.Size]byte
}

// link returns a code that lets one page answer, until revoke.
func (a *asks) link() (code string, revoke func()) {
	code = rand.Text()
	k := &pageKey{code: sha256.Sum256([]byte(code))}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pages[k] = true
	return code, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.pages, k)
	}
}

// pair changes a code for the token of its page; false when it is none, or was used.
func (a *asks) pair(code string) (token string, ok bool) {
	hash := sha256.Sum256([]byte(code))
	a.mu.Lock()
	defer a.mu.Unlock()
	for k := range a.pages {
		if k.code == hash {
			token = rand.Text()
			k.code, k.token = [sha256.Size]byte{}, sha256.Sum256([]byte(token))
			return token, true
		}
	}
	return "", false
}

// paired reports whether a token is that of a page.
func (a *asks) paired(token string) bool {
	hash := sha256.Sum256([]byte(token))
	a.mu.Lock()
	defer a.mu.Unlock()
	for k := range a.pages {
		if k.token == hash {
			return true
		}
	}
	return false
}

// serveLink hands out a code to who may answer, and takes back what it opened when the
// connection ends: a page answers no longer than the terminal that its link was for.
func (d *daemon) serveLink(w http.ResponseWriter, r *http.Request) {
	if err := d.mayAnswer(r); err != nil {
		http.Error(w, "agentproxy: "+err.Error(), http.StatusForbidden)
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		http.Error(w, "agentproxy: POST only", http.StatusMethodNotAllowed)
		return
	}
	code, revoke := d.asks.link()
	defer revoke()
	fmt.Fprintln(w, code)
	http.NewResponseController(w).Flush()
	select {
	case <-r.Context().Done():
	case <-d.runs.stopping:
	}
}

var (
	errNoPage  = errors.New("only the status page of this tunnel may send this")
	errNoLink  = errors.New("this link is used up or no longer valid; type p in the terminal of agentproxy ask for another")
	errNoToken = errors.New("this page may no longer answer; type p in the terminal of agentproxy ask for another link")
)

// fromPage lets in what the page's own script sends, from a browser that is no run's.
// The front has refused other hosts than loopback and other origins. A browser names the
// origin with every POST, and asks before it sends a header of ours to another site.
func (d *daemon) fromPage(h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := d.mayAnswer(r)
		if r.Method != http.MethodPost || r.Header.Get("Origin") != "http://"+r.Host || r.Header.Get(contract.PageHeader) == "" {
			err = errNoPage
		}
		if err != nil {
			http.Error(w, "agentproxy: "+err.Error(), http.StatusForbidden)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxAnswer)
		h(w, r)
	})
}

// maxAnswer is more than an answer has, in bytes.
const maxAnswer = 1 << 10

func (d *daemon) servePair(w http.ResponseWriter, r *http.Request) {
	token, ok := d.asks.pair(r.Header.Get(contract.PageHeader))
	if !ok {
		http.Error(w, "agentproxy: "+errNoLink.Error(), http.StatusForbidden)
		return
	}
	fmt.Fprint(w, token)
}

func (d *daemon) servePageAnswer(w http.ResponseWriter, r *http.Request) {
	if !d.asks.paired(r.Header.Get(contract.PageHeader)) {
		http.Error(w, "agentproxy: "+errNoToken.Error(), http.StatusForbidden)
		return
	}
	d.serveAnswer(w, r)
}

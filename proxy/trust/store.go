package trust

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// kind is one row of the table of stores.
type storeKind struct {
	name string
	// byDefault stores are set up without being named.
	byDefault bool
	// find returns where such stores are on the machine.
	find func(*System) []string
	// open makes the place of a path that find returned, now or earlier.
	open func(w *System, path, name string) *Location
	// none is what to do when nothing was found.
	none string
}

// kinds is the table of stores, in the order of setting them up: the system
// first, whose tools may write Java's store, too.
func kinds() []storeKind {
	all := []storeKind{
		{"system", true, findSystem, openSystem, "install ca-certificates"},
		{"nss", true, findNSS, openNSS, "mkdir -p ~/.pki/nssdb && certutil -d sql:$HOME/.pki/nssdb -N --empty-password"},
		{"firefox", true, findFirefox, openFirefox, "start Firefox once, so that it makes a profile"},
		{"java", true, findJava, openJava, "name the JDK: JAVA_HOME=/path/to/jdk agentproxy trust install --store java"},
	}
	for _, s := range settings {
		all = append(all, storeKind{s.store, false, s.find, s.open, ""})
	}
	return all
}

// Stores returns the names of all stores, and of those that are set up without
// being named.
func Stores() (all, byDefault []string) {
	for _, k := range kinds() {
		all = append(all, k.name)
		if k.byDefault {
			byDefault = append(byDefault, k.name)
		}
	}
	return all, byDefault
}

// Location is one store on this machine.
type Location struct {
	// Store is its kind, Path the file, directory or keychain where it is.
	Store, Path string
	name        string
	// files are what an install may change.
	files []string
	// regenerates is true where a command makes the files out of others: an undo
	// must run it, and what it makes again may still differ from what was there.
	regenerates bool
	// tool is the program whose configuration file the store is, "" for others.
	tool string
	// lacking says which helper there is none of, get is how to get it.
	lacking, get string
	// byHand takes out what is under our name and not ours.
	byHand string
	backend
}

// Present reports whether there is a reason to set the store up without being
// asked for it by name: its file, or its tool.
func (p *Location) Present() bool {
	_, err := os.Stat(p.Path)
	return p.tool == "" || err == nil || program(p.tool) != ""
}

// backend is what differs from store to store.
type backend interface {
	// read looks into the store, by its own reader where it has one.
	read() (contents, error)
	// add makes it trust the anchor, take takes out what is under our name.
	add(*Anchor) error
	take() error
}

// contents is what a store holds of ours.
type contents struct {
	// named are the certificates under our name.
	named []*x509.Certificate
	// others are the rest, where the store can list it.
	others []*x509.Certificate
	// setting is what a configuration file says.
	setting *found
}

// State is how a store stands to the anchor.
type State string

// The states.
const (
	Absent      State = "absent"      // nothing of ours
	Trusted     State = "trusted"     // the anchor, and nothing else of ours
	Earlier     State = "earlier"     // an earlier CA of ours, or pointed at an earlier place
	Expired     State = "expired"     // the anchor, which has expired
	Foreign     State = "foreign"     // another's certificate under our name
	Taken       State = "taken"       // the user has set the same key
	Unavailable State = "unavailable" // the program that it needs is not installed
	Unreadable  State = "unreadable"  // it cannot be read
)

// Report is one store's state, and what was done to it.
type Report struct {
	Store string `json:"store"`
	Place string `json:"place"`
	State State  `json:"state"`
	// Detail explains the state where there is something to explain.
	Detail string `json:"detail,omitempty"`
	// Managed is true when we set it up and can undo it.
	Managed bool `json:"managed"`
	// Changed is true when this call changed it, Exact when that put its files
	// back byte for byte.
	Changed bool `json:"-"`
	Exact   bool `json:"-"`
	// Fix is what to type next, "" when there is nothing to do.
	Fix string `json:"fix,omitempty"`
	// Code is stable, and empty while nothing is wrong.
	Code string `json:"code,omitempty"`
	err  error
}

// judge says how a store stands to the anchor.
func (p *Location) judge(h contents, a *Anchor, now time.Time) Report {
	r := Report{Store: p.Store, Place: p.Path, State: Absent}
	if h.setting != nil {
		return h.setting.judge(r, a)
	}
	is := func(c *x509.Certificate) bool { return a != nil && c.Equal(a.Cert) }
	var earlier, foreign *x509.Certificate
	for _, c := range h.named {
		switch {
		case is(c):
		case ours(c) || a != nil && c.Subject.String() == a.Cert.Subject.String():
			earlier = c
		default:
			foreign = c
		}
	}
	own := slices.ContainsFunc(h.named, is)
	switch {
	case foreign != nil:
		r.State, r.Detail, r.Fix = Foreign, fmt.Sprintf("%q is under our name and not ours", foreign.Subject), p.byHand
	case earlier != nil:
		r.State, r.Detail = Earlier, fmt.Sprintf("%q of %s", earlier.Subject.CommonName, earlier.NotBefore.Format(time.DateOnly))
	case own && now.After(a.Cert.NotAfter):
		r.State, r.Detail = Expired, "since "+a.Cert.NotAfter.Format(time.DateOnly)
	case own:
		r.State = Trusted
	case slices.ContainsFunc(h.others, is):
		r.State, r.Detail = Trusted, "under another name"
	}
	return r
}

// look reads and judges a place.
func (p *Location) look(a *Anchor, now time.Time) Report {
	if p.name == "" { // without a CA nothing can be ours
		return Report{Store: p.Store, Place: p.Path, State: Absent}
	}
	if p.lacking != "" {
		return Report{Store: p.Store, Place: p.Path, State: Unavailable, Detail: p.lacking, Fix: p.get}
	}
	h, err := p.read()
	if err != nil {
		return Report{Store: p.Store, Place: p.Path, State: Unreadable, Detail: firstLine(err), err: err}
	}
	return p.judge(h, a, now)
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// code names what is wrong with a store: <store>_<state>.
func code(store string, state State, managed bool) string {
	if state == Trusted || state == Absent && !managed {
		return ""
	}
	return store + "_" + string(state)
}

// NoneError says that the machine has no such store.
type NoneError struct {
	Store string
	// Fix is how to get one.
	Fix string
}

func (e *NoneError) Error() string { return "there is no " + e.Store + " store on this machine" }

// UnknownError names a store that is not in the table.
type UnknownError struct{ Store string }

func (e *UnknownError) Error() string {
	all, _ := Stores()
	return fmt.Sprintf("there is no store %q; there are %s", e.Store, strings.Join(all, ", "))
}

// RightsError says that a store belongs to somebody else.
type RightsError struct {
	Store, Place string
	Err          error
}

func (e *RightsError) Error() string {
	return fmt.Sprintf("%s: %s is not yours to change (%v)", e.Store, e.Place, reason(e.Err))
}

func (e *RightsError) Unwrap() error { return e.Err }

// StateError refuses to act on a store in that state.
type StateError struct{ Report }

func (e *StateError) Error() string {
	return fmt.Sprintf("%s: %s: %s: %s", e.Store, e.Place, e.State, e.Detail)
}

// reason is the innermost error's text.
func reason(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

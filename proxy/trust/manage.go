package trust

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/rundir"
)

// Manager sets up stores of this machine and undoes it.
type Manager struct {
	System *System
	// Anchor is what is to be trusted; nil while there is no CA, which only
	// Status and Remove can do with.
	Anchor *Anchor
	// State is the directory of the journal.
	State   string
	journal *journal
}

// Open reads the journal and keeps others from it until release is called.
func (m *Manager) Open() (release func(), err error) {
	dir := filepath.Join(m.State, journalDir)
	if err := rundir.MakeDir(dir); err != nil {
		return nil, err
	}
	if release, err = rundir.Lock(dir); err != nil {
		return nil, err
	}
	if m.journal, err = openJournal(m.State); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// View reads the journal without keeping others from it, for Status and dry
// runs.
func (m *Manager) View() (err error) {
	m.journal, err = openJournal(m.State)
	return err
}

func storeNamed(name string) (storeKind, error) {
	all := kinds()
	i := slices.IndexFunc(all, func(k storeKind) bool { return k.name == name })
	if i < 0 {
		return storeKind{}, &UnknownError{name}
	}
	return all[i], nil
}

// Places returns the stores of that kind which are on the machine, for the
// anchor; none is a *NoneError.
func (m *Manager) Places(store string) ([]*Location, error) {
	k, err := storeNamed(store)
	if err != nil {
		return nil, err
	}
	name := ""
	if m.Anchor != nil {
		name = m.Anchor.Name()
	}
	var places []*Location
	for _, path := range k.find(m.System) {
		places = append(places, k.open(m.System, path, name))
	}
	if len(places) == 0 {
		return nil, &NoneError{store, k.none}
	}
	return places, nil
}

// Managed returns the stores that the journal lists, the last first: the order
// in which they can be undone exactly.
func (m *Manager) Managed() []*Location {
	var places []*Location
	for _, e := range slices.Backward(m.journal.Entries) {
		if k, err := storeNamed(e.Store); err == nil {
			places = append(places, k.open(m.System, e.Place, e.Name))
		}
	}
	return places
}

// Same reports whether two places are one.
func (p *Location) Same(o *Location) bool {
	return p.Store == o.Store && p.Path == o.Path && p.name == o.name
}

func (m *Manager) entry(p *Location) *Entry {
	i := slices.IndexFunc(m.journal.Entries, func(e *Entry) bool { return e.Store == p.Store && e.Place == p.Path && e.Name == p.name })
	if i < 0 {
		return nil
	}
	return m.journal.Entries[i]
}

// Status says how the store stands.
func (m *Manager) Status(p *Location) Report {
	r := p.look(m.Anchor, time.Now())
	r.Managed = m.entry(p) != nil
	r.Code = code(r.Store, r.State, r.Managed)
	if r.Code != "" && r.Fix == "" {
		r.Fix = fixes[r.State]
		if r.Fix == "" {
			r.Fix = "agentproxy trust install --store " + r.Store
		}
	}
	return r
}

// fixes are what to type about a state that another install would not mend.
var fixes = map[State]string{
	Expired:    "agentproxy ca rotate",
	Unreadable: "agentproxy trust --help",
}

// Allowed is nil when the store may be changed by us, else a *RightsError.
func (m *Manager) Allowed(p *Location) error {
	if len(p.files) == 0 {
		return nil // its helper asks for what it needs
	}
	if err := writable(p.files[0]); err != nil {
		return &RightsError{p.Store, p.Path, err}
	}
	return nil
}

// Install makes the store trust the anchor and nothing else of ours, checks
// that it does, and puts everything back if it does not.
func (m *Manager) Install(p *Location) (Report, error) {
	r := m.Status(p)
	switch r.State {
	case Trusted:
		return r, m.renew(p)
	case Foreign, Taken, Unavailable, Unreadable:
		return r, r.refusal()
	}
	if end := m.Anchor.Cert.NotAfter; time.Now().After(end) {
		return r, fmt.Errorf("the CA expired on %s", end.Format(time.DateOnly))
	}
	if err := m.Allowed(p); err != nil {
		return r, err
	}
	if r.Managed || r.State != Absent {
		if _, err := m.Remove(p); err != nil {
			return r, err
		}
	}
	done, err := m.act(p)
	if err != nil {
		return r, err
	}
	done.Managed, done.Changed = true, true
	return done, nil
}

// renew notes that a store which points at our files has the anchor by them.
func (m *Manager) renew(p *Location) error {
	e, now := m.entry(p), ca.Fingerprint(m.Anchor.Cert)
	if e == nil || e.CA == now {
		return nil
	}
	e.CA = now
	return m.journal.save()
}

// refusal is the error of a state that forbids to act.
func (r Report) refusal() error {
	if r.err != nil {
		return fmt.Errorf("%s: %s: %w", r.Store, r.Place, r.err)
	}
	return &StateError{r}
}

// act installs into a store that holds nothing of ours, and says how it stands
// then.
func (m *Manager) act(p *Location) (Report, error) {
	e := &Entry{Store: p.Store, Place: p.Path, Name: p.name, CA: ca.Fingerprint(m.Anchor.Cert), File: m.Anchor.File, Since: time.Now().UTC().Truncate(time.Second)}
	if err := m.journal.begin(e, p.files); err != nil { // nothing was touched
		return Report{}, errors.Join(fmt.Errorf("%s: %s: %w", p.Store, p.Path, err), m.journal.drop(e))
	}
	r, err := m.tried(p, e)
	if err != nil {
		return r, errors.Join(fmt.Errorf("%s: %s: %w", p.Store, p.Path, err), m.putBack(p, e))
	}
	return r, m.journal.finish(e)
}

// tried acts and looks at what came of it.
func (m *Manager) tried(p *Location, e *Entry) (r Report, err error) {
	if len(p.files) > 0 {
		if e.Dirs, err = makeDirs(realPath(p.files[0])); err != nil {
			return r, err
		}
	}
	if err := p.add(m.Anchor); err != nil {
		return r, err
	}
	r = p.look(m.Anchor, time.Now())
	if r.err == nil && r.State != Trusted {
		return r, fmt.Errorf("after the act it does not trust the CA: %s %s", r.State, r.Detail)
	}
	return r, r.err
}

// putBack undoes an act that failed.
func (m *Manager) putBack(p *Location, e *Entry) error {
	var errs []error
	if p.regenerates {
		os.Remove(p.files[0])
		errs = append(errs, p.take())
	}
	for _, c := range e.Files {
		errs = append(errs, m.journal.restore(c))
	}
	e.tidy()
	return errors.Join(append(errs, m.journal.drop(e))...)
}

// WouldRemove reports whether Remove would change the store, and how it stands. It
// touches nothing.
func (m *Manager) WouldRemove(p *Location) (Report, bool, error) {
	r := m.Status(p)
	if m.entry(p) == nil && (r.State == Absent || r.State == Taken || r.Detail != "" && r.State == Trusted) {
		return r, false, nil
	}
	switch r.State {
	case Foreign, Unavailable, Unreadable:
		return r, false, r.refusal()
	}
	err := m.Allowed(p)
	return r, err == nil, err
}

// Remove takes out what is ours. Files that are still as the install left them
// become byte for byte what they were before.
func (m *Manager) Remove(p *Location) (Report, error) {
	r, would, err := m.WouldRemove(p)
	if !would {
		return r, err
	}
	exact, err := m.undo(p, m.entry(p))
	if err != nil {
		return r, fmt.Errorf("%s: %s: %w", p.Store, p.Path, err)
	}
	r = m.Status(p)
	r.Exact = exact
	if r.State == Earlier || r.State == Expired {
		return r, fmt.Errorf("%s: %s: after the removal it still holds: %s", p.Store, p.Path, r.Detail)
	}
	r.Changed = true
	return r, nil
}

// undo is exact for the files that nobody has changed since. Where all are so
// they are put back and that is all; else only what is ours is taken out.
func (m *Manager) undo(p *Location, e *Entry) (exact bool, err error) {
	if e == nil {
		return false, p.take()
	}
	var pristine []*change
	for _, c := range e.Files {
		if c.pristine() {
			pristine = append(pristine, c)
		}
	}
	all := len(e.Files) > 0 && len(pristine) == len(e.Files)
	if all && !p.regenerates && heldOpen(pristine) {
		all = false // a program that has a database open would write on into the old file
	}
	if p.regenerates || !all {
		if err := p.take(); err != nil {
			return false, err
		}
	}
	if p.regenerates || all {
		for _, c := range pristine {
			if err := m.journal.restore(c); err != nil {
				return false, err
			}
		}
	}
	for _, c := range e.Files {
		if raw, err := os.ReadFile(c.Path); c.Before == nil && err == nil && len(bytes.TrimSpace(raw)) == 0 {
			os.Remove(c.Path) // nothing is left of a file that was ours
		}
	}
	e.tidy()
	return all, m.journal.drop(e)
}

// Installed says what the journal in a state directory lists, and what is wrong
// with it as far as that can be told without running anything: an entry is of an
// earlier CA of ours than the one with the fingerprint, or a file is gone.
func Installed(state, fingerprint string) (entries []*Entry, codes []string, err error) {
	j, err := openJournal(state)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range j.Entries {
		is := Trusted
		if e.CA != fingerprint && e.File == filepath.Join(state, rundir.CertFile) {
			is = Earlier
		}
		if gone := func(c *change) bool { return c.After != nil && !exists(c.Path) }; slices.ContainsFunc(e.Files, gone) {
			is = Absent
		}
		if c := code(e.Store, is, true); c != "" && !slices.Contains(codes, c) {
			codes = append(codes, c)
		}
	}
	return j.Entries, codes, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Behind returns the stores that the journal lists for an earlier certificate in
// the anchor's file, the last first.
func (m *Manager) Behind() []*Location {
	now := ca.Fingerprint(m.Anchor.Cert)
	return slices.DeleteFunc(m.Managed(), func(p *Location) bool {
		e := m.entry(p)
		return e.CA == now || e.File != m.Anchor.File
	})
}

// Update puts the anchor in the place of an earlier one.
func (m *Manager) Update(p *Location) (Report, error) {
	k, err := storeNamed(p.Store)
	if err != nil {
		return Report{}, err
	}
	next := k.open(m.System, p.Path, m.Anchor.Name())
	if !next.Same(p) {
		if r, err := m.Remove(p); err != nil {
			return r, err
		}
	}
	return m.Install(next)
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/proxy/trust"
	"github.com/spf13/pflag"
)

func caCommand() *command {
	return &command{
		name:   "ca",
		args:   "show | rotate | lint [file]",
		values: firstWords("show", "rotate", "lint"),
		short:  "Show the CA, replace it, or say what is wrong with one",
		examples: `
  agentproxy ca show                             # subject, fingerprint, validity, path; --pem prints the certificate
  agentproxy ca lint ./corp-root.pem             # what is wrong with it, and which clients refuse it
  agentproxy ca rotate                           # a new CA, in every store that the old one was installed in`,
		long: `
rotate stops your tunnels: commands that run behind one lose their connections,
and trust the new CA when they are started again. The old CA stays beside the new
one until all stores have the new one. lint without a file looks at your own CA;
its exit status is 1 when a client refuses what it found.`,
		define: func(flags *pflag.FlagSet) action {
			asPEM := flags.Bool("pem", false, "with show: print the certificate")
			asJSON := flags.Bool("json", false, "with show and lint: print JSON")
			return func(ctx context.Context, args []string) error {
				switch {
				case len(args) == 1 && args[0] == "show":
					return showCA(*asPEM, *asJSON)
				case len(args) == 1 && args[0] == "rotate":
					return rotateCA(ctx)
				case len(args) == 1 && args[0] == "lint":
					return lintCA("", *asJSON)
				case len(args) == 2 && args[0] == "lint":
					return lintCA(args[1], *asJSON)
				}
				return hint(errors.New("ca needs show, rotate or lint [file]"), "agentproxy ca --help")
			}
		},
	}
}

// caDocument is what "ca show --json" prints.
type caDocument struct {
	Subject   string    `json:"subject"`
	SHA256    string    `json:"sha256"`
	NotBefore time.Time `json:"notBefore"`
	NotAfter  time.Time `json:"notAfter"`
	Path      string    `json:"path"`
	// Name is ours in stores.
	Name string `json:"name"`
}

func describe(a *trust.Anchor) *caDocument {
	if a == nil {
		return nil
	}
	return &caDocument{Subject: a.Cert.Subject.String(), SHA256: trust.Fingerprint(a.Cert),
		NotBefore: a.Cert.NotBefore, NotAfter: a.Cert.NotAfter, Path: a.File, Name: a.Name()}
}

// ownCA is the one in the state directory.
func ownCA() (*trust.Anchor, error) {
	dirs, err := rundir.Candidates(os.Getenv)
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		cert, err := ca.Certificate(dir)
		if err != nil {
			return nil, err
		}
		if cert != nil {
			return &trust.Anchor{Cert: cert, File: filepath.Join(dir, rundir.CertFile)}, nil
		}
	}
	return nil, hint(errors.New("there is no CA yet"), "agentproxy up")
}

func showCA(asPEM, asJSON bool) error {
	a, err := ownCA()
	if err != nil {
		return err
	}
	switch {
	case asPEM:
		_, err = os.Stdout.Write(ca.EncodePEM(a.Cert))
	case asJSON:
		err = json.NewEncoder(os.Stdout).Encode(describe(a))
	default:
		printCA(os.Stdout, describe(a), time.Now())
	}
	return err
}

// foundDefects is the result of a lint: no failure of ours, so not 125.
type foundDefects struct{ error }

func lintCA(file string, asJSON bool) error {
	if file == "" {
		a, err := ownCA()
		if err != nil {
			return err
		}
		file = a.File
	}
	n, findings, err := ca.LintFile(file, time.Now())
	if err != nil {
		return err
	}
	if asJSON {
		if findings == nil {
			findings = []ca.Finding{}
		}
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(findings); err != nil {
			return err
		}
	} else {
		printFindings(os.Stdout, file, n, findings)
	}
	refused := 0
	for _, f := range findings {
		if len(f.Refused) > 0 {
			refused++
		}
	}
	if refused > 0 {
		return &foundDefects{fmt.Errorf("%s has %d defects that clients mind", file, refused)}
	}
	return nil
}

// rotateCA replaces the CA, and then in every store that the journal lists.
func rotateCA(ctx context.Context) error {
	dir, err := rundir.Open(os.Getenv)
	if err != nil {
		return err
	}
	old, err := anchorOf(dir.Path, "", false)
	if err != nil {
		return err
	}
	if old == nil {
		return hint(errors.New("there is no CA yet"), "agentproxy up")
	}
	t := trusting{manager: trust.Manager{State: dir.Path, Anchor: old, World: &trust.World{Getenv: os.Getenv, Admin: os.Geteuid() == 0, JavaPassword: os.Getenv(javaPasswordVariable)}}}
	if t.manager.World.Home, err = rundir.Home(os.Getenv); err != nil {
		return err
	}
	release, err := t.manager.Open()
	if err != nil {
		return err
	}
	defer release()
	byOthers := t.unmanaged()
	if err := replaceCA(ctx, dir.Path); err != nil {
		return err
	}
	if t.manager.Anchor, err = anchorOf(dir.Path, "", false); err != nil {
		return err
	}
	printCA(os.Stdout, describe(t.manager.Anchor), time.Now())
	failed := t.update()
	before := t.manager
	before.Anchor = old
	for _, p := range byOthers {
		if before.Status(p).State != trust.Trusted {
			continue // the system's tools have updated it, too
		}
		failed.say(hint(fmt.Errorf("%s: %s still trusts the old CA", p.Store, p.Path), "%s", t.asAdministrator("install", p.Store)))
	}
	if failed.said {
		say("the old CA is kept as %s.old until then; it signs nothing any more", rundir.CertFile)
		return failed.result()
	}
	return ca.Forget(dir.Path)
}

// replaceCA stops the tunnels and keeps new ones from starting meanwhile.
func replaceCA(ctx context.Context, dir string) error {
	release, err := rundir.Lock(dir)
	if err != nil {
		return err
	}
	defer release()
	if _, err := stopRunning(ctx); err != nil {
		return err
	}
	_, err = ca.Rotate(dir)
	return err
}

// unmanaged are the stores that trust the CA and that somebody else set up, such
// as an administrator.
func (t *trusting) unmanaged() []*trust.Place {
	_, byDefault := trust.Stores()
	all, err := t.places(byDefault)
	if err != nil {
		return nil
	}
	var list []*trust.Place
	for _, p := range all {
		if r := t.manager.Status(p); r.State == trust.Trusted && !r.Managed {
			list = append(list, p)
		}
	}
	return list
}

// update puts the new CA where earlier ones were.
func (t *trusting) update() (failed saidError) {
	for _, p := range t.manager.Behind() {
		r, err := t.manager.Update(p)
		if err != nil {
			failed.say(t.advised(err))
			continue
		}
		printStore(os.Stdout, r, false)
	}
	return failed
}

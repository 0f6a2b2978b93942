package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/proxy/trust"
	"github.com/agentproxy/agentproxy/wrap/inspect"
	"github.com/spf13/pflag"
)

func caCommand() *command {
	return &command{
		name:   "ca",
		args:   "show | rotate | lint [file | host] | adopt <file | host>",
		values: firstWords("show", "rotate", "lint", "adopt"),
		short:  "Show the CA, replace it, say what is wrong with one, or adopt another's",
		examples: `
  agentproxy ca show                             # subject, fingerprint, validity, path; --pem prints the certificate
  agentproxy ca lint ./corp-root.pem             # what is wrong with it, and which clients refuse it
  agentproxy ca lint api.example                 # the same of what signs for that host, through the tunnel
  agentproxy ca adopt ./corp-root.pem            # trust your organisation's proxy: in every bundle from now on
  agentproxy ca rotate                           # a new CA, in every store that the old one was installed in`,
		long: `
rotate stops your tunnels: commands that run behind one lose their connections,
and trust the new CA when they are started again. The old CA stays beside the new
one until all stores have the new one. lint without a file looks at your own CA;
its exit status is 1 when a client refuses what it found.

adopt puts an authority into the roots of all commands, as egress.extra_roots does.
Named by a host, it is the one that signs what the host presents through the tunnel;
compare its fingerprint first, or give the right one with --sha256.`,
		define: func(flags *pflag.FlagSet) action {
			asPEM := flags.Bool("pem", false, "with show: print the certificate")
			asJSON := flags.Bool("json", false, "with show and lint: print JSON")
			fingerprint := flags.String("sha256", "", "with adopt: its fingerprint in `hex`, 16 digits of it at least; asks otherwise")
			of := verbFlags{"show": {"pem", "json"}, "lint": {"json"}, "rotate": nil, "adopt": {"sha256"}}
			return func(ctx context.Context, proc *process, args []string) error {
				if len(args) > 0 {
					if err := of.check("ca", args[0], flags); err != nil {
						return err
					}
				}
				switch {
				case *asPEM && *asJSON:
					return hint(errors.New("--pem and --json exclude each other"), "agentproxy ca show --pem")
				case len(args) == 1 && args[0] == "show":
					return showCA(proc, *asPEM, *asJSON)
				case len(args) == 1 && args[0] == "rotate":
					return rotateCA(ctx, proc)
				case len(args) == 1 && args[0] == "lint":
					return lintCA(proc, "", *asJSON)
				case len(args) == 2 && args[0] == "lint":
					return lintOne(ctx, proc, args[1], *asJSON)
				case len(args) == 2 && args[0] == "adopt":
					return adoptCA(ctx, proc, args[1], *fingerprint)
				}
				return hint(errors.New("ca needs show, rotate, lint [file | host] or adopt <file | host>"), "agentproxy ca --help")
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
	return &caDocument{Subject: a.Cert.Subject.String(), SHA256: ca.Fingerprint(a.Cert),
		NotBefore: a.Cert.NotBefore, NotAfter: a.Cert.NotAfter, Path: a.File, Name: a.Name()}
}

// ownCA is the one in the state directory.
func ownCA(proc *process) (*trust.Anchor, error) {
	dirs, _, err := rundir.Usable(proc.Getenv)
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

func showCA(proc *process, asPEM, asJSON bool) error {
	a, err := ownCA(proc)
	if err != nil {
		return err
	}
	switch {
	case asPEM:
		_, err = proc.Out.Write(ca.EncodePEM(a.Cert))
	case asJSON:
		err = json.NewEncoder(proc.Out).Encode(describe(a))
	default:
		printCA(proc.Out, describe(a), time.Now())
	}
	return err
}

// foundDefects is the result of a lint: no failure of ours, so not 125.
type foundDefects struct{ error }

// lintOne lints a file, or what signs for a host.
func lintOne(ctx context.Context, proc *process, what string, asJSON bool) error {
	if _, err := os.Stat(what); err == nil || strings.Contains(what, "/") {
		return lintCA(proc, what, asJSON)
	}
	r, err := lookAt(ctx, proc, what)
	if err != nil {
		return err
	}
	if asJSON {
		err = json.NewEncoder(proc.Out).Encode(r)
	} else {
		printPresented(proc.Out, r)
		printFindings(proc.Out, r.Host, 1, r.Defects)
	}
	if err == nil && len(r.Defects) > 0 {
		err = &foundDefects{fmt.Errorf("what signs for %s has %d defects that clients mind", r.Host, len(r.Defects))}
	}
	return err
}

// printPresented says what a host presents.
func printPresented(w io.Writer, r *inspect.Report) {
	if r.Signer != "" {
		fmt.Fprintf(w, "%s: signed by %s\n", r.Host, r.Signer)
	}
	if r.SHA256 != "" {
		fmt.Fprintf(w, "  sha256 %s\n", r.SHA256)
	}
	if !r.Trusted() {
		fmt.Fprintf(w, "  %s\n", r.Detail)
	}
	if r.Advice != "" {
		fmt.Fprintf(w, "  %s\n", r.Advice)
	}
}

func lintCA(proc *process, file string, asJSON bool) error {
	if file == "" {
		a, err := ownCA(proc)
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
		enc := json.NewEncoder(proc.Out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(findings); err != nil {
			return err
		}
	} else {
		printFindings(proc.Out, file, n, findings)
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
func rotateCA(ctx context.Context, proc *process) error {
	dir, err := rundir.Open(proc.Getenv)
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
	t := trusting{proc: proc, manager: trust.Manager{State: dir.Path, Anchor: old, System: &trust.System{Getenv: proc.Getenv, Admin: os.Geteuid() == 0, JavaPassword: proc.Getenv(javaPasswordVariable)}}}
	if t.manager.System.Home, err = rundir.Home(proc.Getenv); err != nil {
		return err
	}
	release, err := t.manager.Open()
	if err != nil {
		return err
	}
	defer release()
	byOthers := t.unmanaged()
	if err := replaceCA(ctx, proc, dir.Path); err != nil {
		return err
	}
	if t.manager.Anchor, err = anchorOf(dir.Path, "", false); err != nil {
		return err
	}
	printCA(proc.Out, describe(t.manager.Anchor), time.Now())
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
		proc.say("the old CA is kept as %s.old until then; it signs nothing any more", rundir.CertFile)
		return failed.result()
	}
	return ca.Forget(dir.Path)
}

// replaceCA stops the tunnels and keeps new ones from starting meanwhile.
func replaceCA(ctx context.Context, proc *process, dir string) error {
	release, err := rundir.Lock(dir)
	if err != nil {
		return err
	}
	defer release()
	if _, err := stopRunning(ctx, proc); err != nil {
		return err
	}
	_, err = ca.Rotate(dir)
	return err
}

// unmanaged are the stores that trust the CA and that somebody else set up, such
// as an administrator.
func (t *trusting) unmanaged() []*trust.Location {
	_, byDefault := trust.Stores()
	all, err := t.places(byDefault)
	if err != nil {
		return nil
	}
	var list []*trust.Location
	for _, p := range all {
		if r := t.manager.Status(p); r.State == trust.Trusted && !r.Managed {
			list = append(list, p)
		}
	}
	return list
}

// update puts the new CA where earlier ones were.
func (t *trusting) update() silentErrors {
	failed := silentErrors{proc: t.proc}
	for _, p := range t.manager.Behind() {
		r, err := t.manager.Update(p)
		if err != nil {
			failed.say(t.advised(err))
			continue
		}
		printStore(t.proc, r, false)
	}
	return failed
}

// printCA draws the CA.
func printCA(w io.Writer, d *caDocument, now time.Time) {
	validity := "valid"
	if now.After(d.NotAfter) {
		validity = "expired; \"agentproxy ca rotate\" makes a new one"
	}
	fmt.Fprintf(w, "subject  %s\nsha256   %s\nvalidity %s to %s, %s\npath     %s\nname     %s (in stores)\n", d.Subject, d.SHA256,
		d.NotBefore.Format(time.DateOnly), d.NotAfter.Format(time.DateOnly), validity, d.Path, d.Name)
}

// printFindings draws the result of a lint.
func printFindings(w io.Writer, file string, n int, findings []ca.Finding) {
	for _, f := range findings {
		by := "no client that we know refuses it for that"
		if len(f.Refused) > 0 {
			by = "refused by " + strings.Join(f.Refused, ", ")
		}
		fmt.Fprintf(w, "%s: %s\n  %s; %s\n  %s\n", f.Subject, f.Code, f.Detail, by, f.Fix)
	}
	if len(findings) == 0 {
		fmt.Fprintf(w, "%s: ok, %d certificates\n", file, n)
	}
}

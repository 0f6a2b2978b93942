package main

import (
	"context"
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
		name:  "ca",
		short: "Show the CA, replace it, check one, or adopt your organisation's",
		examples: `
  agentproxy ca show                    # subject, fingerprint, validity, path
  agentproxy ca lint api.example        # what is wrong with the CA that signs for that host
  agentproxy ca adopt ./corp-root.pem   # trust your organisation's proxy: in every bundle from now on`,
		verbs: []*command{
			{
				name:  "ca show",
				short: "Show the CA",
				examples: `
  agentproxy ca show                 # subject, fingerprint, validity, path
  agentproxy ca show --pem >ca.pem   # the certificate`,
				define: func(flags *pflag.FlagSet) action {
					asPEM := flags.Bool("pem", false, "print the certificate")
					asJSON := flags.Bool("json", false, "print JSON")
					return func(_ context.Context, proc *process, _ []string) error {
						if *asPEM && *asJSON {
							return hint(errors.New("--pem and --json exclude each other"), "agentproxy ca show --pem")
						}
						return showCA(proc, *asPEM, *asJSON)
					}
				},
			},
			{
				name:  "ca lint",
				args:  "[FLAG...] [FILE | HOST]",
				short: "Check a CA, and say which clients refuse it",
				examples: `
  agentproxy ca lint                   # your own CA
  agentproxy ca lint ./corp-root.pem   # one in a file
  agentproxy ca lint api.example       # the one that signs for that host, through the tunnel`,
				long: "The exit status is 1 when a client refuses what it found.",
				define: func(flags *pflag.FlagSet) action {
					asJSON := flags.Bool("json", false, "print JSON")
					return func(ctx context.Context, proc *process, args []string) error {
						switch len(args) {
						case 0:
							return lintCA(proc, "", *asJSON)
						case 1:
							return lintOne(ctx, proc, args[0], *asJSON)
						}
						return hint(fmt.Errorf("ca lint takes one file or host, not %d", len(args)), "agentproxy ca lint %s", args[0])
					}
				},
			},
			{
				name:  "ca adopt",
				args:  "[FLAG...] {FILE | HOST}",
				short: "Trust another CA in every bundle",
				examples: `
  agentproxy ca adopt ./corp-root.pem   # your organisation's proxy
  agentproxy ca adopt api.example       # the CA that signs for that host; asks after showing its fingerprint`,
				long: `
The CA joins the roots of all commands, as egress.extra_roots does. Compare the
fingerprint of a host's CA first, or give the right one with --sha256.`,
				define: func(flags *pflag.FlagSet) action {
					fingerprint := flags.String("sha256", "", "the CA's fingerprint in `HEX`, at least its first 16 digits; without it adopt asks")
					return func(ctx context.Context, proc *process, args []string) error {
						if len(args) != 1 {
							return hint(errors.New("ca adopt needs one file or host"), "agentproxy ca adopt --help")
						}
						return adoptCA(ctx, proc, args[0], *fingerprint)
					}
				},
			},
			{
				name:  "ca rotate",
				short: "Replace the CA, in every store that has the old one",
				examples: `
  agentproxy ca rotate                               # a new CA
  agentproxy ca rotate && agentproxy trust status    # and how the stores stand then`,
				long: `
This stops your tunnels. Commands that run behind one lose their connections. The old
CA stays beside the new one until every store has the new one.`,
				destroys: true,
				define: func(*pflag.FlagSet) action {
					return func(ctx context.Context, proc *process, _ []string) error {
						return rotateCA(ctx, proc)
					}
				},
			},
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
		err = printJSON(proc.Out, describe(a))
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
		err = printJSON(proc.Out, r)
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
		if err := printJSON(proc.Out, findings); err != nil {
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

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/proxy/trust"
	"github.com/agentproxy/agentproxy/shell"
	"github.com/spf13/pflag"
)

func trustCommand() *command {
	return &command{
		name:  "trust",
		short: "Make the machine's stores trust the CA for good, and undo it",
		examples: `
  agentproxy trust install        # the system (as root), NSS databases, Firefox and Java, as far as they are here
  agentproxy trust status         # how every store stands
  agentproxy trust remove --all   # undo it: files nobody has changed since are as they were`,
		long: trustLong(),
		verbs: []*command{
			{
				name:  "trust install",
				short: "Make stores trust the CA",
				examples: `
  agentproxy trust install                          # the stores of the system, NSS, Firefox and Java
  agentproxy trust install --store npm --store pip  # a marked block in ~/.npmrc and pip.conf
  agentproxy trust install --all --dry-run          # what would be done, store by store`,
				define: func(flags *pflag.FlagSet) action {
					var t trusting
					t.defineStores(flags)
					t.defineChange(flags)
					flags.BoolVar(&t.all, "all", false, "also the configuration files of the tools that are here")
					return t.verb("install", t.install)
				},
				flagValues: storeValues,
			},
			{
				name:  "trust status",
				short: "Show which stores trust the CA",
				examples: `
  agentproxy trust status                # every store that is set up, or could be by default
  agentproxy trust status --store npm    # this one
  agentproxy trust status --json         # for programs`,
				define: func(flags *pflag.FlagSet) action {
					var t trusting
					t.defineStores(flags)
					flags.BoolVar(&t.json, "json", false, "print JSON")
					return t.verb("status", t.status)
				},
				flagValues: storeValues,
			},
			{
				name:  "trust remove",
				short: "Undo what install did",
				examples: `
  agentproxy trust remove --all --dry-run   # what would be undone
  agentproxy trust remove --all             # undo all of it
  agentproxy trust remove --store npm       # this store alone`,
				long: `
A file that nobody has changed since becomes what it was, byte for byte. Otherwise only
our entry leaves it.`,
				destroys: true,
				define: func(flags *pflag.FlagSet) action {
					var t trusting
					t.defineStores(flags)
					t.defineChange(flags)
					flags.BoolVar(&t.all, "all", false, "every store")
					return t.verb("remove", t.remove)
				},
				flagValues: storeValues,
			},
		},
	}
}

var storeValues = map[string]func(*process) []string{"store": func(*process) []string {
	all, _ := trust.Stores()
	return all
}}

// defineStores declares the flags of every verb.
func (t *trusting) defineStores(flags *pflag.FlagSet) {
	flags.StringArrayVar(&t.stores, "store", nil, "only this `STORE`; may be repeated")
	flags.StringVar(&t.caFile, "ca", "", "the certificate in this `FILE` (default: the CA in your state directory)")
	flags.StringVar(&t.passwordFile, "java-password-file", "", "read the password of Java's stores from this `FILE` (default: $"+javaPasswordVariable+", then the usual ones)")
}

// defineChange declares those of the verbs that change stores.
func (t *trusting) defineChange(flags *pflag.FlagSet) {
	flags.BoolVar(&t.dryRun, "dry-run", false, "print what would be done, and change nothing")
}

// verb runs one of the verbs with the stores open.
func (t *trusting) verb(name string, act func(context.Context) error) action {
	return func(ctx context.Context, proc *process, _ []string) error {
		t.proc = proc
		if err := t.open(name); err != nil {
			return err
		}
		defer t.release()
		return act(ctx)
	}
}

func trustLong() string {
	all, byDefault := trust.Stores()
	return strings.Join(wrapped(fmt.Sprintf("Stores: %s. Without --store or --all, install covers %s.", strings.Join(all, ", "), strings.Join(byDefault, ", ")), helpWidth), "\n") + `

Each change is checked with the store's own reader. The state directory keeps the
files as they were, and remove puts them back.`
}

// javaPasswordVariable holds the password of Java's stores.
const javaPasswordVariable = "AGENTPROXY_JAVA_PASSWORD"

// trusting is one run of the command.
type trusting struct {
	stores               []string
	all, dryRun, json    bool
	caFile, passwordFile string

	proc    *process
	manager trust.Manager
	release func()
}

// ownEnvironment is the environment that says where our state is. Under sudo that is
// root's, whatever is left of the caller's: a state directory has one owner.
func ownEnvironment(proc *process) func(string) string {
	if os.Geteuid() != 0 || proc.Getenv("SUDO_UID") == "" || proc.Getenv("SUDO_UID") == "0" {
		return proc.Getenv
	}
	root, err := user.LookupId("0")
	if err != nil {
		return proc.Getenv
	}
	return func(name string) string {
		switch name {
		case "HOME":
			return root.HomeDir
		case "AGENT_PROXY_STATE_DIR", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME":
			return ""
		}
		return proc.Getenv(name)
	}
}

// open reads the machine and the CA.
func (t *trusting) open(verb string) error {
	getenv := ownEnvironment(t.proc)
	home, err := rundir.Home(getenv)
	if err != nil {
		return err
	}
	views := verb == "status" || t.dryRun
	dir, err := stateFor(getenv, views)
	if err != nil {
		return err
	}
	password, err := t.javaPassword()
	if err != nil {
		return err
	}
	t.manager = trust.Manager{State: dir,
		System: &trust.System{Home: home, Getenv: getenv, Admin: os.Geteuid() == 0, JavaPassword: password}}
	create := verb == "install" && !t.dryRun
	if t.manager.Anchor, err = anchorOf(dir, t.caFile, create); err != nil {
		return err
	}
	if verb == "install" && t.manager.Anchor == nil {
		return hint(errors.New("there is no CA yet"), "agentproxy up")
	}
	t.release = func() {}
	if views {
		return t.manager.View()
	}
	t.release, err = t.manager.Open()
	return err
}

// stateFor is the state directory. Who only looks makes none.
func stateFor(getenv func(string) string, views bool) (string, error) {
	if views {
		dirs, _, err := rundir.Usable(getenv)
		if err == nil && len(dirs) == 0 {
			dirs, err = rundir.Candidates(getenv)
		}
		if err != nil {
			return "", err
		}
		return dirs[0], nil
	}
	dir, err := rundir.Open(getenv)
	if err != nil {
		return "", err
	}
	return dir.Path, nil
}

func (t *trusting) javaPassword() (string, error) {
	if t.passwordFile == "" {
		return t.proc.Getenv(javaPasswordVariable), nil
	}
	raw, err := os.ReadFile(t.passwordFile)
	return strings.TrimRight(string(raw), "\r\n"), err
}

// anchorOf is the CA in the state directory, made if it is missing and create
// says so, or the one in file. Who hands a CA of another's state directory over,
// as with sudo, hands its bundle over, too.
func anchorOf(dir, file string, create bool) (*trust.Anchor, error) {
	if file == "" {
		if create {
			release, err := rundir.Lock(dir)
			if err != nil {
				return nil, err
			}
			_, err = ca.Open(dir)
			release()
			if err != nil {
				return nil, err
			}
		}
		cert, err := ca.Certificate(dir)
		if cert == nil || err != nil {
			return nil, err
		}
		return completed(&trust.Anchor{Cert: cert, File: filepath.Join(dir, rundir.CertFile)}, dir)
	}
	file, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	certs, err := ca.ReadCertificates(file)
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	if len(certs) != 1 {
		return nil, fmt.Errorf("--ca: %s holds %d certificates, and one is trusted at a time", file, len(certs))
	}
	a := &trust.Anchor{Cert: certs[0], File: file}
	if filepath.Base(file) == rundir.CertFile {
		a.Bundle = filepath.Join(filepath.Dir(file), ca.BundleFile)
		a.JavaStore = trust.JVMTrustStorePath(a.Bundle)
		return a, nil
	}
	if cert, err := ca.Certificate(dir); cert == nil {
		return a, err // no bundle, and no configuration file to point at it
	}
	return completed(a, dir, file)
}

// completed adds the merged files.
func completed(a *trust.Anchor, dir string, extra ...string) (*trust.Anchor, error) {
	b, err := ca.BuildBundle(dir, dir, extra...)
	if err != nil {
		return nil, err
	}
	a.Bundle = b.Path
	a.JavaStore, err = trust.JVMTrustStore(b.Path)
	return a, err
}

// chosen returns the names of stores that were asked for, and whether by name.
func (t *trusting) chosen() (names []string, named bool) {
	all, byDefault := trust.Stores()
	switch {
	case len(t.stores) > 0:
		return t.stores, true
	case t.all:
		return all, false
	}
	return byDefault, false
}

func (t *trusting) install(ctx context.Context) error {
	m := &t.manager
	names, named := t.chosen()
	failed := silentErrors{proc: t.proc}
	n := 0
	for _, name := range names {
		places, err := m.Places(name)
		if none := new(trust.NoneError); errors.As(err, &none) && !named {
			continue
		}
		if err != nil {
			failed.say(t.advised(err))
		}
		for _, p := range places {
			if !named && !p.Present() {
				continue
			}
			n++
			r, err := t.installOne(p)
			if rights := new(trust.RightsError); errors.As(err, &rights) && !named {
				printLeftOut(t.proc.Out, r, t.asAdministrator("install", name))
				continue
			}
			if err != nil {
				failed.say(t.advised(err))
				continue
			}
			printStore(t.proc, r, t.dryRun)
		}
	}
	if n == 0 && !failed.said {
		return hint(errors.New("there is no store to set up here"), "agentproxy trust install --store npm")
	}
	if t.caFile == "" {
		sayUpstream(t.proc, upstream(ctx, t.proc))
	}
	return failed.result()
}

// upstream is the egress that tunnels of this user have, "" for the embedded one.
func upstream(ctx context.Context, proc *process) string {
	options, err := (&tunnelFlags{}).options(proc)
	if err != nil {
		return "" // exec will tell
	}
	wanted, err := attach.Wanted(ctx, options)
	if err != nil || wanted.Config.Egress.Upstream == "" {
		return ""
	}
	u, err := config.ParseUpstream(wanted.Config.Egress.Upstream)
	if err != nil {
		return ""
	}
	return config.Redact(u)
}

func (t *trusting) installOne(p *trust.Location) (trust.Report, error) {
	if !t.dryRun {
		return t.manager.Install(p)
	}
	r := t.manager.Status(p)
	if r.State == trust.Trusted {
		return r, nil
	}
	return r, t.manager.Allowed(p)
}

// asAdministrator is the command for who may: with this user's CA.
func (t *trusting) asAdministrator(verb, store string) string {
	command := fmt.Sprintf("sudo %s trust %s --store %s", shell.Word(sudoName()), verb, store)
	if a := t.manager.Anchor; a != nil {
		command += " --ca " + shell.Word(a.File)
	}
	return command
}

// sudoName is how sudo finds us: by name in the directories of its usual
// secure_path, else by path.
func sudoName() string {
	path, err := os.Executable()
	if err != nil {
		return "agentproxy"
	}
	if slices.Contains([]string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}, filepath.Dir(path)) {
		return filepath.Base(path)
	}
	return path
}

// advised adds what to type next to an error of a store.
func (t *trusting) advised(err error) error {
	var rights *trust.RightsError
	var state *trust.StateError
	var none *trust.NoneError
	var unknown *trust.UnknownError
	var password *trust.PasswordError
	switch {
	case errors.As(err, &rights) && os.Geteuid() != 0:
		return hint(err, "%s", t.asAdministrator("install", rights.Store))
	case errors.As(err, &state) && state.Fix != "":
		return hint(err, "%s", state.Fix)
	case errors.As(err, &none) && none.Fix != "":
		return hint(err, "%s", none.Fix)
	case errors.As(err, &unknown):
		return hint(err, "agentproxy trust --help")
	case errors.As(err, &password):
		return hint(err, "agentproxy trust install --store java --java-password-file FILE")
	}
	return err
}

// places are those on the machine, and those that the journal lists.
func (t *trusting) places(names []string) ([]*trust.Location, error) {
	m := &t.manager
	all := m.Managed()
	all = slices.DeleteFunc(all, func(p *trust.Location) bool { return !slices.Contains(names, p.Store) })
	for _, name := range names {
		found, err := m.Places(name)
		if none := new(trust.NoneError); errors.As(err, &none) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, p := range found {
			if !slices.ContainsFunc(all, p.Same) {
				all = append(all, p)
			}
		}
	}
	return all, nil
}

func (t *trusting) status(context.Context) error {
	names, byDefault := trust.Stores()
	if len(t.stores) > 0 {
		names, byDefault = t.stores, t.stores
	}
	places, err := t.places(names)
	if err != nil {
		return t.advised(err)
	}
	slices.SortStableFunc(places, func(a, b *trust.Location) int { return slices.Index(names, a.Store) - slices.Index(names, b.Store) })
	doc := trustDocument{CA: describe(t.manager.Anchor), Stores: []trust.Report{}}
	for _, p := range places {
		r := t.manager.Status(p)
		if t.json || r.State != trust.Absent || r.Managed || slices.Contains(byDefault, r.Store) {
			doc.Stores = append(doc.Stores, r)
		}
	}
	if t.json {
		return printJSON(t.proc.Out, doc)
	}
	printTrust(t.proc, doc)
	return nil
}

// trustDocument is what "trust status --json" prints.
type trustDocument struct {
	// CA is nil while there is none.
	CA     *caDocument    `json:"ca"`
	Stores []trust.Report `json:"stores"`
}

// removeOne removes, or says by Changed that it would.
func (t *trusting) removeOne(p *trust.Location) (r trust.Report, err error) {
	if !t.dryRun {
		return t.manager.Remove(p)
	}
	r, r.Changed, err = t.manager.WouldRemove(p)
	return r, err
}

func (t *trusting) remove(context.Context) error {
	if len(t.stores) == 0 && !t.all {
		return hint(errors.New("trust remove needs --store STORE or --all"), "agentproxy trust remove --all --dry-run")
	}
	names, _ := t.chosen()
	places, err := t.places(names)
	if err != nil {
		return t.advised(err)
	}
	failed := silentErrors{proc: t.proc}
	n := 0
	for _, p := range places {
		r, err := t.removeOne(p)
		switch rights := new(trust.RightsError); {
		case errors.As(err, &rights) && os.Geteuid() != 0:
			failed.say(hint(err, "%s", t.asAdministrator("remove", p.Store)))
		case err != nil && r.Managed:
			failed.say(t.advised(err))
		case r.Changed:
			n++
			printRemoved(t.proc, r, t.dryRun)
		}
	}
	if n == 0 && !failed.said {
		fmt.Fprintln(t.proc.Out, "nothing of ours is in these stores")
	}
	return failed.result()
}

// printStore draws what an install came to for one store.
func printStore(proc *process, r trust.Report, dryRun bool) {
	p := proc.palette()
	what := "trusts the CA already"
	switch {
	case r.Changed:
		what = "trusts the CA now"
	case dryRun && r.State == trust.Absent:
		what = "would be made to trust the CA"
	case dryRun && r.State != trust.Trusted:
		what = string(r.State) + ": " + r.Detail
	}
	fmt.Fprintf(proc.Out, "%s %-8s %s %s\n", p.good("✓"), r.Store, r.Place, what)
}

// sayUpstream warns that an upstream egress signs with a CA that is not ours.
func sayUpstream(proc *process, name string) {
	if name != "" {
		proc.say("your egress is %s, and what that re-terminates is signed by its own CA; for that one: agentproxy trust install --ca FILE", name)
	}
}

// printLeftOut tells of a store that is not this user's to change.
func printLeftOut(w io.Writer, r trust.Report, command string) {
	fmt.Fprintf(w, "- %-8s %s left out: not yours to change; %s\n", r.Store, r.Place, command)
}

// printRemoved says whether the undo was exact: what others have changed since
// an install is kept.
func printRemoved(proc *process, r trust.Report, dryRun bool) {
	what := "holds nothing of ours any more"
	switch {
	case dryRun:
		what = "would no longer trust the CA"
	case r.Exact:
		what = "is as it was before"
	}
	fmt.Fprintf(proc.Out, "%s %-8s %s %s\n", proc.palette().good("✓"), r.Store, r.Place, what)
}

// printTrust draws the state of all stores.
func printTrust(proc *process, doc trustDocument) {
	p := proc.palette()
	if doc.CA == nil {
		fmt.Fprintln(proc.Out, "there is no CA yet; \"agentproxy up\" makes one")
	} else {
		fmt.Fprintf(proc.Out, "CA %s\n   sha256 %s, until %s\n", doc.CA.Subject, doc.CA.SHA256[:16], doc.CA.NotAfter.Format(time.DateOnly))
	}
	for _, r := range doc.Stores {
		sign, text := "-", string(r.State)
		switch {
		case r.State == trust.Trusted:
			sign = p.good("✓")
		case r.State == trust.Absent && r.Managed:
			sign, text = p.bad("✗"), "gone since it was installed"
		case r.State != trust.Absent:
			sign = p.bad("✗")
		}
		if r.Detail != "" {
			text += ", " + r.Detail
		}
		if r.Fix != "" {
			text += "; " + r.Fix
		}
		fmt.Fprintf(proc.Out, "%s %-8s %s: %s\n", sign, r.Store, r.Place, text)
	}
}

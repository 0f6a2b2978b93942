package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/agentproxy/agentproxy/profiles"
	"github.com/agentproxy/agentproxy/profiles/probe"
	"github.com/agentproxy/agentproxy/profiles/rules"
	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/wrap/capture"
	"github.com/agentproxy/agentproxy/wrap/classify"
	"github.com/agentproxy/agentproxy/wrap/doctor"
	"github.com/agentproxy/agentproxy/wrap/inspect"
	"github.com/agentproxy/agentproxy/wrap/plan"
	"github.com/agentproxy/agentproxy/wrap/session"
	"github.com/spf13/pflag"
)

func doctorCommand() *command {
	return &command{
		name:   "doctor",
		args:   "[FLAG...] [TOOL...]",
		values: func(proc *process, _ []string) []string { return library(proc).Names() },
		short:  "Try the installed tools through the tunnel",
		examples: `
  agentproxy doctor                              # every installed tool that has a trial
  agentproxy doctor npm git                      # these two; --json for programs
  agentproxy doctor --online                     # and the tools' own registries`,
		long: `
Each tool fetches something from a canary, an origin inside the tunnel, with what exec
gives it. This needs no network. The table says whether the tool took the tunnel,
whether it trusted the CA, and how to fix it. Where a tool cannot run harmlessly,
doctor tries its runtime. With --online each tool also asks its own registry.

Exit status: 0 when all work, 1 when one does not.`,
		define: func(flags *pflag.FlagSet) action {
			var d doctorRun
			d.define(flags)
			flags.BoolVar(&d.asJSON, "json", false, "print JSON")
			flags.BoolVar(&d.online, "online", false, "also ask each tool's own registry, over the network")
			return func(ctx context.Context, proc *process, args []string) error {
				d.proc = proc
				return d.run(ctx, args)
			}
		},
	}
}

// doctorRun is one diagnosis.
type doctorRun struct {
	tunnelFlags
	proc   *process
	asJSON bool
	online bool

	options attach.Options
	tunnel  *attach.Tunnel
	id      string
}

// candidate is an installed tool with a trial.
type candidate struct {
	command string
	profile *profiles.Full
}

// errNo makes the exit status 1: what was asked is not so, and all has been said.
var errNo = errors.New("no")

func (d *doctorRun) run(ctx context.Context, tools []string) error {
	candidates, err := installed(d.proc, tools)
	if err != nil {
		return err
	}
	if d.options, err = d.tunnelFlags.options(d.proc); err != nil {
		return err
	}
	d.id = strings.ToLower(rand.Text()[:10])
	tunnel, attached, err := attach.Acquire(ctx, d.options, d.id)
	if err != nil {
		return err
	}
	defer attached.Close()
	sayNotice(d.proc, tunnel)
	d.tunnel = tunnel
	found := diagnosis{Capture: abilityTo(capture.Try(false)), Isolate: abilityTo(capture.Try(true))}
	if found.Tools, err = d.tryAll(ctx, candidates); err != nil {
		return err
	}
	if found.Upstream, err = d.upstream(ctx); err != nil {
		return err
	}
	found.Signing = signing(ctx, tunnel, d.options.Config)
	if found.CA, err = defects(tunnel); err != nil {
		return err
	}
	if d.asJSON {
		if err := printJSON(d.proc.Out, found); err != nil {
			return err
		}
	} else {
		printDoctor(d.proc, found)
	}
	if !found.well() {
		return errNo
	}
	return nil
}

// diagnosis is what doctor found.
type diagnosis struct {
	Tools []doctor.Row `json:"tools"`
	// Upstream is nil when the egress is our own.
	Upstream *doctor.Upstream `json:"upstream,omitempty"`
	// Capture says whether a command can have a network of its own here, and Isolate
	// whether that can be all it has.
	Capture ability `json:"capture"`
	Isolate ability `json:"isolate"`
	// Signing is what the upstream presents for the last host on which TLS failed.
	Signing *inspect.Report `json:"signing,omitempty"`
	// CA are the defects of the authorities that sign in the tunnel: ours, and
	// those of an upstream.
	CA []ca.Finding `json:"ca,omitempty"`
}

// ability is whether this system lets something be done, tried with a real child.
type ability struct {
	Works bool `json:"works"`
	// Means is by which, "" where it does not work.
	Means capture.Means `json:"means,omitempty"`
	// Why says what came in the way, Fix what an administrator may do.
	Why string `json:"why,omitempty"`
	Fix string `json:"fix,omitempty"`
}

func abilityTo(means capture.Means, err error) ability {
	a := ability{Works: err == nil, Means: means}
	if err != nil {
		a.Why = err.Error()
	}
	if refused := new(capture.Refused); errors.As(err, &refused) {
		a.Fix = refused.Advice
	}
	return a
}

func (e diagnosis) well() bool {
	return len(e.CA) == 0 && (e.Upstream == nil || e.Upstream.Answers) && !slices.ContainsFunc(e.Tools, func(r doctor.Row) bool {
		return r.Verdict != doctor.Works && r.Tried() || r.Online != nil && !r.Online.Works
	})
}

// upstream looks past the canary, which is on this side of the upstream egress,
// for an origin that there is none of (RFC 6761 §6.4): an upstream that says so
// is well.
func (d *doctorRun) upstream(ctx context.Context) (*doctor.Upstream, error) {
	if d.tunnel.Record.Upstream == "" {
		return nil, nil
	}
	host := d.id + ".invalid"
	if err := d.tunnel.Probe(ctx, host+":443"); err != nil {
		return nil, err
	}
	failures, err := d.failures(ctx, host)
	if err != nil {
		return nil, err
	}
	return doctor.JudgeUpstream(d.tunnel.Record.Upstream, failures), nil
}

// systemRoots are the fingerprints of the public roots: what an upstream comes with may
// hold them beside its own, and nobody signs here with one of them.
func systemRoots() map[string]bool {
	public := map[string]bool{}
	certs, err := ca.ReadCertificates(ca.SystemBundle())
	if err != nil {
		return nil
	}
	for _, c := range certs {
		public[ca.Fingerprint(c)] = true
	}
	return public
}

func defects(t *attach.Tunnel) ([]ca.Finding, error) {
	ours := filepath.Join(t.Dir, rundir.CertFile)
	var all []ca.Finding
	public := systemRoots()
	for _, file := range append([]string{ours}, t.Record.CAs...) {
		certs, err := ca.ReadCertificates(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		var findings []ca.Finding
		for _, c := range certs {
			if !public[ca.Fingerprint(c)] {
				findings = append(findings, ca.Lint(c, certs, time.Now())...)
			}
		}
		for i := range findings {
			if file == ours {
				findings[i].Fix = "agentproxy ca rotate"
			}
		}
		all = append(all, findings...)
	}
	return all, nil
}

// installed returns the tools that are here and have a trial: those named, by
// command or profile, or all.
func installed(proc *process, names []string) ([]candidate, error) {
	all := library(proc)
	var list []candidate
	if len(names) == 0 {
		for _, name := range all.Names() {
			p, err := candidateOf(all, name)
			if err != nil {
				return nil, err
			}
			if p.command != "" {
				list = append(list, p)
			}
		}
		if len(list) == 0 {
			return nil, hint(errors.New("no installed tool has a trial"), "agentproxy profile list")
		}
		return list, nil
	}
	for _, name := range names {
		p, err := byName(all, name)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// byName returns the tool that is called by a command, a path or a profile's
// name.
func byName(all *profiles.Library, name string) (candidate, error) {
	of := name
	switch covering, err := all.ForCommand(name); {
	case err != nil:
		return candidate{}, err
	case covering != nil:
		of = covering.Name
	case !slices.Contains(all.Names(), name):
		return candidate{}, hint(fmt.Errorf("no profile covers %q", name), "agentproxy profile list")
	}
	p, err := candidateOf(all, of)
	if err != nil {
		return candidate{}, err
	}
	isPath := strings.Contains(name, "/")
	switch {
	case p.profile.Canary == nil:
		return candidate{}, hint(fmt.Errorf("there is no trial for %q", name), "agentproxy doctor")
	case p.canBe(name) && isPath: // a trial has a directory of its own
		p.command, err = filepath.Abs(name)
	case p.canBe(name):
		p.command = name
	case p.command == "" || isPath:
		err = hint(fmt.Errorf("%q is not installed, or is not what the trial is for", name), "agentproxy doctor")
	}
	return p, err
}

// candidateOf reads a profile whole. Its candidate is the first of the trial's
// commands that is installed, "" when none is.
func candidateOf(all *profiles.Library, name string) (candidate, error) {
	file, data, err := all.Read(name)
	if err != nil {
		return candidate{}, err
	}
	full, err := profiles.Parse(file, data)
	if err != nil {
		return candidate{}, err
	}
	p := candidate{profile: full}
	if i := slices.IndexFunc(p.commands(), onPath); i >= 0 {
		p.command = p.commands()[i]
	}
	return p, nil
}

// commands are those that the trial is for.
func (p candidate) commands() []string {
	switch c := p.profile.Canary; {
	case c == nil:
		return nil
	case len(c.Commands) > 0:
		return c.Commands
	default:
		return p.profile.Commands
	}
}

// canBe says whether the trial is for a command of the profile's, which may have
// a directory and a version in its name.
func (p candidate) canBe(command string) bool {
	name := profiles.Unversioned(filepath.Base(command))
	return onPath(command) && slices.ContainsFunc(p.commands(), func(c string) bool { return profiles.Unversioned(c) == name })
}

func onPath(command string) bool {
	_, err := exec.LookPath(command)
	return err == nil
}

// trialsAtOnce is how many tools run at a time: most wait for their own start.
const trialsAtOnce = 4

// tryAll tries all of them.
func (d *doctorRun) tryAll(ctx context.Context, candidates []candidate) ([]doctor.Row, error) {
	rows := make([]doctor.Row, len(candidates))
	errs := make([]error, len(candidates))
	progress := newProgress(d.proc, len(candidates))
	var wg sync.WaitGroup
	slots := make(chan struct{}, trialsAtOnce)
	for i, p := range candidates {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			rows[i], errs[i] = d.try(ctx, p, fmt.Sprintf("t%d-%s", i, d.id))
			progress.step(p.command)
		})
	}
	wg.Wait()
	progress.end()
	return rows, errors.Join(errs...)
}

// try runs one trial, and one with the tool's registry if that is wanted.
func (d *doctorRun) try(ctx context.Context, p candidate, trial string) (doctor.Row, error) {
	c := p.profile.Canary
	row := doctor.Row{Tool: p.command, Runtime: c.Runtime}
	err := d.inDirectory(ctx, p, c, trial, func(planned plan.Plan, dir string) (err error) {
		seen := doctor.Seen{Outcome: doctor.Try(ctx, planned, dir)}
		if seen.Canary, err = d.tunnel.Trial(ctx, trial); err != nil {
			return err
		}
		if seen.Failures, err = d.failures(ctx, contract.CanaryHost(trial)); err != nil {
			return err
		}
		row.Version = d.version(ctx, p, planned)
		doctor.Judge(&row, seen, planned, func(class rules.Class) string {
			return classify.New(classify.Options{Library: library(d.proc), Profiles: []string{p.profile.Name}}).Advice(p.profile.Name, class)
		})
		return nil
	})
	if err != nil || !d.online || len(c.Online) == 0 {
		return row, err
	}
	// A run of its own, of which the tunnel tells what it saw.
	trial += "-online"
	_, attached, err := attach.Acquire(ctx, d.options, trial)
	if err != nil {
		return row, err
	}
	defer attached.Close()
	err = d.inDirectory(ctx, p, &profiles.Canary{Args: c.Online, Files: c.Files}, trial, func(planned plan.Plan, dir string) error {
		outcome := doctor.Try(ctx, planned, dir)
		seen, err := attached.Evidence(ctx)
		if err == nil {
			row.Online = doctor.JudgeOnline(outcome, seen)
		}
		return err
	})
	return row, err
}

// inDirectory plans a trial in a directory of its own.
func (d *doctorRun) inDirectory(ctx context.Context, p candidate, c *profiles.Canary, trial string, do func(plan.Plan, string) error) error {
	dir, err := os.MkdirTemp("", "agentproxy-doctor-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	site := doctor.Site{Host: contract.CanaryHost(trial), Dir: dir}
	if err := site.Lay(c); err != nil {
		return err
	}
	planned, err := d.plan(ctx, p, c, site, trial)
	if err != nil {
		return err
	}
	defer session.Clean(planned)
	return do(planned, dir)
}

// plan is what exec would do for the tool, with the trial's arguments.
func (d *doctorRun) plan(ctx context.Context, p candidate, c *profiles.Canary, site doctor.Site, trial string) (plan.Plan, error) {
	argv := site.Argv(p.command, c)
	o := session.Options{Argv: argv, Environ: d.proc.Environ, Tunnel: d.options, Library: library(d.proc), ID: trial}
	if c.Runtime != "" { // what is tried instead gets the tool's environment
		o.Argv = []string{p.command}
	}
	for _, t := range slices.Concat(c.Args, c.Instead) {
		o.Uses = append(o.Uses, t.Names()...)
	}
	planned, err := session.Plan(ctx, o, ports(console{proc: d.proc}), d.tunnel)
	if err != nil {
		return planned, err
	}
	if c.Runtime != "" {
		planned.Argv = argv
	}
	for i, arg := range planned.Argv {
		planned.Argv[i] = profiles.Template(arg).Expand(planned.Fact)
	}
	for _, e := range c.Env {
		planned.Environ = append(planned.Environ, e.Expand(site.Fact))
	}
	return planned, nil
}

func (d *doctorRun) version(ctx context.Context, p candidate, planned plan.Plan) string {
	machine := probe.Open(planned.Environ, filepath.Join(d.tunnel.Dir, session.VersionsFile))
	defer machine.Save()
	system := session.System(ctx, machine)
	return system.Version(system.LookPath(p.command), p.profile.Version)
}

// failures are those that the tunnel has seen about a host.
func (d *doctorRun) failures(ctx context.Context, host string) ([]*status.Failure, error) {
	doc, err := d.tunnel.Status(ctx)
	if err != nil {
		return nil, err
	}
	var list []*status.Failure
	for _, f := range doc.RecentRelayFailures {
		if f.HostName() == host {
			list = append(list, f)
		}
	}
	return list, nil
}

// printDoctor draws the table of tried tools, and below it what mends those
// that do not work.
func printDoctor(proc *process, found diagnosis) {
	p := proc.palette()
	fmt.Fprintf(proc.Out, "  %-14s %-12s %-11s %-9s %s\n", "tool", "version", "proxy", "trust", "verdict")
	for _, r := range found.Tools {
		mark := p.good("✓")
		switch {
		case !r.Tried():
			mark = "-"
		case r.Verdict != doctor.Works:
			mark = p.bad("✗")
		}
		verdict := string(r.Verdict)
		if r.Runtime != "" {
			verdict += " (tried by its runtime: " + r.Runtime + ")"
		}
		fmt.Fprintf(proc.Out, "%s %-14s %-12s %-11s %-9s %s\n", mark, r.Tool, r.Version, r.Proxy, r.Trust, verdict)
		if r.Fix != "" {
			fmt.Fprintf(proc.Out, "    fix: %s\n", r.Fix)
		}
		if r.Said != "" {
			fmt.Fprintf(proc.Out, "    it said: %s\n", r.Said)
		}
		switch {
		case r.Online == nil:
		case r.Online.Works:
			fmt.Fprintf(proc.Out, "    %s online: %s\n", p.good("✓"), strings.Join(r.Online.Hosts, ", "))
		default:
			fmt.Fprintf(proc.Out, "    %s online: %s\n", p.bad("✗"), r.Online.Why)
		}
	}
	for _, row := range []struct {
		name, use string
		ability
	}{{"capture", "a network of its own for a command: --capture always, and auto's second try", found.Capture}, {"isolate", "no way around it: --isolate", found.Isolate}} {
		if row.Works {
			fmt.Fprintf(proc.Out, "%s %-14s %s\n", p.good("✓"), row.name, row.use)
			if row.Means == capture.Supervisor {
				fmt.Fprintln(proc.Out, "    namespaces are refused here: a supervisor connects in the command's place, and sudo gains nothing")
			}
			continue
		}
		fmt.Fprintf(proc.Out, "- %-14s %s\n", row.name, row.Why)
		if row.Fix != "" {
			fmt.Fprintf(proc.Out, "    fix: %s\n", row.Fix)
		}
	}
	switch up := found.Upstream; {
	case up == nil:
	case up.Answers:
		fmt.Fprintf(proc.Out, "%s upstream %s answers\n", p.good("✓"), up.URL)
	default:
		fmt.Fprintf(proc.Out, "%s upstream: %s\n    fix: %s\n", p.bad("✗"), up.Why, up.Fix)
	}
	if found.Signing != nil {
		printPresented(proc.Out, found.Signing)
	}
	for _, f := range found.CA {
		fmt.Fprintf(proc.Out, "%s CA %s: %s (%s)\n", p.bad("✗"), f.Code, f.Detail, f.Subject)
		if len(f.Refused) > 0 {
			fmt.Fprintf(proc.Out, "    refused by: %s\n", strings.Join(f.Refused, ", "))
		}
		fmt.Fprintf(proc.Out, "    fix: %s\n", f.Fix)
	}
	fmt.Fprintln(proc.Out, summary(found.Tools))
}

// summary counts what became of the tools.
func summary(rows []doctor.Row) string {
	works, untried := 0, 0
	for _, r := range rows {
		switch {
		case r.Verdict == doctor.Works:
			works++
		case !r.Tried():
			untried++
		}
	}
	text := fmt.Sprintf("%d tools: %d work", len(rows), works)
	if len(rows) == 1 {
		text = fmt.Sprintf("1 tool: %d works", works)
	}
	if failing := len(rows) - works - untried; failing > 0 {
		text += fmt.Sprintf(", %d fail", failing)
	}
	if untried > 0 {
		text += fmt.Sprintf(", %d not tried", untried)
	}
	return text
}

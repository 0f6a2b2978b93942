package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
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
	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/canary"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/wrap"
	"github.com/agentproxy/agentproxy/wrap/classify"
	"github.com/agentproxy/agentproxy/wrap/doctor"
	"github.com/spf13/pflag"
)

func doctorCommand() *command {
	return &command{
		name:   "doctor",
		args:   "[flags] [tool...]",
		values: func([]string) []string { return library().Names() },
		short:  "Try the installed tools through the tunnel",
		examples: `
  agentproxy doctor                              # every installed tool that there is a trial for
  agentproxy doctor npm git                      # these two; --json for programs
  agentproxy doctor --online                     # and the registries that they are configured for`,
		long: `
Each tool fetches something from a canary, an origin inside the tunnel, with what
exec gives it. No network is needed. The table says whether it took the tunnel,
whether it trusted the CA, and in one line what mends it. Where a tool cannot be
run harmlessly its runtime is tried. With --online the tools that have a registry
also ask it for something small, as they are configured.

Exit status: 0 when all work, 1 when one does not.`,
		define: func(flags *pflag.FlagSet) action {
			var d doctorRun
			d.define(flags)
			flags.BoolVar(&d.asJSON, "json", false, "print JSON")
			flags.BoolVar(&d.online, "online", false, "also try each tool's own registry, over the network")
			return func(ctx context.Context, args []string) error { return d.run(ctx, args) }
		},
	}
}

// doctorRun is one examination.
type doctorRun struct {
	tunnelFlags
	asJSON bool
	online bool

	options attach.Options
	tunnel  *attach.Tunnel
	id      string
}

// patient is an installed tool with a trial.
type patient struct {
	command string
	profile *profiles.Full
}

// errUnwell makes the exit status 1: everything has been said.
var errUnwell = errors.New("not every tool works")

func (d *doctorRun) run(ctx context.Context, tools []string) error {
	patients, err := installed(tools)
	if err != nil {
		return err
	}
	if d.options, err = d.tunnelFlags.options(); err != nil {
		return err
	}
	d.id = strings.ToLower(rand.Text()[:10])
	tunnel, attached, err := attach.Enter(ctx, d.options, d.id)
	if err != nil {
		return err
	}
	defer attached.Close()
	sayNotice(tunnel)
	d.tunnel = tunnel
	found := examination{}
	if found.Tools, err = d.examine(ctx, patients); err != nil {
		return err
	}
	if found.Upstream, err = d.upstream(ctx); err != nil {
		return err
	}
	if found.CA, err = defects(tunnel); err != nil {
		return err
	}
	if d.asJSON {
		if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
			return err
		}
	} else {
		printDoctor(os.Stdout, found)
	}
	if !found.well() {
		return errUnwell
	}
	return nil
}

// examination is what doctor found.
type examination struct {
	Tools []doctor.Row `json:"tools"`
	// Upstream is nil when the egress is our own.
	Upstream *doctor.Upstream `json:"upstream,omitempty"`
	// CA are the defects of the authorities that sign in the tunnel: ours, and
	// those of an upstream.
	CA []ca.Finding `json:"ca,omitempty"`
}

func (e examination) well() bool {
	return len(e.CA) == 0 && (e.Upstream == nil || e.Upstream.Answers) && !slices.ContainsFunc(e.Tools, func(r doctor.Row) bool {
		return r.Verdict != doctor.Works || r.Online != nil && !r.Online.Works
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
	if err := d.tunnel.Knock(ctx, host+":443"); err != nil {
		return nil, err
	}
	failures, err := d.failures(ctx, host)
	if err != nil {
		return nil, err
	}
	return doctor.JudgeUpstream(d.tunnel.Record.Upstream, failures), nil
}

func defects(t *attach.Tunnel) ([]ca.Finding, error) {
	ours := filepath.Join(t.Dir, rundir.CertFile)
	var all []ca.Finding
	for _, file := range append([]string{ours}, t.Record.CAs...) {
		_, findings, err := ca.LintFile(file, time.Now())
		if err != nil {
			return nil, err
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
func installed(names []string) ([]patient, error) {
	all := library()
	var list []patient
	if len(names) == 0 {
		for _, name := range all.Names() {
			p, err := patientOf(all, name)
			if err != nil {
				return nil, err
			}
			if p.command != "" {
				list = append(list, p)
			}
		}
		if len(list) == 0 {
			return nil, hint(errors.New("none of the tools that there is a trial for is installed"), "agentproxy profile list")
		}
		return list, nil
	}
	for _, name := range names {
		p, err := called(all, name)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// called returns the tool that is called by a command, a path or a profile's
// name.
func called(all *profiles.Library, name string) (patient, error) {
	of := name
	switch covering, err := all.ForCommand(name); {
	case err != nil:
		return patient{}, err
	case covering != nil:
		of = covering.Name
	case !slices.Contains(all.Names(), name):
		return patient{}, hint(fmt.Errorf("no profile covers %q", name), "agentproxy profile list")
	}
	p, err := patientOf(all, of)
	if err != nil {
		return patient{}, err
	}
	isPath := strings.Contains(name, "/")
	switch {
	case p.profile.Canary == nil:
		return patient{}, hint(fmt.Errorf("there is no trial for %q", name), "agentproxy doctor")
	case p.canBe(name) && isPath: // a trial has a directory of its own
		p.command, err = filepath.Abs(name)
	case p.canBe(name):
		p.command = name
	case p.command == "" || isPath:
		err = hint(fmt.Errorf("%q is not installed, or is not what the trial is for", name), "agentproxy doctor")
	}
	return p, err
}

// patientOf reads a profile whole. Its patient is the first of the trial's
// commands that is installed, "" when none is.
func patientOf(all *profiles.Library, name string) (patient, error) {
	file, data, err := all.Read(name)
	if err != nil {
		return patient{}, err
	}
	full, err := profiles.Parse(file, data)
	if err != nil {
		return patient{}, err
	}
	p := patient{profile: full}
	if i := slices.IndexFunc(p.commands(), onPath); i >= 0 {
		p.command = p.commands()[i]
	}
	return p, nil
}

// commands are those that the trial is for.
func (p patient) commands() []string {
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
func (p patient) canBe(command string) bool {
	name := profiles.Unversioned(filepath.Base(command))
	return onPath(command) && slices.ContainsFunc(p.commands(), func(c string) bool { return profiles.Unversioned(c) == name })
}

func onPath(command string) bool {
	_, err := exec.LookPath(command)
	return err == nil
}

// trialsAtOnce is how many tools run at a time: most wait for their own start.
const trialsAtOnce = 4

// examine tries all of them.
func (d *doctorRun) examine(ctx context.Context, patients []patient) ([]doctor.Row, error) {
	rows := make([]doctor.Row, len(patients))
	errs := make([]error, len(patients))
	progress := newProgress(len(patients))
	var wg sync.WaitGroup
	slots := make(chan struct{}, trialsAtOnce)
	for i, p := range patients {
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
func (d *doctorRun) try(ctx context.Context, p patient, trial string) (doctor.Row, error) {
	c := p.profile.Canary
	row := doctor.Row{Tool: p.command, Runtime: c.Runtime}
	err := d.inDirectory(ctx, p, c, trial, func(plan wrap.Plan, dir string) (err error) {
		seen := doctor.Seen{Outcome: doctor.Try(ctx, plan, dir)}
		if seen.Canary, err = d.tunnel.Trial(ctx, trial); err != nil {
			return err
		}
		if seen.Failures, err = d.failures(ctx, canary.Host(trial)); err != nil {
			return err
		}
		row.Version = d.version(p, plan)
		doctor.Judge(&row, seen, plan, func(class profiles.Class) string {
			return classify.New(classify.Options{Library: library(), Profiles: []string{p.profile.Name}}).Advice(p.profile.Name, class)
		})
		return nil
	})
	if err != nil || !d.online || len(c.Online) == 0 {
		return row, err
	}
	// A run of its own, of which the tunnel tells what it saw.
	trial += "-online"
	_, attached, err := attach.Enter(ctx, d.options, trial)
	if err != nil {
		return row, err
	}
	defer attached.Close()
	err = d.inDirectory(ctx, p, &profiles.Canary{Args: c.Online, Files: c.Files}, trial, func(plan wrap.Plan, dir string) error {
		outcome := doctor.Try(ctx, plan, dir)
		seen, err := attached.Evidence(ctx)
		if err == nil {
			row.Online = doctor.JudgeOnline(outcome, seen)
		}
		return err
	})
	return row, err
}

// inDirectory plans a trial in a directory of its own.
func (d *doctorRun) inDirectory(ctx context.Context, p patient, c *profiles.Canary, trial string, do func(wrap.Plan, string) error) error {
	dir, err := os.MkdirTemp("", "agentproxy-doctor-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	site := doctor.Site{Host: canary.Host(trial), Dir: dir}
	if err := site.Lay(c); err != nil {
		return err
	}
	plan, err := d.plan(ctx, p, c, site, trial)
	if err != nil {
		return err
	}
	defer plan.Clean()
	return do(plan, dir)
}

// plan is what exec would do for the tool, with the trial's arguments.
func (d *doctorRun) plan(ctx context.Context, p patient, c *profiles.Canary, site doctor.Site, trial string) (wrap.Plan, error) {
	argv := site.Argv(p.command, c)
	r := execution{options: d.options, environ: os.Environ(), id: trial, argv: argv}
	if c.Runtime != "" { // what is tried instead gets the tool's environment
		r.argv = []string{p.command}
	}
	for _, t := range slices.Concat(c.Args, c.Instead) {
		r.uses = append(r.uses, t.Names()...)
	}
	r.survey = r.look()
	plan, err := r.plan(ctx, d.tunnel)
	if err != nil {
		return plan, err
	}
	if c.Runtime != "" {
		plan.Argv = argv
	}
	for i, arg := range plan.Argv {
		plan.Argv[i] = profiles.Template(arg).Expand(plan.Fact)
	}
	for _, e := range c.Env {
		plan.Environ = append(plan.Environ, e.Expand(site.Fact))
	}
	return plan, nil
}

func (d *doctorRun) version(p patient, plan wrap.Plan) string {
	machine := probe.Open(plan.Environ, filepath.Join(d.tunnel.Dir, versionsFile))
	defer machine.Save()
	world := worldOf(machine)
	return world.Version(world.LookPath(p.command), p.profile.Version)
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

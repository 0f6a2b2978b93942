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

	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/spf13/pflag"
)

func policyCommand() *command {
	return &command{
		name:  "policy",
		short: "Show, check, try and learn the policy",
		examples: `
  agentproxy policy show                                    # every layer that is in force here, its groups resolved
  agentproxy policy test https://api.example/repos/a PUT    # may this pass, and by which rule
  agentproxy policy learn --out .agentproxy.toml -- npm ci  # the narrowest policy that this needs`,
		long: `
An edit of a file takes effect within a second in what already runs. A file that does
not parse changes nothing. A project's file only narrows what your own configuration
allows, until you trust it.`,
		verbs: []*command{
			policyShowCommand(), policyCheckCommand(), policyTestCommand(),
			policyLearnCommand(), policyDiffCommand(),
			policyTrustCommand(), policyReloadCommand(),
		},
	}
}

func policyShowCommand() *command {
	return &command{
		name:  "policy show",
		short: "Show every layer of the policy in force here",
		examples: `
  agentproxy policy show           # with the hosts that groups such as @npm stand for
  agentproxy policy show --json    # for programs`,
		define: func(flags *pflag.FlagSet) action {
			var t tunnelFlags
			t.define(flags)
			asJSON := flags.Bool("json", false, "print JSON")
			return func(_ context.Context, proc *process, _ []string) error {
				return showPolicy(proc, t, *asJSON)
			}
		},
	}
}

func policyCheckCommand() *command {
	return &command{
		name:  "policy check",
		args:  "[FLAG...] [FILE]",
		short: "Check that a policy is right and every entry has an effect",
		examples: `
  agentproxy policy check                  # the one that exec would use here, the project's file included
  agentproxy policy check ./policy.toml    # a file's`,
		define: func(flags *pflag.FlagSet) action {
			var t tunnelFlags
			t.define(flags)
			asJSON := flags.Bool("json", false, "print JSON")
			return func(_ context.Context, proc *process, args []string) error {
				if len(args) > 1 {
					return hint(fmt.Errorf("policy check takes one file, not %d", len(args)), "agentproxy policy check --help")
				}
				return checkPolicy(proc, t, args, *asJSON)
			}
		},
	}
}

func policyTestCommand() *command {
	return &command{
		name:  "policy test",
		args:  "[FLAG...] [FILE] HOST|URL [METHOD]",
		short: "Say whether a request may pass, and by which rule",
		examples: `
  agentproxy policy test https://api.example/repos/a PUT    # exit status 1 when it may not
  agentproxy policy test ./policy.toml db.example:8443      # by the rules of a file`,
		define: func(flags *pflag.FlagSet) action {
			var t tunnelFlags
			t.define(flags)
			asJSON := flags.Bool("json", false, "print JSON")
			return func(_ context.Context, proc *process, args []string) error {
				if len(args) == 0 || len(args) > 3 {
					return hint(errors.New("policy test needs a host or a URL"), "agentproxy policy test https://api.example/repos/a PUT")
				}
				return testPolicy(proc, t, args, *asJSON)
			}
		},
	}
}

func policyTrustCommand() *command {
	return &command{
		name:  "policy trust",
		args:  "[FLAG...] FILE",
		short: "Let a project's file allow more than your configuration does",
		examples: `
  agentproxy policy trust .agentproxy.toml         # as long as the file stays as it is
  agentproxy policy trust --no .agentproxy.toml    # takes that back`,
		define: func(flags *pflag.FlagSet) action {
			no := flags.Bool("no", false, "take it back")
			return func(ctx context.Context, proc *process, args []string) error {
				if len(args) != 1 {
					return hint(errors.New("policy trust needs a file"), "agentproxy policy trust .agentproxy.toml")
				}
				return trustProject(ctx, proc, args[0], !*no)
			}
		},
	}
}

func policyReloadCommand() *command {
	return &command{
		name:  "policy reload",
		short: "Have your tunnels read the policy's files now",
		examples: `
  agentproxy policy reload                         # also the files that groups such as @npm come from
  agentproxy policy reload && agentproxy status     # and what is in force then`,
		define: func(*pflag.FlagSet) action {
			return func(ctx context.Context, proc *process, _ []string) error {
				return reloadPolicies(ctx, proc)
			}
		},
	}
}

// shownLayer is a layer of the policy in force.
type shownLayer struct {
	// Name is "user", "organisation" or "project"; Path its file or URL.
	Name string `json:"name"`
	Path string `json:"path,omitempty"`
	// Fetched is when what lies at the URL was known to be this, nil where it never was.
	Fetched *status.Time `json:"fetched,omitempty"`
	// Trusted is false for a file that only narrows.
	Trusted     bool     `json:"trusted"`
	Default     string   `json:"default"`
	Deny        []string `json:"deny"`
	Allow       []string `json:"allow"`
	Passthrough []string `json:"passthrough,omitempty"`
	Private     []string `json:"private,omitempty"`

	text func() ([]byte, error)
}

// layersOf are the layers of a configuration, the user's first.
func layersOf(c *config.Config) []shownLayer {
	or := func(s, otherwise string) string {
		if s == "" {
			return otherwise
		}
		return s
	}
	list := func(entries []string) []string { return append([]string{}, entries...) }
	layers := []shownLayer{{Name: "user", Path: c.Path, Trusted: true, Default: or(c.Policy.Default, "allow"),
		Deny: list(c.Policy.Deny), Allow: list(c.Policy.Allow), Passthrough: c.Policy.Passthrough, Private: c.Policy.Private}}
	for _, o := range c.Organisation {
		layers = append(layers, shownLayer{Name: "organisation", Path: o.Path, Default: or(o.Policy.Default, "allow"), Deny: list(o.Policy.Deny), Allow: list(o.Policy.Allow)})
	}
	if o := c.Published; o != nil {
		l := shownLayer{Name: "organisation", Path: o.URL, Default: or(o.Policy.Default, "allow"), Deny: list(o.Policy.Deny), Allow: list(o.Policy.Allow)}
		if !o.Fetched.IsZero() {
			l.Fetched = &status.Time{Time: o.Fetched}
		}
		l.text = func() ([]byte, error) { return o.Text, nil }
		layers = append(layers, l)
	}
	if p := c.Project; p != nil {
		layers = append(layers, shownLayer{Name: "project", Path: p.Path, Trusted: p.Trusted, Default: or(p.Policy.Default, "allow"),
			Deny: list(p.Policy.Deny), Allow: list(p.Policy.Allow)})
	}
	for i, l := range layers {
		if l.text == nil {
			layers[i].text = func() ([]byte, error) { return os.ReadFile(l.Path) }
		}
	}
	return layers
}

// standsAt is the file and line of a rule as a decision names it, "" where that is not
// found: the rule may be a default that nobody wrote down.
func standsAt(c *config.Config, rule string) string {
	layer := "user"
	for _, l := range layersOf(c) {
		if before, ok := strings.CutSuffix(rule, " ("+l.Name+")"); ok {
			layer, rule = l.Name, before
		}
	}
	written := rule // default = "deny"
	if _, entry, ok := strings.Cut(rule, ` "`); ok && !strings.HasPrefix(rule, "default ") {
		written = `"` + entry
		if _, group, ok := strings.Cut(entry, " (@"); ok {
			written = "@" + strings.TrimSuffix(group, `)"`)
		}
	}
	for _, l := range layersOf(c) {
		raw, err := l.text()
		if l.Name != layer || err != nil {
			continue
		}
		n := 0
		for line := range strings.Lines(string(raw)) {
			if n++; strings.Contains(line, written) && !strings.HasPrefix(strings.TrimSpace(line), "#") {
				return fmt.Sprintf("%s:%d", l.Path, n)
			}
		}
	}
	return ""
}

func (f *tunnelFlags) load(proc *process) (*config.Config, error) {
	o, err := f.options(proc)
	return o.Config, err
}

// policyDocument is what "policy show --json" prints.
type policyDocument struct {
	Layers  []shownLayer `json:"layers"`
	Remarks []string     `json:"remarks"`
}

func showPolicy(proc *process, flags tunnelFlags, asJSON bool) error {
	c, err := flags.load(proc)
	if err != nil {
		return err
	}
	layers := layersOf(c)
	if asJSON {
		return printJSON(proc.Out, policyDocument{layers, remarks(c)})
	}
	for _, l := range layers {
		printLayer(proc.Out, l)
	}
	for _, r := range remarks(c) {
		fmt.Fprintf(proc.Out, "note: %s\n", r)
	}
	return nil
}

func printLayer(w io.Writer, l shownLayer) {
	from := l.Path
	if from == "" {
		from = "no file"
	}
	if l.Fetched != nil {
		from += ", " + fetched(*l.Fetched)
	}
	fmt.Fprintf(w, "%s: %s\n  default = %q\n", l.Name, from, l.Default)
	for _, list := range []struct {
		name    string
		entries []string
	}{{"deny", l.Deny}, {"allow", l.Allow}, {"passthrough", l.Passthrough}, {"private", l.Private}} {
		for _, entry := range list.entries {
			fmt.Fprintf(w, "  %-11s %s\n", list.name, entry)
		}
	}
}

// unfetched is the error for a decision that cannot be told without the organisation's
// policy.
func unfetched(c *config.Config) error {
	if err := c.Unfetched(); err != nil {
		return hint(err, "agentproxy up")
	}
	return nil
}

// fetched says when and how long ago.
func fetched(at status.Time) string {
	return fmt.Sprintf("fetched %s, %s ago", at.Local().Format(time.DateTime), time.Since(at.Time).Round(time.Second))
}

// remarks are what is right and yet may not be what is meant.
func remarks(c *config.Config) []string {
	list := []string{}
	if c.Egress.Upstream != "" {
		list = append(list, "egress.upstream is set: that egress decides, and this policy has no say")
	}
	if err := c.Unfetched(); err != nil {
		list = append(list, err.Error()+"; a tunnel does so when it starts: agentproxy up")
	} else if o := c.Published; o != nil && o.Problem != "" {
		list = append(list, "your organisation's policy is the copy that there is: "+o.Problem)
	}
	for _, name := range c.Policy.Empty {
		list = append(list, fmt.Sprintf("@%s stands for no host here: its tool is configured for none that we can read", name))
	}
	if p := c.Project; p != nil && !p.Trusted && p.Policy.Default != "deny" && len(p.Policy.Allow) > 0 {
		list = append(list, fmt.Sprintf("what %s allows has no effect: it only narrows until you trust it (agentproxy policy trust %s)", p.Path, p.Path))
	}
	if p, err := policy.New(c.Rules()); err == nil {
		list = append(list, p.Remarks()...)
	}
	return list
}

func checkPolicy(proc *process, flags tunnelFlags, files []string, asJSON bool) error {
	c := &config.Config{}
	var err error
	switch {
	case len(files) == 1 && filepath.Base(files[0]) == config.ProjectFile:
		c.Project, err = config.ReadProject(proc.Getenv, files[0])
	case len(files) == 1:
		flags.config = files[0]
		fallthrough
	default:
		c, err = flags.load(proc)
	}
	if asJSON {
		return printCheck(proc, c, err)
	}
	if err != nil {
		return err
	}
	for _, l := range layersOf(c) {
		if l.Path != "" {
			fmt.Fprintf(proc.Out, "%s: ok, default %s, %d to allow, %d to deny\n", l.Path, l.Default, len(l.Allow), len(l.Deny))
		}
	}
	for _, r := range remarks(c) {
		fmt.Fprintf(proc.Out, "note: %s\n", r)
	}
	return nil
}

// checkDocument is what "policy check --json" prints.
type checkDocument struct {
	OK bool `json:"ok"`
	// Error is what is wrong with the file, "" when it is in order.
	Error   string   `json:"error,omitempty"`
	Remarks []string `json:"remarks"`
}

func printCheck(proc *process, c *config.Config, err error) error {
	result := checkDocument{OK: err == nil, Remarks: []string{}}
	if err != nil {
		result.Error = err.Error()
	} else {
		result.Remarks = remarks(c)
	}
	if encoding := printJSON(proc.Out, result); encoding != nil {
		return encoding
	}
	if err != nil {
		return errSilent
	}
	return nil
}

func testPolicy(proc *process, flags tunnelFlags, args []string, asJSON bool) error {
	if _, err := os.Stat(args[0]); err == nil && len(args) > 1 || strings.HasSuffix(args[0], ".toml") {
		flags.config, args = args[0], args[1:]
	}
	if len(args) == 0 {
		return hint(errors.New("policy test needs a host or a URL"), "agentproxy policy test https://api.example/repos/a GET")
	}
	c, err := flags.load(proc)
	if err != nil {
		return err
	}
	method := ""
	if len(args) == 2 {
		method = args[1]
	}
	q, err := ask(args[0], method)
	if err != nil {
		return err
	}
	r := reason{Host: q.target.String(), Failures: []*status.Failure{}}
	if err := r.decide(contract.Start{Config: c}, q); err != nil {
		return err
	}
	if asJSON {
		err = printJSON(proc.Out, r)
	} else {
		printDecision(proc.Out, r)
	}
	if err == nil && r.Decision == "denied" {
		return errNo
	}
	return err
}

// reloadPolicies has the tunnels read their policies again.
func reloadPolicies(ctx context.Context, proc *process) error {
	all, err := attach.All(ctx, proc.Getenv)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		fmt.Fprintln(proc.Out, "no tunnel is running")
	}
	said := silentErrors{proc: proc}
	for _, t := range all {
		answer, err := t.Reload(ctx)
		switch {
		case err != nil:
			said.say(err)
		case answer.Problem != "":
			said.say(fmt.Errorf("the tunnel on 127.0.0.1:%d keeps its policy: %s", t.Record.Port, answer.Problem))
		default:
			fmt.Fprintf(proc.Out, "the tunnel on 127.0.0.1:%d has read its policy again\n", t.Record.Port)
		}
	}
	return said.result()
}

func trustProject(ctx context.Context, proc *process, file string, trust bool) error {
	if proc.Getenv(contract.RunVariable) != "" {
		return hint(errors.New("a run cannot trust a project's file: that is for who started it"), "agentproxy policy trust %s", file)
	}
	if !trust {
		was, err := config.Distrust(proc.Getenv, file)
		if err == nil && !was {
			fmt.Fprintf(proc.Out, "%s was not trusted\n", file)
		} else if err == nil {
			fmt.Fprintf(proc.Out, "%s only narrows again\n", file)
			err = reloadProjects(ctx, proc)
		}
		return err
	}
	p, err := config.Trust(proc.Getenv, file)
	if err != nil {
		return err
	}
	fmt.Fprintf(proc.Out, "%s may widen the policy as it is now: %d to allow\n", p.Path, len(p.Policy.Allow))
	return reloadProjects(ctx, proc)
}

// reloadProjects lets the tunnels know that a project's file is trusted, or not any more.
func reloadProjects(ctx context.Context, proc *process) error {
	all, err := attach.All(ctx, proc.Getenv)
	if err != nil {
		return err
	}
	var errs []error
	for _, t := range all {
		_, err := t.Reload(ctx)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

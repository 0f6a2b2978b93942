package main

import (
	"context"
	"encoding/json"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/agentproxy/agentproxy/profiles/probe"
	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/wrap"
	"github.com/agentproxy/agentproxy/wrap/classify"
	"github.com/agentproxy/agentproxy/wrap/verdict"
	"github.com/mitchellh/go-homedir"
	"github.com/spf13/pflag"
)

func reportCommand() *command {
	return &command{
		name:  "report",
		args:  "[flags]",
		short: "Write down what an administrator needs to know",
		examples: `
  agentproxy report > report.md                  # what failed, why, and what is in force; nothing secret
  agentproxy report --json | jq .verdicts        # the same for a program`,
		long: `
It holds the last verdicts and failures, the tunnel's state and its CA with its
defects, the policy in force, settings of tools that are in the way, and which
variables runs get. Arguments of commands are not in it; credentials, tokens,
cookies and the names of you and your home directory are taken out.`,
		define: func(flags *pflag.FlagSet) action {
			var t tunnelFlags
			t.define(flags)
			asJSON := flags.Bool("json", false, "print JSON")
			return func(ctx context.Context, args []string) error {
				if err := noArgs("report", args); err != nil {
					return err
				}
				return runReport(ctx, t, *asJSON)
			}
		},
	}
}

// report is what an administrator gets.
type report struct {
	Time     time.Time        `json:"time"`
	Version  string           `json:"version"`
	System   string           `json:"system"`
	Verdicts []verdict.Entry  `json:"verdicts"`
	Tunnel   *status.Document `json:"tunnel,omitempty"`
	CA       []ca.Finding     `json:"caFindings"`
	Policy   config.Policy    `json:"policy"`
	Upstream string           `json:"upstream,omitempty"`
	// Environment is what a run's environment differs in.
	Environment []wrap.Change     `json:"environment"`
	Programs    map[string]string `json:"programs"`
}

func runReport(ctx context.Context, flags tunnelFlags, asJSON bool) error {
	options, tunnel, err := flags.attach(ctx)
	if err != nil {
		return err
	}
	r, err := gather(ctx, options, tunnel)
	if err != nil {
		return err
	}
	clean, err := redacted(r)
	if err != nil {
		return err
	}
	if asJSON {
		_, err = os.Stdout.Write(append(clean, '\n'))
		return err
	}
	if err := json.Unmarshal(clean, r); err != nil {
		return err
	}
	printReport(os.Stdout, r)
	return nil
}

func gather(ctx context.Context, options attach.Options, tunnel *attach.Tunnel) (*report, error) {
	r := &report{Time: time.Now().UTC(), Version: buildVersion(), System: runtime.GOOS + "/" + runtime.GOARCH,
		Verdicts: verdict.History(tunnel.Dir), Policy: options.Config.Policy, Upstream: tunnel.Record.Upstream, Programs: map[string]string{}}
	var err error
	if r.Tunnel, err = tunnel.Status(ctx); err != nil {
		return nil, err
	}
	if r.CA, err = defects(tunnel); err != nil {
		return nil, err
	}
	plan, err := planned(ctx, options, tunnel, plain)
	if err != nil {
		return nil, err
	}
	r.Environment = plan.Changes
	for program, version := range probe.Versions(filepath.Join(tunnel.Dir, versionsFile)) {
		r.Programs[filepath.Base(program)] = version
	}
	return r, nil
}

// redacted is the report in JSON without anything that is nobody's business.
func redacted(r *report) ([]byte, error) {
	raw, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	var tree any
	if err := json.Unmarshal(raw, &tree); err != nil {
		return nil, err
	}
	private := strings.NewReplacer(privateWords()...)
	tree = eachText(tree, func(s string) string { return private.Replace(classify.Redact(s)) })
	return json.Marshal(tree)
}

// privateWords are pairs of what is private and what stands for it.
func privateWords() []string {
	var pairs []string
	if home, err := homedir.Dir(); err == nil && len(home) > 1 {
		pairs = append(pairs, home, "~")
	}
	if u, err := user.Current(); err == nil && len(u.Username) > 3 {
		pairs = append(pairs, u.Username, "user")
	}
	return pairs
}

// eachText applies a function to every text of a JSON tree.
func eachText(tree any, f func(string) string) any {
	switch t := tree.(type) {
	case string:
		return f(t)
	case []any:
		for i := range t {
			t[i] = eachText(t[i], f)
		}
	case map[string]any:
		for name := range t {
			t[name] = eachText(t[name], f)
		}
	}
	return tree
}

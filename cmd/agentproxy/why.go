package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/wrap/inspect"
	"github.com/spf13/pflag"
)

func whyCommand() *command {
	return &command{
		name: "why",
		args: "[FLAG...] HOST",
		values: func(proc *process, words []string) []string {
			if len(words) > 0 {
				return nil
			}
			return seenIn(func(e status.Entry) string { return strings.TrimSuffix(e.Host, ":443") })(proc)
		},
		short: "Say what the policy decides about a host, and what happened to it",
		examples: `
  agentproxy why evil.example                    # the rule that decides, and the last failures
  agentproxy why db.example:8443 --json          # the same for a program`,
		long: `
An upstream egress decides for itself. Then why shows what it answered lately.`,
		define: func(flags *pflag.FlagSet) action {
			var t tunnelFlags
			t.define(flags)
			asJSON := flags.Bool("json", false, "print JSON")
			return func(ctx context.Context, proc *process, args []string) error {
				if len(args) != 1 {
					return hint(errors.New("why needs one host"), "agentproxy why example.com")
				}
				return runWhy(ctx, proc, t, args[0], *asJSON)
			}
		},
	}
}

// reason is what is known of a host.
type reason struct {
	Host string `json:"host"`
	// Decision is "allowed", "denied" or "upstream": then Upstream decides.
	Decision string `json:"decision"`
	Upstream string `json:"upstream,omitempty"`
	// Rule is the entry of the configuration that decided, Text says it in words.
	Rule   string `json:"rule,omitempty"`
	Text   string `json:"text,omitempty"`
	Advice string `json:"advice,omitempty"`
	// Presented is what it presents through an upstream egress, nil where there is
	// none or no tunnel.
	Presented *inspect.Report `json:"presented,omitempty"`
	// Failures are the last ones about the host, oldest first.
	Failures []*status.Failure `json:"failures"`
}

func runWhy(ctx context.Context, proc *process, flags tunnelFlags, text string, asJSON bool) error {
	target, err := parseHost(text)
	if err != nil {
		return err
	}
	options, err := flags.options(proc)
	if err != nil {
		return err
	}
	wanted, err := attach.Wanted(ctx, options)
	if err != nil {
		return err
	}
	r := reason{Host: target.String(), Failures: []*status.Failure{}}
	if err := r.decide(wanted, target); err != nil {
		return err
	}
	tunnel, err := attach.Find(ctx, options)
	if err == nil {
		doc, err := tunnel.Status(ctx)
		if err != nil {
			return err
		}
		for _, f := range doc.RecentRelayFailures {
			if f.Host == r.Host {
				r.Failures = append(r.Failures, f)
			}
		}
		if tunnel.Record.Upstream != "" {
			r.Presented, _ = presentedBy(ctx, tunnel, options.Config, r.Host) // a refusal is among the failures
		}
	} else if !errors.Is(err, attach.ErrNone) {
		return err
	}
	if asJSON {
		return json.NewEncoder(proc.Out).Encode(r)
	}
	printReason(proc.Out, r)
	return nil
}

func (r *reason) decide(o contract.Start, target policy.Target) error {
	cfg := o.Config
	if cfg.Egress.Upstream != "" && !o.Gate {
		u, err := config.ParseUpstream(cfg.Egress.Upstream)
		if err != nil {
			return err
		}
		r.Decision, r.Upstream = "upstream", config.Redact(u)
		return nil
	}
	p, err := policy.New(cfg.Rules())
	if err != nil {
		return err
	}
	d := p.Decide(target)
	r.Decision, r.Rule, r.Text, r.Advice = "denied", d.Rule, d.Reason, d.Advice
	if d.Allowed {
		r.Decision = "allowed"
	}
	if d.Allowed && o.Gate { // by us; the tunnel of the run around has a say, too
		r.Decision, r.Upstream = "upstream", cfg.Egress.Upstream
	}
	return nil
}

// parseHost takes a host, host:port or an https:// URL.
func parseHost(text string) (policy.Target, error) {
	if u, err := url.Parse(text); err == nil && u.Host != "" {
		text = u.Host
	}
	if _, _, err := net.SplitHostPort(text); err != nil {
		text = net.JoinHostPort(text, "443")
	}
	target, err := policy.ParseTarget(text)
	if err != nil {
		return target, hint(fmt.Errorf("%q is no host: %w", text, err), "agentproxy why example.com")
	}
	return target, nil
}

// printReason says who decides about a host, how, and what happened lately.
func printReason(w io.Writer, r reason) {
	switch r.Decision {
	case "upstream":
		fmt.Fprintf(w, "%s: the upstream egress %s decides\n", r.Host, r.Upstream)
	case "allowed":
		fmt.Fprintf(w, "%s: allowed", r.Host)
		if r.Rule != "" {
			fmt.Fprintf(w, " by %s", r.Rule)
		}
		fmt.Fprintln(w)
	default:
		fmt.Fprintf(w, "%s: denied: %s\n", r.Host, r.Text)
		if r.Advice != "" {
			fmt.Fprintf(w, "  %s\n", r.Advice)
		}
	}
	if r.Presented != nil {
		printPresented(w, r.Presented)
		for _, d := range r.Presented.Defects {
			fmt.Fprintf(w, "  %s: %s; refused by %s\n", d.Subject, d.Detail, strings.Join(d.Refused, ", "))
		}
	}
	if len(r.Failures) == 0 {
		fmt.Fprintln(w, "no failure lately")
	}
	for _, f := range status.Fold(r.Failures) {
		fmt.Fprintf(w, "%s  %s\n", f.TS.Local().Format(time.DateTime), f)
	}
}

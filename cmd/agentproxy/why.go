package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/egress"
	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/wrap/inspect"
	"github.com/spf13/pflag"
)

func whyCommand() *command {
	return &command{
		name: "why",
		args: "[FLAG...] HOST|URL",
		values: func(proc *process, words []string) []string {
			if len(words) > 0 {
				return nil
			}
			return seenIn(func(e status.Entry) string { return strings.TrimSuffix(e.Host, ":443") })(proc)
		},
		short: "Say what the policy decides about a host, and what happened to it",
		examples: `
  agentproxy why evil.example                    # the rule that decides, and the last failures
  agentproxy why https://api.example/repos/a --method PUT   # by the rules on requests, too
  agentproxy why db.example:8443 --json          # the same for a program`,
		long: `
The name of an allowed host is resolved as the egress does it: why shows each address and
what the policy decides about it. An upstream egress decides and resolves for itself: why
connects to the host through it, and shows who signs there and what is wrong with that.
The last failures come at the end.`,
		define: func(flags *pflag.FlagSet) action {
			var t tunnelFlags
			t.define(flags)
			asJSON := flags.Bool("json", false, "print JSON")
			method := flags.String("method", "", "ask for a request with this `METHOD` (default: GET, where a URL has a path)")
			return func(ctx context.Context, proc *process, args []string) error {
				if len(args) != 1 {
					return hint(errors.New("why needs one host"), "agentproxy why example.com")
				}
				return runWhy(ctx, proc, t, args[0], *method, *asJSON)
			}
		},
	}
}

// reason is what is known of a host.
type reason struct {
	Host string `json:"host"`
	// Method and Path are those of the request that was judged, "" where the host is all.
	Method string `json:"method,omitempty"`
	Path   string `json:"path,omitempty"`
	// Decision is "allowed", "denied" or "upstream": then Upstream decides.
	Decision string `json:"decision"`
	Upstream string `json:"upstream,omitempty"`
	// Some is true when rules on requests decide about each.
	Some bool `json:"someRequests,omitempty"`
	// Rule is the entry of the configuration that decided, Text says it in words, and At
	// where it stands, file:line.
	Rule   string `json:"rule,omitempty"`
	At     string `json:"at,omitempty"`
	Text   string `json:"text,omitempty"`
	Advice string `json:"advice,omitempty"`
	// ConnectTo is what egress.connect_to dials in the host's place, unjudged.
	ConnectTo string `json:"connectTo,omitempty"`
	// Addresses are what an allowed name resolves to; Unresolved says why there are none.
	// An upstream egress resolves for itself.
	Addresses  []judgedAddress `json:"addresses,omitempty"`
	Unresolved string          `json:"unresolved,omitempty"`
	// Presented is what it presents through an upstream egress, nil where there is
	// none or it cannot be reached.
	Presented *inspect.Report `json:"presented,omitempty"`
	// Failures are the last ones about the host, oldest first.
	Failures []*status.Failure `json:"failures"`
}

// judgedAddress is an address of a name, with what the policy decides about it.
type judgedAddress struct {
	Address string `json:"address"`
	Allowed bool   `json:"allowed"`
	Rule    string `json:"rule"`
	Text    string `json:"text,omitempty"`
}

func runWhy(ctx context.Context, proc *process, flags tunnelFlags, text, method string, asJSON bool) error {
	q, err := ask(text, method)
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
	r := reason{Host: q.target.String(), Failures: []*status.Failure{}}
	if err := r.decide(wanted, q); err != nil {
		return err
	}
	if err := r.resolve(ctx, wanted.Config, q.target); err != nil {
		return err
	}
	find := attach.Find
	if r.Decision == "upstream" {
		find = attach.Attach // what is presented there can be seen through a tunnel only
	}
	tunnel, err := find(ctx, options)
	if err == nil {
		if tunnel.Record.Upstream != "" {
			r.Presented, _ = presentedBy(ctx, tunnel, options.Config, r.Host) // a refusal is among the failures
		}
		doc, err := tunnel.Status(ctx)
		if err != nil {
			return err
		}
		for _, f := range doc.RecentRelayFailures {
			if f.Host == r.Host {
				r.Failures = append(r.Failures, f)
			}
		}
	} else if !errors.Is(err, attach.ErrNone) {
		return err
	}
	if asJSON {
		return printJSON(proc.Out, r)
	}
	printReason(proc.Out, r)
	return nil
}

func (r *reason) decide(o contract.Start, q question) error {
	cfg := o.Config
	if cfg.Egress.Upstream != "" && !o.Gate {
		u, err := config.ParseUpstream(cfg.Egress.Upstream)
		if err != nil {
			return err
		}
		r.Decision, r.Upstream = "upstream", config.Redact(u)
		return nil
	}
	if err := unfetched(cfg); err != nil {
		return err
	}
	p, err := policy.New(cfg.Rules())
	if err != nil {
		return err
	}
	d := p.Decide(q.target)
	if requests := p.Requests(q.target); d.Allowed && requests != nil {
		d = q.judge(requests, d)
		r.Method, r.Path, r.Some = q.method, q.shownPath(), q.method == ""
	}
	r.Decision, r.Rule, r.Text, r.Advice = "denied", d.Rule, d.Reason, d.Advice
	r.At = standsAt(cfg, d.Rule)
	if d.Allowed {
		r.Decision = "allowed"
	}
	if d.Allowed && o.Gate { // by us; the tunnel of the run around has a say, too
		r.Decision, r.Upstream = "upstream", cfg.Egress.Upstream
	}
	return nil
}

// resolveTime is how long name servers may take.
const resolveTime = 5 * time.Second

// resolve judges the addresses of a name that is allowed. When none may be dialled, the
// name is denied.
func (r *reason) resolve(ctx context.Context, cfg *config.Config, t policy.Target) error {
	if r.ConnectTo = cfg.Egress.ConnectTo[t.String()]; r.Decision != "allowed" || r.ConnectTo != "" || t.Host.IsIP() {
		return nil
	}
	p, err := policy.New(cfg.Rules())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	found, err := egress.Resolve(ctx, nil, p, t)
	if err != nil {
		r.Unresolved = status.Cause(err)
		if dns := new(net.DNSError); errors.As(err, &dns) {
			r.Unresolved = dns.Err
		}
		return nil
	}
	for _, a := range found {
		r.Addresses = append(r.Addresses, judgedAddress{a.Address.String(), a.Decision.Allowed, a.Decision.Rule, a.Decision.Reason})
	}
	if d := found[0].Decision; !slices.ContainsFunc(r.Addresses, func(a judgedAddress) bool { return a.Allowed }) {
		r.Decision, r.Rule, r.Text, r.Advice, r.At = "denied", d.Rule, d.Reason, d.Advice, standsAt(cfg, d.Rule)
	}
	return nil
}

// printAddresses says where the name leads.
func printAddresses(w io.Writer, r reason) {
	if r.ConnectTo != "" {
		fmt.Fprintf(w, "  egress.connect_to leads it to %s\n", r.ConnectTo)
	}
	if r.Unresolved != "" {
		fmt.Fprintf(w, "  its name does not resolve here: %s\n", r.Unresolved)
	}
	for _, a := range r.Addresses {
		decided := "allowed"
		if !a.Allowed {
			decided = "denied"
		}
		fmt.Fprintf(w, "  resolves to %s: %s by %s\n", a.Address, decided, a.Rule)
	}
}

// question is a host, or a request to one, that a decision is asked for.
type question struct {
	target       policy.Target
	method, path string // "" when the host is all
}

// ask takes a host, host:port or an https:// URL, and a method or "".
func ask(text, method string) (q question, err error) {
	u, notURL := url.Parse(text)
	isURL := notURL == nil && u.Host != ""
	host := text
	if isURL {
		host = u.Host
	}
	if q.target, err = parseHost(host); err != nil {
		return q, err
	}
	if isURL && (u.EscapedPath() != "" || u.RawQuery != "") || method != "" {
		q.method, q.path = cmp.Or(method, http.MethodGet), "/"
	}
	if isURL && q.method != "" {
		q.path = u.RequestURI()
	}
	return q, nil
}

// shownPath is the path without the query.
func (q question) shownPath() string {
	path, _, _ := strings.Cut(q.path, "?")
	return path
}

// judge is the decision on the request; on a host alone it stays what it was.
func (q question) judge(requests *policy.Requests, host policy.Decision) policy.Decision {
	if q.method == "" {
		return host
	}
	r, also, err := policy.ParseRequest(q.method, q.path, nil)
	if err != nil {
		return requests.Unreadable(err)
	}
	return requests.Decide(r, also)
}

// parseHost takes a host or host:port.
func parseHost(text string) (policy.Target, error) {
	if _, _, err := net.SplitHostPort(text); err != nil {
		text = net.JoinHostPort(text, "443")
	}
	target, err := policy.ParseTarget(text)
	if err != nil {
		return target, hint(fmt.Errorf("%q is no host: %w", status.HostOnly(text), err), "agentproxy why example.com")
	}
	return target, nil
}

// printDecision says who decides about a host or a request, and how.
func printDecision(w io.Writer, r reason) {
	if r.Method != "" {
		fmt.Fprintf(w, "%s %s on ", r.Method, r.Path)
	}
	switch r.Decision {
	case "upstream":
		fmt.Fprintf(w, "%s: the upstream egress %s decides\n", r.Host, r.Upstream)
	case "allowed":
		fmt.Fprintf(w, "%s: allowed", r.Host)
		if r.Rule != "" {
			fmt.Fprintf(w, " by %s", r.Rule)
		}
		fmt.Fprintln(w)
		printAt(w, r)
		if r.Some {
			fmt.Fprintf(w, "  rules on requests decide about each: agentproxy why https://%s/PATH --method METHOD\n", r.Host)
		}
	default:
		fmt.Fprintf(w, "%s: denied: %s\n", r.Host, r.Text)
		printAt(w, r)
		if r.Advice != "" {
			fmt.Fprintf(w, "  %s\n", r.Advice)
		}
	}
}

func printAt(w io.Writer, r reason) {
	if r.At != "" {
		fmt.Fprintf(w, "  at %s\n", r.At)
	}
}

// printReason also says what happened lately.
func printReason(w io.Writer, r reason) {
	printDecision(w, r)
	printAddresses(w, r)
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

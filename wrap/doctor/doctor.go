// Package doctor tries tools against the canary: what a tool did there says
// whether it takes the tunnel and trusts its CA.
package doctor

import (
	"bytes"
	"cmp"
	"context"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/agentproxy/agentproxy/profiles/env"
	"github.com/agentproxy/agentproxy/profiles/rules"
	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/wrap/plan"
)

// Finding is what a trial showed.
type Finding string

// The verdicts.
const (
	Works     Finding = "works"
	Untrusted Finding = "does not trust the CA"
	Ignored   Finding = "does not use the tunnel"
	Plain     Finding = "speaks plain HTTP to the tunnel"
	Slow      Finding = "did not finish in time"
	Unclear   Finding = "unclear"
)

// Row is one tool of the table.
type Row struct {
	Tool    string `json:"tool"`
	Version string `json:"version,omitempty"`
	// Runtime was tried in the tool's place, where that cannot be run
	// harmlessly; "" when the tool itself was.
	Runtime string `json:"runtime,omitempty"`
	// Proxy is "tunnel", "ignored", "plain HTTP" or "not tried"; Trust "trusted", "rejected"
	// or "" when it was not tried.
	Proxy   string  `json:"proxy"`
	Trust   string  `json:"trust,omitempty"`
	Verdict Finding `json:"verdict"`
	// Fix is the one line that mends it.
	Fix string `json:"fix,omitempty"`
	// Said is what the tool printed about it, one line, when it did not work.
	Said string `json:"said,omitempty"`
	// Online is what came of trying the tool's own registry; nil when that was
	// not asked for, or the tool has none.
	Online *Online `json:"online,omitempty"`

	kept bool // from the network, by what Fix names
}

// Tried reports whether the trial shows something: the tool got as far as the network,
// or something is known to keep it from that.
func (r Row) Tried() bool { return r.Proxy != "not tried" || r.kept }

// Online is what came of a tool's use of the registry that it is configured for.
type Online struct {
	Works bool `json:"works"`
	// Hosts were reached through the tunnel.
	Hosts []string `json:"hosts,omitempty"`
	// Why it does not work: the tunnel's reason, else what the tool said.
	Why string `json:"why,omitempty"`
}

// JudgeOnline says what came of it. Without a tunnel nothing has been shown,
// even if the tool is content.
func JudgeOnline(o Outcome, seen *status.Evidence) *Online {
	online := &Online{}
	for _, h := range seen.Hosts {
		if h.Opened > 0 {
			online.Hosts = append(online.Hosts, h.Host)
		}
	}
	switch {
	case !o.Finished:
		online.Why = "it did not finish in time"
	case !o.OK && len(seen.Failures) > 0:
		online.Why = seen.Failures[0].Error()
	case !o.OK:
		online.Why = said(o.Output)
	case len(online.Hosts) == 0 && seen.Unattributed == 0:
		online.Why = "it went past the tunnel, or asked nobody"
	default:
		online.Works = true
	}
	return online
}

// Upstream is what came of asking the upstream egress for a tunnel.
type Upstream struct {
	URL     string `json:"url"`
	Answers bool   `json:"answers"`
	Why     string `json:"why,omitempty"`
	Fix     string `json:"fix,omitempty"`
}

// JudgeUpstream says so, from what the tunnel noted about the attempt. A refusal
// is an answer.
func JudgeUpstream(url string, failures []*status.Failure) *Upstream {
	for _, f := range failures {
		if f.Kind == status.UpstreamUnreachable || f.Kind == status.ProxyAuthRequired {
			return &Upstream{URL: url, Why: f.Detail, Fix: f.Advice}
		}
	}
	return &Upstream{URL: url, Answers: true}
}

// trialTimeout is how long a tool may take.
const trialTimeout = 20 * time.Second

// outputLimit is how much of what a tool prints is kept, in bytes.
const outputLimit = 64 << 10

// Try runs the planned command in dir, away from the terminal, and returns the
// end of what it printed. How it ended says little where it met the canary: some
// tools cannot be content with what that answers.
func Try(ctx context.Context, p plan.Plan, dir string) Outcome {
	ctx, cancel := context.WithTimeout(ctx, trialTimeout)
	defer cancel()
	var out tail
	cmd := exec.CommandContext(ctx, p.Argv[0], p.Argv[1:]...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = p.Environ, dir, &out, &out
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if cmd.Process == nil { // it did not start
		out.Write([]byte(err.Error()))
	}
	return Outcome{out.kept.String(), ctx.Err() == nil, err == nil}
}

// Outcome is the end of what a tool printed, that it came to one, and that it was
// content.
type Outcome struct {
	Output   string
	Finished bool
	OK       bool
}

// tail keeps the end of what is written.
type tail struct{ kept bytes.Buffer }

func (t *tail) Write(data []byte) (int, error) {
	t.kept.Next(max(0, t.kept.Len()+len(data)-outputLimit))
	t.kept.Write(data[max(0, len(data)-outputLimit):])
	return len(data), nil
}

// complaint finds lines that say what went wrong: the last of them says more than
// the end of a stack trace, or a hint.
var complaint = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?im)^.*\b(?:\w*error|\w*exception|fail(?:ed|ure)?|cannot|could not|unable|denied|refused|not found|problem)\b.*$`)
})

// said is the line of a tool's output that tells most.
func said(output string) string {
	lines := complaint().FindAllString(output, -1)
	if len(lines) > 0 {
		return strings.TrimSpace(lines[len(lines)-1])
	}
	output = strings.TrimSpace(output)
	return strings.TrimSpace(output[strings.LastIndexByte(output, '\n')+1:])
}

// Seen is everything that a trial left behind.
type Seen struct {
	Outcome
	Canary contract.Trial
	// Failures are what the tunnel noted about the trial's host.
	Failures []*status.Failure
}

// Judge fills in what a trial shows of a tool. What stands against it in its
// settings is the fix, else the advice that there is for the class of failure.
func Judge(row *Row, seen Seen, p plan.Plan, advice func(rules.Class) string) {
	row.Said = said(seen.Output)
	plain := false
	for _, f := range seen.Failures {
		plain = plain || f.Kind == status.PlainHTTP
	}
	switch {
	case seen.Canary.Requests > 0:
		row.Proxy, row.Trust, row.Verdict, row.Said = "tunnel", "trusted", Works, ""
		return
	case seen.Canary.Connects > 0 && (len(seen.Failures) > 0 || seen.Finished):
		row.Proxy, row.Trust, row.Verdict = "tunnel", "rejected", Untrusted
		row.Fix = "point it at the bundle: " + cmp.Or(advice(rules.TLSTrust), "$AGENT_PROXY_CA_BUNDLE_PATH") + "; what it gets: agentproxy exec --dry-run -- " + row.Tool
	case plain:
		row.Proxy, row.Verdict = "plain HTTP", Plain
		row.Fix = "use https:// URLs, and unset HTTP_PROXY in its settings"
	case !seen.Finished && (seen.Canary.Connects > 0 || !strings.Contains(seen.Output, contract.CanaryDomain)):
		row.Proxy, row.Verdict = "not tried", Slow
		if seen.Canary.Connects > 0 {
			row.Proxy = "tunnel"
		}
		row.Fix = "ask again when the machine is less busy, or try it: agentproxy exec -- " + row.Tool
	case !strings.Contains(seen.Output, contract.CanaryDomain):
		row.Proxy, row.Verdict = "not tried", Unclear
		row.Fix = "it did not get as far as the network; try it: agentproxy exec -- " + row.Tool
	default:
		row.Proxy, row.Verdict = "ignored", Ignored
		row.Fix = "give it the tunnel by its own option: " + cmp.Or(advice(rules.ProxyBypassed), "$HTTPS_PROXY") + "; what it gets: agentproxy exec --dry-run -- " + row.Tool
	}
	if better := obstacle(p, row.Proxy != "tunnel"); better != "" {
		row.Fix, row.kept = better, true
	}
}

// obstacle is what the plan knows to stand in the way.
func obstacle(p plan.Plan, unseen bool) string {
	for entry := range strings.SplitSeq(env.Get(p.Environ, "NO_PROXY"), ",") {
		if unseen && entry != "" && (entry == "*" || strings.HasSuffix("."+contract.CanaryDomain, "."+strings.TrimPrefix(entry, "."))) {
			return "NO_PROXY lists " + entry + ", so this trial goes past the tunnel; unset it"
		}
	}
	for _, c := range p.Conflicts {
		if !c.Overruled && c.Is != "insecure" {
			return c.Code + " in " + c.File + ": " + c.Advice
		}
	}
	if len(p.Never) > 0 {
		return p.Never[0]
	}
	return ""
}

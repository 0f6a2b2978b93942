package doctor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/profiles/detect"
	"github.com/agentproxy/agentproxy/profiles/rules"
	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/wrap/plan"
)

func TestJudge(t *testing.T) {
	named := "first\nno such host: x." + contract.CanaryDomain + "\n"
	inTheWay := plan.Plan{Conflicts: []detect.Conflict{
		{Code: "a", Overruled: true}, {Code: "b", Is: "insecure"}, {Code: "c", File: "/rc", Is: "proxy", Advice: "remove it"}}}
	advice := map[rules.Class]string{rules.ProxyBypassed: "tool --proxy $HTTPS_PROXY"}
	for name, c := range map[string]struct {
		seen    Seen
		plan    plan.Plan
		verdict Finding
		fix     string
	}{
		"works":       {Seen{Canary: contract.Trial{Connects: 1, Requests: 1}, Outcome: Outcome{Output: "odd answer", Finished: true}}, inTheWay, Works, ""},
		"distrusts":   {Seen{Canary: contract.Trial{Connects: 1}, Outcome: Outcome{Finished: true}}, plan.Plan{}, Untrusted, "$AGENT_PROXY_CA_BUNDLE_PATH"},
		"hangs":       {Seen{Canary: contract.Trial{Connects: 1}}, plan.Plan{}, Slow, "ask again"},
		"slow start":  {Seen{}, plan.Plan{}, Slow, "ask again"},
		"tries past":  {Seen{Outcome: Outcome{Output: named}}, plan.Plan{}, Ignored, "by its own option"},
		"rejects":     {Seen{Canary: contract.Trial{Connects: 1}, Failures: []*status.Failure{{Kind: status.ClientTLSRejected}}}, plan.Plan{}, Untrusted, "BUNDLE"},
		"plain":       {Seen{Failures: []*status.Failure{{Kind: status.PlainHTTP}}, Outcome: Outcome{Finished: true}}, plan.Plan{}, Plain, "https:// URLs"},
		"past it":     {Seen{Outcome: Outcome{Output: named, Finished: true}}, plan.Plan{}, Ignored, "by its own option: tool --proxy $HTTPS_PROXY"},
		"no network":  {Seen{Outcome: Outcome{Output: "usage: tool", Finished: true}}, plan.Plan{}, Unclear, "not get as far"},
		"in the way":  {Seen{Outcome: Outcome{Output: named, Finished: true}}, inTheWay, Ignored, "c in /rc: remove it"},
		"knows never": {Seen{Outcome: Outcome{Output: named, Finished: true}}, plan.Plan{Never: []string{"tool: use another"}}, Ignored, "tool: use another"},
	} {
		row := Row{Tool: "tool"}
		Judge(&row, c.seen, c.plan, func(class rules.Class) string { return advice[class] })
		if row.Verdict != c.verdict || !strings.Contains(row.Fix, c.fix) || c.fix == "" && row.Fix != "" {
			t.Errorf("%s: %+v", name, row)
		}
		if row.Verdict != Works && row.Said != said(c.seen.Output) {
			t.Errorf("%s: said %q", name, row.Said)
		}
	}
}

func TestTry(t *testing.T) {
	dir := t.TempDir()
	p := plan.Plan{Argv: []string{"sh", "-c", "pwd; echo $A; cat; yes line | head -c 200000; echo end >&2; exit 3"}, Environ: append(os.Environ(), "A=a")}
	if o := Try(t.Context(), p, dir); !o.Finished || o.OK || len(o.Output) > outputLimit || said(o.Output) != "end" {
		t.Errorf("%d bytes, finished %v, content %v, end %q", len(o.Output), o.Finished, o.OK, said(o.Output))
	}
	if o := Try(t.Context(), plan.Plan{Argv: []string{filepath.Join(dir, "none")}}, dir); !o.Finished || o.OK {
		t.Error("a program that is not there does not hang")
	}
}

func TestJudgeUpstream(t *testing.T) {
	for kind, answers := range map[status.Kind]bool{status.UpstreamUnreachable: false, status.ProxyAuthRequired: false, status.ConnectRejected: true} {
		got := JudgeUpstream("http://corp.test:3128", []*status.Failure{{Kind: kind, Detail: "why", Advice: "fix"}})
		if got.Answers != answers || !answers && (got.Why != "why" || got.Fix != "fix") {
			t.Errorf("%s: %+v", kind, got)
		}
	}
}

func TestSaid(t *testing.T) {
	for output, want := range map[string]string{
		"usage: tool\n": "usage: tool", "": "",
		"Error: Cannot find module '/gone.js'\n    at main:1\n\nNode.js v20.20.2\n":                       "Error: Cannot find module '/gone.js'",
		"curl: (60) SSL certificate problem: unable to get it\nMore: http://x\n\nplease visit the page\n": "curl: (60) SSL certificate problem: unable to get it",
		"Caused by: a.b.CertPathBuilderException: no path\r\n\t... 30 more\n":                             "Caused by: a.b.CertPathBuilderException: no path",
	} {
		if got := said(output); got != want {
			t.Errorf("%q: %q", output, got)
		}
	}
}

func TestJudgeOnline(t *testing.T) {
	reached := []status.HostSeen{{Host: "registry.test:443", Opened: 2}, {Host: "other.test:443"}}
	for name, c := range map[string]struct {
		outcome Outcome
		seen    status.Evidence
		works   bool
		why     string
	}{
		"works":   {Outcome{Finished: true, OK: true}, status.Evidence{Hosts: reached}, true, ""},
		"past it": {Outcome{Finished: true, OK: true}, status.Evidence{}, false, "past the tunnel"},
		"refused": {Outcome{Finished: true, Output: "x\ny"}, status.Evidence{Failures: []*status.Failure{{Kind: status.PolicyDenied, Host: "registry.test:443", Detail: "no"}}}, false, "registry.test"},
		"fails":   {Outcome{Finished: true, Output: "x\nno such package\n"}, status.Evidence{Hosts: reached}, false, "no such package"},
		"hangs":   {Outcome{}, status.Evidence{Hosts: reached}, false, "in time"},
	} {
		got := JudgeOnline(c.outcome, &c.seen)
		if got.Works != c.works || !strings.Contains(got.Why, c.why) || c.why == "" && got.Why != "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

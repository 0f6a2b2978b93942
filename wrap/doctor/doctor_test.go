package doctor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/profiles"
	"github.com/agentproxy/agentproxy/proxy/canary"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/wrap"
)

func TestJudge(t *testing.T) {
	named := "first\nno such host: x." + canary.Domain + "\n"
	inTheWay := wrap.Plan{Conflicts: []profiles.Conflict{
		{Code: "a", Overruled: true}, {Code: "b", Is: "insecure"}, {Code: "c", File: "/rc", Is: "proxy", Advice: "remove it"}}}
	for name, c := range map[string]struct {
		seen    Seen
		plan    wrap.Plan
		verdict Verdict
		fix     string
	}{
		"works":       {Seen{Canary: canary.Trial{Connects: 1, Requests: 1}, Output: "odd answer", Finished: true}, inTheWay, Works, ""},
		"distrusts":   {Seen{Canary: canary.Trial{Connects: 1}, Finished: true}, wrap.Plan{}, Untrusted, "$AGENT_PROXY_CA_BUNDLE_PATH"},
		"hangs":       {Seen{Canary: canary.Trial{Connects: 1}}, wrap.Plan{}, Unclear, "did not finish"},
		"rejects":     {Seen{Canary: canary.Trial{Connects: 1}, Failures: []*status.Failure{{Kind: status.ClientTLSRejected}}}, wrap.Plan{}, Untrusted, "BUNDLE"},
		"plain":       {Seen{Failures: []*status.Failure{{Kind: status.PlainHTTP}}, Finished: true}, wrap.Plan{}, Plain, "https:// URLs"},
		"past it":     {Seen{Output: named, Finished: true}, wrap.Plan{}, Ignored, "$HTTPS_PROXY"},
		"no network":  {Seen{Output: "usage: tool", Finished: true}, wrap.Plan{}, Unclear, "not get as far"},
		"in the way":  {Seen{Output: named, Finished: true}, inTheWay, Ignored, "c in /rc: remove it"},
		"knows never": {Seen{Output: named, Finished: true}, wrap.Plan{Never: []string{"tool: use another"}}, Ignored, "tool: use another"},
	} {
		row := Row{Tool: "tool"}
		Judge(&row, c.seen, c.plan)
		if row.Verdict != c.verdict || !strings.Contains(row.Fix, c.fix) || c.fix == "" && row.Fix != "" {
			t.Errorf("%s: %+v", name, row)
		}
		if row.Verdict != Works && row.Said != lastLine(c.seen.Output) {
			t.Errorf("%s: said %q", name, row.Said)
		}
	}
}

func TestTry(t *testing.T) {
	dir := t.TempDir()
	plan := wrap.Plan{Argv: []string{"sh", "-c", "pwd; echo $A; cat; yes line | head -c 200000; echo end >&2; exit 3"}, Environ: append(os.Environ(), "A=a")}
	output, finished := Try(t.Context(), plan, dir)
	if !finished || len(output) > outputLimit || lastLine(output) != "end" {
		t.Errorf("%d bytes, finished %v, end %q", len(output), finished, lastLine(output))
	}
	if _, finished := Try(t.Context(), wrap.Plan{Argv: []string{filepath.Join(dir, "none")}}, dir); !finished {
		t.Error("a program that is not there does not hang")
	}
}

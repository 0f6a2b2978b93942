package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/profiles/detect"
	"github.com/agentproxy/agentproxy/profiles/rules"
	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/wrap/child"
	"github.com/agentproxy/agentproxy/wrap/plan"
	"github.com/agentproxy/agentproxy/wrap/verdict"
)

// console speaks to whoever has typed a command.
type console struct {
	proc    *process
	verbose bool
}

// verdictVariable, set to "json", makes the verdict one JSON object on stderr.
const verdictVariable = "AGENTPROXY_VERDICT"

func wantsJSONVerdict(proc *process) bool { return proc.Getenv(verdictVariable) == "json" }

func (c console) Say(format string, args ...any) { c.proc.say(format, args...) }
func (c console) Notices(t *attach.Tunnel)       { sayNotice(c.proc, t) }
func (c console) Plan(p plan.Plan)               { sayPlan(c.proc, p) }
func (console) Ask(r detect.Remedy) bool         { return askAgain(r) }

func (c console) Again(r detect.Remedy, v verdict.Verdict) { sayAgain(c.proc, r, v) }

func (c console) Verdict(v verdict.Verdict) {
	if wantsJSONVerdict(c.proc) {
		_ = printJSON(c.proc.Err, v) // nobody is left to tell
		return
	}
	sayVerdict(c.proc, v, c.verbose)
}

func (c console) Failures(list []*status.Failure, output *child.Output) {
	if !wantsJSONVerdict(c.proc) {
		sayFailures(c.proc, list, output)
	}
}

func (c console) Seen(id string, seen *status.Evidence) {
	if len(seen.Reported) > 0 && !wantsJSONVerdict(c.proc) {
		sayReported(c.proc, id, seen.Reported)
	}
}

// sayReported tells what a policy that only reports would have refused.
func sayReported(proc *process, id string, list []status.Entry) {
	var hosts []string
	for _, e := range list {
		if !slices.Contains(hosts, e.Host) {
			hosts = append(hosts, e.Host)
		}
	}
	more := ""
	if n := len(hosts) - maxRefused; n > 0 {
		hosts, more = hosts[:maxRefused], fmt.Sprintf(" and %d more", n)
	}
	proc.say("report only: the policy would have refused %s%s; see: agentproxy log --run %s", strings.Join(hosts, ", "), more, id)
}

// onSlowStart is told when starting the tunnel takes more than a second.
var onSlowStart = func(proc *process) { proc.say("starting the tunnel …") }

func sayNotice(proc *process, t *attach.Tunnel) {
	for _, notice := range t.Notices {
		proc.say("%s", notice)
	}
}

// maxShownFailures is how many of a run's failures are printed; a client that
// retries makes many alike.
const maxShownFailures = 8

// sayFailures prints what the tunnel saw go wrong during a run, a line each,
// equal ones once. One whose host the command never named may not be why it
// failed.
func sayFailures(proc *process, list []*status.Failure, output *child.Output) {
	type group struct {
		text   string
		advice string
		n      int
	}
	var groups []*group
	byText := map[string]*group{}
	for _, f := range list {
		text := f.Error()
		if host, _, err := net.SplitHostPort(f.Host); err == nil && output.Omits(host) {
			text += " · not named in the output"
		}
		g := byText[text]
		if g == nil {
			g = &group{text: text, advice: f.Advice}
			byText[text] = g
			groups = append(groups, g)
		}
		g.n++
	}
	said := map[string]bool{"": true} // an advice is given once
	for i, g := range groups {
		if i == maxShownFailures {
			proc.say("… and %d more; see: agentproxy status", len(groups)-i)
			return
		}
		line := g.text
		if g.n > 1 {
			line += fmt.Sprintf(" (%d times)", g.n)
		}
		if !said[g.advice] {
			line += "; " + g.advice
			said[g.advice] = true
		}
		proc.say("%s", line)
	}
}

// sayPlan warns of what switches verification off, and tells of arguments that
// change more than where a tool connects.
func sayPlan(proc *process, p plan.Plan) {
	for _, a := range p.Arguments {
		if a.Told {
			proc.say("added: %s … (%d arguments; all of them: agentproxy exec --dry-run -- %s)", a.Insert[0], len(a.Insert), filepath.Base(p.Argv[0]))
		}
	}
	for _, left := range p.Left {
		proc.say("%s", left)
	}
	for _, i := range p.Insecure {
		if i.Variable != "" {
			proc.say("%s switches verification off; dropped for this command, which works without", i.Text)
		} else {
			proc.say("%s switches verification off; leave it out, the command works without", i.Text)
		}
	}
	for _, c := range p.Conflicts {
		switch {
		case c.Is == "insecure" && c.Overruled:
			proc.say("%s switches verification off (%s:%d); overruled for this command, which works without", c.Code, c.File, c.Line)
		case c.Is == "insecure":
			proc.say("%s switches verification off (%s:%d); %s", c.Code, c.File, c.Line, c.Advice)
		}
	}
}

// sayVerdict says why a command failed, in three lines at most. Below the
// confidence that can be relied on it says nothing, unless asked.
func sayVerdict(proc *process, v verdict.Verdict, verbose bool) {
	if len(v.Also) > 0 {
		defer sayRefused(proc, v.Also)
	}
	if v.Class == rules.None {
		if v.Unclear && verbose {
			proc.say("unclear: there are words of a failure that may be ours, and none to rely on; see: agentproxy status")
		}
		return
	}
	what := []string{string(v.Class)}
	if v.Host != "" {
		what = append(what, v.Host)
	}
	if v.Line != "" {
		what = append(what, v.Line)
	} else {
		what = append(what, v.Class.Meaning())
	}
	if v.Container {
		what = append(what, "inside a container")
	}
	proc.say("%s (%s)", strings.Join(what, " · "), sources[v.Source])
	if v.Advice != "" {
		proc.say("%s", v.Advice)
	}
	if v.Class == rules.PolicyDenied && v.Advice != verdict.DeniedAdvice {
		proc.say("%s", verdict.DeniedAdvice)
	}
}

// sayRefused remarks on what was refused during a run without being why it failed.
func sayRefused(proc *process, hosts []string) {
	more := ""
	if n := len(hosts) - maxRefused; n > 0 {
		hosts, more = hosts[:maxRefused], fmt.Sprintf(" and %d more", n)
	}
	proc.say("also refused during the run: %s%s; see: agentproxy log", strings.Join(hosts, ", "), more)
}

// maxRefused is how many hosts are named.
const maxRefused = 3

// sources say where a verdict comes from.
var sources = map[verdict.Source]string{
	verdict.Proxy:       "seen by the tunnel",
	verdict.Output:      "seen in the output",
	verdict.Both:        "seen by the tunnel and in the output",
	verdict.Environment: "a setting of yours",
	verdict.Asked:       "the host was asked once more, through the upstream",
}

// sayAgain announces a second attempt.
func sayAgain(proc *process, r detect.Remedy, v verdict.Verdict) {
	proc.say("%s: %s; once more with a change: %s", strings.TrimSpace(r.Tool+" "+r.Version), v.Class.Meaning(), r.Reason)
}

// askAgain asks whether to make it; without a terminal the answer is no.
func askAgain(r detect.Remedy) bool {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer tty.Close()
	fmt.Fprintf(tty, "agentproxy: run it once more with a change (%s)? [y/N] ", r.Reason)
	answer, _ := bufio.NewReader(tty).ReadString('\n')
	return strings.EqualFold(strings.TrimSpace(answer), "y")
}

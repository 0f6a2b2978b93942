package verdict

import (
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/agentproxy/agentproxy/profiles/rules"
)

// advise says what to type or to change. In a run that is never what the run has in
// effect already.
func (in Input) advise(v *Verdict) {
	isBypassed := v.Class == rules.ProxyBypassed
	explained := v.Class == rules.UpstreamFailed && v.Source != Output // the line says it all
	if v.Advice == "" && in.Advice != nil && !explained {
		v.Advice = in.Advice(v.Tool, v.Class)
	}
	switch {
	case isBypassed && len(in.Never) > 0:
		v.Advice = in.Never[0]
	case (isBypassed || v.Class == rules.TLSTrust) && len(in.Resets) > 0:
		v.Advice = in.Resets[0]
	case v.Class == rules.GitSSH && in.OwnSSH != "":
		v.Advice = "SSH remotes were left alone because " + in.OwnSSH + ": without that they go over HTTPS (git.rewrite_hosts); or give the remote as https://"
	case isBypassed && len(in.Plain) > 0 && (v.Host == "" || slices.Contains(in.Plain, v.Host)):
		v.Advice = "http:// does not go through the tunnel: ask for https://" + in.Plain[0]
	case !v.Container && in.isInEffect(v.Advice):
		v.Advice = inside[v.Class]
	}
}

// inside is what remains to be said in a run of what has what trusts the CA and leads
// through the tunnel, and made no use of it.
var inside = map[rules.Class]string{
	rules.TLSTrust:      "the run has what trusts the CA: a program that carries its own roots needs policy.passthrough for the host; one that is started without the run's environment (env -i, a daemon, a listed environment) needs agentproxy exec -- before its own command",
	rules.ProxyBypassed: "the run has what leads through the tunnel: it was not read, or the program was started without it (env -i, a daemon, a listed environment); then put agentproxy exec -- before its own command",
}

// isInEffect reports whether an advice names what the run has set already.
func (in Input) isInEffect(advice string) bool {
	if in.Given == nil {
		return false
	}
	if strings.Contains(advice, "agentproxy exec --") && !strings.Contains(advice, "--capture") {
		return true
	}
	for _, m := range assignment().FindAllStringSubmatch(advice, -1) {
		if in.Given(m[1]) {
			return true
		}
	}
	return false
}

// InShell returns an advice on a log as it reads in a shell that the hook has set up,
// where set reports a variable: setting that once more would change nothing.
func InShell(advice string, set func(variable string) bool) string {
	for _, m := range assignment().FindAllStringSubmatch(advice, -1) {
		if set(m[1]) {
			return advice + " (this shell has it: if the command ran here, agentproxy exec -- <command> gives it what else it needs)"
		}
	}
	return advice
}

// assignment is a variable that an advice sets.
var assignment = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\b([A-Za-z][A-Za-z0-9_]{3,})=`) })

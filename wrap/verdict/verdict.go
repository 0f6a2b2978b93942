// Package verdict joins what a command printed with what the tunnel saw of its
// run, and says why it failed: the class, on what evidence, and what to do.
//
// Being wrong is worse than being silent. Where the two contradict each other
// the tunnel is believed: it has no words to be misread. Policy is claimed only
// with the tunnel's record for that host and run.
package verdict

import (
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/profiles/detect"
	"github.com/agentproxy/agentproxy/profiles/rules"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/wrap/classify"
)

// Source is where a verdict comes from.
type Source string

// The sources.
const (
	Proxy       Source = "proxy"       // the tunnel saw it
	Output      Source = "output"      // the command said it
	Both        Source = "both"        // one bears the other out
	Environment Source = "environment" // a setting of the user's explains it
	Asked       Source = "asked"       // the host was asked once more, through the upstream
)

// DeniedAdvice stands behind every denial.
const DeniedAdvice = "do not retry or route around it; hand your administrator: agentproxy report"

// Verdict is why a command failed. Its names are a contract with programs.
type Verdict struct {
	Class rules.Class `json:"class"`
	// Confidence is from 0 to 1; below Relied there is no verdict.
	Confidence float64 `json:"confidence"`
	Tool       string  `json:"tool,omitempty"`
	Host       string  `json:"host,omitempty"`
	// Final means: never retry, report.
	Final bool `json:"final"`
	// Container means that it happened inside a container or its build.
	Container bool   `json:"container"`
	Source    Source `json:"source"`
	// Line is what was seen: the output's, or the tunnel's reason.
	Line string `json:"line,omitempty"`
	// Advice is what to type or to change.
	Advice string `json:"advice,omitempty"`
	// Process is the one that the tunnel saw fail.
	Process string `json:"process,omitempty"`
	// Rule is the policy's entry, By who decided: "policy", or the upstream.
	Rule string `json:"rule,omitempty"`
	By   string `json:"by,omitempty"`
	// Also are hosts that were refused meanwhile, and are not why the command failed as
	// far as is known.
	Also []string `json:"also,omitempty"`
	// Unclear is true when there are signs of a failure that is ours, and none
	// to rely on.
	Unclear bool `json:"unclear,omitempty"`
}

// Relied is the least confidence of a verdict.
const Relied = 0.5

// Input is what a verdict is made of.
type Input struct {
	// Failed is false for exit status 0.
	Failed bool
	// Output is what the classifier found.
	Output classify.Result
	// Seen is what the tunnel saw, nil when that is not known.
	Seen *status.Evidence
	// Names reports whether the output names a host; true when it was not all seen.
	Names func(host string) bool
	// Direct reports whether clients go to a host past any proxy: it is on loopback, or
	// in NO_PROXY; nil is never.
	Direct func(host string) bool
	// CommandLine is the command's; its ProxyPorts are all at which the command was told
	// of a proxy, the tunnel's as well. With none, any may be meant.
	CommandLine
	// Opaque is true when the tunnel cannot look inside what it carries: an upstream
	// egress re-terminates TLS.
	Opaque bool
	// Given reports whether the run has set a variable; nil is none.
	Given func(variable string) bool
	// Mute is true when the command is known to have printed nothing.
	Mute bool
	// TellsOther reports whether the output is about something else: it is a run of tests
	// or a compiler's up to its end, or goes on for long; nil is never.
	TellsOther func() bool
	// Tool is the profile of the command.
	Tool string
	// Conflicts are settings of the user's, Never what the profiles say of tools
	// that cannot work.
	Conflicts []detect.Conflict
	Never     []string
	// OwnSSH says why SSH remotes of git were left alone, "" when they were not.
	OwnSSH string
	// Resets says of tools in the command that they take the run's environment away.
	Resets []string
	// Advice is what to do about a class, for the tool.
	Advice func(tool string, class rules.Class) string
}

// Of returns the verdict, of the class None when there is nothing to say.
func Of(in Input) Verdict {
	none := Verdict{Class: rules.None}
	if !in.Failed {
		return none
	}
	said := finding(in.Output)
	v := in.evident(said)
	if v.Class == rules.None {
		v = in.spoken(said)
	}
	switch {
	case v.Class == rules.None:
		v.Unclear = in.Output.Unclear
	case v.Confidence < Relied:
		v = none
		v.Unclear = true
	default:
		in.complete(&v)
	}
	v.Also = in.refused(v.Host)
	return v
}

// refused are the hosts, but for one, that a policy refused.
func (in Input) refused(but string) (hosts []string) {
	if in.Seen == nil {
		return nil
	}
	for _, f := range in.Seen.Failures {
		if ClassOf(f) == rules.PolicyDenied && f.Host != but && !slices.Contains(hosts, f.Host) {
			hosts = append(hosts, f.Host)
		}
	}
	return hosts
}

// finding is the decisive one, the zero one when there is none.
func finding(o classify.Result) classify.Finding {
	if o.Class == rules.None || len(o.Findings) == 0 {
		return classify.Finding{Class: rules.None}
	}
	return o.Findings[0]
}

// saysBrokenOff reports whether the output speaks of a transfer that broke off.
// Alone that says nothing of ours: only a record of the tunnel does.
func saysBrokenOff(o classify.Result) bool {
	return o.Unclear && len(o.Findings) > 0 && o.Findings[0].Class == rules.UpstreamFailed
}

// evident is the verdict of what the tunnel noted as a failure. One that the
// output speaks of counts most, then a final one; of others it is not known
// whether the command minded them.
func (in Input) evident(said classify.Finding) Verdict {
	best := Verdict{Class: rules.None}
	if in.Seen == nil {
		return best
	}
	for _, f := range in.Seen.Failures {
		class := ClassOf(f)
		if class == rules.None {
			continue
		}
		if v := in.weigh(f, class, said); v.Confidence >= best.Confidence { // of equals the last one made it give up
			best = v
		}
	}
	if best.Confidence < Relied {
		return Verdict{Class: rules.None}
	}
	return best
}

// weigh is the verdict of one failure that the tunnel noted.
func (in Input) weigh(f *status.Failure, class rules.Class, said classify.Finding) Verdict {
	v := Verdict{Class: class, Host: f.Host, Source: Proxy, Line: f.Detail, Advice: f.Advice, Process: f.Process, Rule: f.Rule, By: f.By,
		Container: in.Output.Container}
	host := f.HostName()
	named := in.Names == nil || in.Names(host)
	agrees := said.Class == class || said.Class != rules.None && explains(class, said.Class) ||
		f.Kind == status.OriginFailed && saysBrokenOff(in.Output)
	about := said.Host == host || said.Host == "" && (named || len(in.Remote) == 0 || slices.Contains(in.Remote, host))
	switch {
	case agrees && about:
		v.Source, v.Confidence = Both, 0.98
		if said.Class == rules.TLSOther && class == rules.TLSTrust {
			v.Class, v.Line = rules.TLSOther, said.Line
		}
	case agrees && said.Closing, named && class.Final():
		v.Source, v.Confidence = Both, 0.95
	case named:
		v.Confidence = 0.85
	case in.nothingElse(): // nothing that it tried worked, and it speaks of nothing else
		v.Confidence = 0.6
	default: // a background matter: telemetry, a check for updates
		v.Confidence = 0.4
	}
	return v
}

// explains reports whether what the tunnel saw reads, in the words of many tools,
// like what was said: a refused CONNECT like a broken connection, a rejected
// certificate like any failure of TLS.
func explains(seen, said rules.Class) bool {
	switch seen {
	case rules.PolicyDenied, rules.ProxyAuth407, rules.UnsupportedProtocol:
		return said == rules.ProxyUnreachable || said == rules.UpstreamFailed || said == rules.PolicyDenied || said == rules.ProxyAuth407
	case rules.TLSTrust:
		return said == rules.TLSOther || said == rules.Pinned
	case rules.UpstreamFailed:
		return said == rules.ProxyBypassed || said == rules.ProxyUnreachable || said == rules.TLSOther || said == rules.PolicyDenied
	}
	return false
}

// spoken is the verdict of the output alone, as far as the tunnel does not
// contradict it.
func (in Input) spoken(said classify.Finding) Verdict {
	v := Verdict{Class: said.Class, Confidence: said.Confidence, Tool: said.Tool, Host: said.Host, Source: Output, Line: said.Line,
		Advice: said.Advice, Container: in.Output.Container}
	switch said.Class {
	case rules.None:
		return v
	case rules.PolicyDenied, rules.ProxyAuth407, rules.PlainHTTP405:
		v.Confidence = min(v.Confidence, 0.6) // another proxy, or an origin, may have answered
	}
	stands := true
	switch {
	case in.Output.Container: // what it meets is not seen from here
		stands = !(said.Class == rules.ProxyUnreachable && in.Loopback) &&
			!((said.Class == rules.UpstreamFailed || said.Class == rules.ProxyBypassed) && in.reached(said.Host))
	case said.Host != "" && said.Class != rules.ProxyUnreachable && in.Direct != nil && in.Direct(said.Host):
		stands = false // the user's own ground; a proxy may be there
	case in.Seen == nil: // there is nobody to ask
		stands = !in.Loopback || !(isTLS(said.Class) || said.Class == rules.ProxyUnreachable)
	default:
		stands = in.borneOut(&v, said)
	}
	if !stands {
		return Verdict{Class: rules.None}
	}
	return v
}

func isTLS(class rules.Class) bool {
	return class == rules.TLSTrust || class == rules.TLSOther || class == rules.Pinned
}

// borneOut reports whether what the output says can be, after what the tunnel saw, and
// makes the verdict what it comes to.
func (in Input) borneOut(v *Verdict, said classify.Finding) bool {
	silent := in.Seen.Silent()
	switch said.Class {
	case rules.TLSTrust, rules.TLSOther, rules.Pinned:
		return !in.Loopback && in.asked(said.Host) && !in.allTook() // what opened no tunnel has not met our certificate
	case rules.PolicyDenied, rules.ProxyAuth407, rules.PlainHTTP405:
		// The tunnel would know, unless somebody behind it has said so inside of TLS.
		return in.Opaque && !silent && said.Class == rules.PolicyDenied
	case rules.UpstreamFailed, rules.ProxyBypassed:
		if in.reached(said.Host) {
			return false // it was there: the origin's own affair
		}
		if !in.namesRemote(said) {
			return false
		}
		if silent {
			v.Class, v.Confidence = rules.ProxyBypassed, max(v.Confidence, 0.9)
		}
	case rules.ProxyUnreachable:
		if len(in.Seen.Hosts) > 0 {
			v.Confidence = min(v.Confidence, 0.55) // the tunnel was there
		}
		return in.namesProxy()
	}
	return true
}

// namesRemote reports whether a host is known that the command was after and never
// asked the tunnel for: the output or the command line names it. Words that name
// nobody count when they are the command's last.
func (in Input) namesRemote(said classify.Finding) bool {
	if said.Host != "" || slices.ContainsFunc(in.Conflicts, leadsElsewhere) {
		return true
	}
	if in.Loopback {
		return false
	}
	return said.Closing || slices.ContainsFunc(in.Remote, func(host string) bool { return !in.reached(host) })
}

// namesProxy reports whether the output names a proxy that the command was told of, or
// a setting leads to one.
func (in Input) namesProxy() bool {
	if len(in.ProxyPorts) == 0 || slices.ContainsFunc(in.Conflicts, leadsElsewhere) {
		return !in.Loopback
	}
	return slices.ContainsFunc(in.ProxyPorts, func(port string) bool { return in.Names == nil || in.Names(port) })
}

// leadsElsewhere reports whether a setting of the user's leads past the tunnel.
func leadsElsewhere(c detect.Conflict) bool {
	return !c.Overruled && (c.Is == "proxy" || c.Is == "other")
}

// reached reports whether a tunnel to the host was opened, and did not fail.
func (in Input) reached(host string) bool {
	if in.Seen == nil || host == "" {
		return false
	}
	return slices.ContainsFunc(in.Seen.Hosts, func(h status.HostSeen) bool { return isAt(h.Host, host) })
}

// isAt reports whether a CONNECT target is at a host.
func isAt(target, host string) bool {
	name, _, err := net.SplitHostPort(target)
	return err == nil && strings.EqualFold(name, host)
}

// allTook reports whether the clients of all tunnels of the run are known to have taken
// the certificate that they were shown.
func (in Input) allTook() bool {
	return in.Seen.Unattributed == 0 && !slices.ContainsFunc(in.Seen.Hosts, func(h status.HostSeen) bool { return h.Taken < h.Opened }) &&
		!slices.ContainsFunc(in.Seen.Failures, func(f *status.Failure) bool { return f.Kind == status.ClientTLSRejected })
}

// asked reports whether the run may have asked the tunnel for a host, any where none is
// named.
func (in Input) asked(host string) bool {
	if host == "" || in.Seen.Unattributed > 0 {
		return true
	}
	is := func(target string) bool {
		_, _, err := net.SplitHostPort(target)
		return isAt(target, host) || err == nil && strings.EqualFold(target, host)
	}
	return slices.ContainsFunc(in.Seen.Hosts, func(h status.HostSeen) bool { return is(h.Host) }) ||
		slices.ContainsFunc(in.Seen.Failures, func(f *status.Failure) bool { return is(f.Host) })
}

// nothingElse reports whether the output gives no other reason than what the tunnel saw.
func (in Input) nothingElse() bool {
	return in.Mute || in.reachedNobody() && (in.TellsOther == nil || !in.TellsOther())
}

// reachedNobody reports whether every tunnel that the run has opened came to nothing.
func (in Input) reachedNobody() bool {
	failed := map[string]int{}
	for _, f := range in.Seen.Failures {
		failed[f.Host]++
	}
	return !slices.ContainsFunc(in.Seen.Hosts, func(h status.HostSeen) bool { return h.Opened > failed[h.Host] })
}

// complete adds what the settings and the profile know.
func (in Input) complete(v *Verdict) {
	v.Final = v.Class.Final()
	if v.Tool == "" {
		v.Tool = in.Tool
	}
	for _, c := range in.Conflicts {
		fits := c.Is == "proxy" && v.Class == rules.ProxyBypassed || c.Is == "ca" && v.Class == rules.TLSTrust || c.Is == "other" && v.Class == rules.ProxyBypassed
		if fits && !c.Overruled {
			v.Source, v.Line, v.Advice = Environment, c.Code+" in "+c.File, c.Advice
			return
		}
	}
	in.advise(v)
}

// ClassOf is the class of a failure that the tunnel noted.
func ClassOf(f *status.Failure) rules.Class {
	switch f.Kind {
	case status.PolicyDenied:
		return rules.PolicyDenied
	case status.ProxyAuthRequired:
		return rules.ProxyAuth407
	case status.ConnectRejected:
		switch f.Code {
		case http.StatusForbidden:
			return rules.PolicyDenied
		case http.StatusProxyAuthRequired:
			return rules.ProxyAuth407
		}
		return rules.UpstreamFailed
	case status.NameNotFound, status.OriginRefused, status.OriginTimeout, status.OriginTLS, status.OriginFailed, status.UpstreamUnreachable:
		return rules.UpstreamFailed
	case status.PortNotAllowed, status.ClientCertRequested, status.NotTLS:
		if strings.HasSuffix(f.Host, ":22") {
			return rules.GitSSH
		}
		return rules.UnsupportedProtocol
	case status.ClientTLSRejected:
		return rules.TLSTrust
	case status.PlainHTTP:
		return rules.PlainHTTP405
	}
	return rules.None
}

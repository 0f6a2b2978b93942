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
	"strings"

	"github.com/agentproxy/agentproxy/profiles"
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
)

// Verdict is why a command failed. Its names are a contract with programs.
type Verdict struct {
	Class profiles.Class `json:"class"`
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
	Output classify.Verdict
	// Seen is what the tunnel saw, nil when that is not known.
	Seen *status.Evidence
	// Names tells whether the output names a host; true when it was not all seen.
	Names func(host string) bool
	// Loopback is true when the command line names a server on loopback, which is
	// the user's own and not the tunnel.
	Loopback bool
	// Mute is true when the command is known to have printed nothing.
	Mute bool
	// Tool is the profile of the command.
	Tool string
	// Conflicts are settings of the user's, Never what the profiles say of tools
	// that cannot work.
	Conflicts []profiles.Conflict
	Never     []string
	// Advice is what to do about a class, for the tool.
	Advice func(tool string, class profiles.Class) string
}

// Of returns the verdict, of the class None when there is nothing to say.
func Of(in Input) Verdict {
	none := Verdict{Class: profiles.None}
	if !in.Failed {
		return none
	}
	said := finding(in.Output)
	v := in.evident(said)
	if v.Class == profiles.None {
		v = in.spoken(said)
	}
	if v.Class == profiles.None {
		v.Unclear = in.Output.Unclear
		return v
	}
	if v.Confidence < Relied {
		none.Unclear = true
		return none
	}
	in.complete(&v)
	return v
}

// finding is the decisive one, the zero one when there is none.
func finding(o classify.Verdict) classify.Finding {
	if o.Class == profiles.None || len(o.Findings) == 0 {
		return classify.Finding{Class: profiles.None}
	}
	return o.Findings[0]
}

// evident is the verdict of what the tunnel noted as a failure. One that the
// output speaks of counts most, then a final one; of others it is not known
// whether the command minded them.
func (in Input) evident(said classify.Finding) Verdict {
	best := Verdict{Class: profiles.None}
	if in.Seen == nil {
		return best
	}
	for _, f := range in.Seen.Failures {
		class := ClassOf(f)
		if class == profiles.None {
			continue
		}
		v := Verdict{Class: class, Host: f.Host, Source: Proxy, Line: f.Detail, Advice: f.Advice, Process: f.Process, Rule: f.Rule, By: f.By}
		host := f.HostName()
		named := in.Names == nil || in.Names(host)
		agrees := said.Class == class || said.Class != profiles.None && explains(class, said.Class)
		switch {
		case agrees && (said.Host == "" || said.Host == host):
			v.Source, v.Confidence = Both, 0.98
			if said.Class == profiles.TLSOther && class == profiles.TLSTrust {
				v.Class, v.Line = profiles.TLSOther, said.Line
			}
		case agrees, named && class.Final():
			v.Source, v.Confidence = Both, 0.95
		case named:
			v.Confidence = 0.85
		case class.Final():
			v.Confidence = 0.7
		case in.Mute, len(in.Seen.Hosts) == 0: // what else would it be: nothing that it tried worked
			v.Confidence = 0.6
		default: // a background matter: telemetry, a check for updates
			v.Confidence = 0.4
		}
		if v.Confidence >= best.Confidence { // of equals the last one made it give up
			best = v
		}
	}
	if best.Confidence < Relied {
		return Verdict{Class: profiles.None}
	}
	return best
}

// explains tells that what the tunnel saw reads, in the words of many tools,
// like what was said: a refused CONNECT like a broken connection, a rejected
// certificate like any failure of TLS.
func explains(seen, said profiles.Class) bool {
	switch seen {
	case profiles.PolicyDenied, profiles.ProxyAuth407, profiles.UnsupportedProtocol:
		return said == profiles.ProxyUnreachable || said == profiles.UpstreamFailed || said == profiles.PolicyDenied || said == profiles.ProxyAuth407
	case profiles.TLSTrust:
		return said == profiles.TLSOther || said == profiles.Pinned
	case profiles.UpstreamFailed:
		return said == profiles.ProxyBypassed || said == profiles.ProxyUnreachable || said == profiles.TLSOther || said == profiles.PolicyDenied
	}
	return false
}

// spoken is the verdict of the output alone, as far as the tunnel does not
// contradict it.
func (in Input) spoken(said classify.Finding) Verdict {
	v := Verdict{Class: said.Class, Confidence: said.Confidence, Tool: said.Tool, Host: said.Host, Source: Output, Line: said.Line,
		Advice: said.Advice, Container: in.Output.Container}
	silent := in.Seen != nil && in.Seen.Silent()
	switch said.Class {
	case profiles.None:
		return v
	case profiles.PolicyDenied, profiles.ProxyAuth407, profiles.PlainHTTP405:
		// The tunnel would know. Inside a container another proxy may have
		// answered, and without evidence there is nobody to ask.
		if in.Seen != nil && !in.Output.Container {
			return Verdict{Class: profiles.None}
		}
		v.Confidence = min(v.Confidence, 0.6)
	case profiles.UpstreamFailed, profiles.ProxyBypassed:
		if silent && !in.Output.Container {
			v.Class, v.Source, v.Confidence = profiles.ProxyBypassed, Both, max(v.Confidence, 0.9)
		} else if in.reached(said.Host) {
			return Verdict{Class: profiles.None} // it was there: the origin's own affair
		}
	case profiles.ProxyUnreachable:
		if in.Loopback {
			return Verdict{Class: profiles.None}
		}
		if in.Seen != nil && len(in.Seen.Hosts) > 0 {
			v.Confidence = min(v.Confidence, 0.55) // the tunnel was there
		}
	}
	return v
}

// reached tells that a tunnel to the host was opened, and did not fail.
func (in Input) reached(host string) bool {
	if in.Seen == nil || host == "" {
		return false
	}
	for _, h := range in.Seen.Hosts {
		if name, _, err := net.SplitHostPort(h.Host); err == nil && strings.EqualFold(name, host) {
			return true
		}
	}
	return false
}

// complete adds what the settings and the profile know.
func (in Input) complete(v *Verdict) {
	v.Final = v.Class.Final()
	if v.Tool == "" {
		v.Tool = in.Tool
	}
	for _, c := range in.Conflicts {
		fits := c.Is == "proxy" && v.Class == profiles.ProxyBypassed || c.Is == "ca" && v.Class == profiles.TLSTrust || c.Is == "other" && v.Class == profiles.ProxyBypassed
		if fits && !c.Overruled {
			v.Source, v.Line, v.Advice = Environment, c.Code+" in "+c.File, c.Advice
			return
		}
	}
	if v.Class == profiles.ProxyBypassed && len(in.Never) > 0 {
		v.Advice = in.Never[0]
	}
	explained := v.Class == profiles.UpstreamFailed && v.Source != Output // the line says it all
	if v.Advice == "" && in.Advice != nil && !explained {
		v.Advice = in.Advice(v.Tool, v.Class)
	}
}

// ClassOf is the class of a failure that the tunnel noted.
func ClassOf(f *status.Failure) profiles.Class {
	switch f.Kind {
	case status.PolicyDenied:
		return profiles.PolicyDenied
	case status.ProxyAuthRequired:
		return profiles.ProxyAuth407
	case status.ConnectRejected:
		switch f.Code {
		case http.StatusForbidden:
			return profiles.PolicyDenied
		case http.StatusProxyAuthRequired:
			return profiles.ProxyAuth407
		}
		return profiles.UpstreamFailed
	case status.NameNotFound, status.OriginRefused, status.OriginTimeout, status.OriginTLS, status.OriginFailed, status.UpstreamUnreachable:
		return profiles.UpstreamFailed
	case status.PortNotAllowed, status.ClientCertRequested, status.NotTLS:
		return profiles.UnsupportedProtocol
	case status.ClientTLSRejected:
		return profiles.TLSTrust
	case status.PlainHTTP:
		return profiles.PlainHTTP405
	}
	return profiles.None
}

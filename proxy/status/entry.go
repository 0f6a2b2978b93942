package status

import (
	"strings"
	"unicode"
)

// Outcome is what a decision came to; the set is closed.
type Outcome string

// The outcomes.
const (
	Opened  Outcome = "opened"  // a tunnel was opened
	Refused Outcome = "refused" // the policy, the front or the upstream egress said no
	Failed  Outcome = "failed"  // nobody said no, and it did not work
	// Reported is what the policy would refuse, and let pass to be recorded only.
	Reported Outcome = "reported"
)

// Entry is one decision of the tunnel's: a line of the audit log. Of what a client
// sent it has the host, and of a refused request the method and the path: no query,
// no header, no body.
type Entry struct {
	TS      Time    `json:"ts"`
	Outcome Outcome `json:"outcome"`
	// Host is the CONNECT target, host:port.
	Host string `json:"host"`
	// Method and Path are those of a request that a rule on requests refused.
	Method string `json:"method,omitempty"`
	Path   string `json:"path,omitempty"`
	// Kind says why it was refused or failed.
	Kind Kind `json:"kind,omitempty"`
	// Code is the HTTP status given to the client, 0 when none could be.
	Code int `json:"code,omitempty"`
	// By is who decided, Rule the configuration entry behind it.
	By   string `json:"by,omitempty"`
	Rule string `json:"rule,omitempty"`
	// Run, PID and Process tell whose it was; empty when unknown.
	Run     string `json:"run,omitempty"`
	PID     int    `json:"pid,omitempty"`
	Process string `json:"process,omitempty"`
}

// Kinds is every kind, in the order of the constants, with the outcome that it
// stands for.
var Kinds = []struct {
	Kind    Kind
	Outcome Outcome
}{
	{ConnectRejected, Refused},
	{PolicyDenied, Refused},
	{PortNotAllowed, Refused},
	{ProxyAuthRequired, Refused},
	{NameNotFound, Failed},
	{OriginRefused, Failed},
	{OriginTimeout, Failed},
	{OriginTLS, Failed},
	{OriginFailed, Failed},
	{UpstreamUnreachable, Failed},
	{ClientTLSRejected, Failed},
	{ClientCertRequested, Failed},
	{PlainHTTP, Refused},
	{NotTLS, Failed},
	{BadRequest, Refused},
	{Misdirected, Refused},
}

// Outcome is what the kind stands for.
func (k Kind) Outcome() Outcome {
	for _, row := range Kinds {
		if row.Kind == k {
			return row.Outcome
		}
	}
	return Failed
}

// Entry is the failure as a decision.
func (f *Failure) Entry() Entry {
	outcome := f.Kind.Outcome()
	if f.Reported {
		outcome = Reported
	}
	return Entry{TS: f.TS, Outcome: outcome, Host: f.Host, Method: f.Method, Path: f.Path, Kind: f.Kind, Code: f.Code, By: f.By, Rule: f.Rule,
		Run: f.Run, PID: f.PID, Process: f.Process}.Clean()
}

// Longest values of an entry: a host name of 253 bytes (RFC 1035 §2.3.4) and a
// port; a configuration entry about such a host.
const (
	maxHost = 260
	maxText = 300
)

// HostOnly is what clients send in place of a host, cut to host and port, and fit
// for a terminal: it may be a whole URL, with a password in it.
func HostOnly(host string) string {
	if _, rest, ok := strings.Cut(host, "://"); ok {
		host = rest
	}
	// A password may hold any of "/?#@": all before the last "@" goes first.
	host = host[strings.LastIndexByte(host, '@')+1:]
	if i := strings.IndexAny(host, "/?#"); i >= 0 {
		host = host[:i]
	}
	// The same again when it is cut again.
	return strings.ReplaceAll(ASCII(host, maxHost), "?", "_")
}

// WasCut reports whether the end of the path was left out.
func (e Entry) WasCut() bool { return len(e.Path) >= maxText }

// Clean makes a failure fit to be kept and shown: its host is one, and no value
// has what a terminal or a page could take for more than text (control and format
// characters, among them those that turn the direction of writing).
func (f *Failure) Clean() {
	f.Host = HostOnly(f.Host)
	f.Method, f.Path = ASCII(f.Method, maxText), ASCII(f.Path, maxText)
	for _, text := range []*string{&f.Detail, &f.By, &f.Rule, &f.Reason, &f.Advice, &f.Run, &f.Process, &f.Shell} {
		*text = Printable(*text)
	}
}

// Printable is a text with "?" for everything that is no letter, mark, number,
// punctuation, symbol or space (Unicode's graphic characters).
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
}

// Clean returns the entry with every value fit for a terminal, and its host cut
// to host and port: what clients send in place of one may be a whole URL.
func (e Entry) Clean() Entry {
	e.Host = HostOnly(e.Host)
	e.Method, e.Path = ASCII(e.Method, maxText), ASCII(e.Path, maxText)
	e.By, e.Rule = ASCII(e.By, maxText), ASCII(e.Rule, maxText)
	e.Run, e.Process = ASCII(e.Run, maxText), ASCII(e.Process, maxText)
	return e
}

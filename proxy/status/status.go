// Package status is the wire contract of the tunnel: the document served at
// /__agentproxy/status, and the one failure value that travels from the place
// where something was refused to the screen. It imports nothing of ours, so
// that the server that writes it and the commands that read it agree.
package status

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Paths of the routes that the front answers itself; the page for people is
// Prefix alone.
const (
	Prefix      = "/__agentproxy/"
	Path        = Prefix + "status"
	ScriptPath  = Prefix + "page.js"
	StylePath   = Prefix + "page.css"
	EventsPath  = Prefix + "events"
	MetricsPath = Prefix + "metrics"
	CAPath      = Prefix + "ca.crt"
	HealthzPath = Prefix + "healthz"
	// PairPath and AnswerPath take what the page sends to answer questions.
	PairPath   = Prefix + "pair"
	AnswerPath = Prefix + "answer"
)

// Document is what /__agentproxy/status serves and `agentproxy status --json`
// prints. The first group of names is read by users of other agent proxies and
// means the same here; the second group is ours.
type Document struct {
	// Enabled is true while the front accepts CONNECT.
	Enabled bool `json:"enabled"`
	// Port is the TCP port of the front on loopback.
	Port int `json:"port"`
	// CABundlePath is the PEM bundle (system, user's and our roots) that
	// replacing variables such as SSL_CERT_FILE are pointed at.
	CABundlePath string `json:"caBundlePath"`
	// HasSystemCA is true when the system's roots are in the bundle.
	HasSystemCA bool `json:"hasSystemCa"`
	// BundleCoversEveryHost is true when the bundle verifies re-terminated and
	// passed-through hosts alike, so that no host needs another one.
	BundleCoversEveryHost bool `json:"bundleCoversEveryHost,omitempty"`
	// NoProxy is the NO_PROXY value that runs get when they bring none.
	NoProxy string `json:"noProxy"`
	// Selective is true when only listed hosts go through the proxy; here
	// everything but NoProxy does, so it is false.
	Selective bool `json:"selective"`
	// Standalone is true when the tunnel was started outside a managed
	// session: no egress of a platform or an organisation stands behind it.
	Standalone bool `json:"standalone"`
	// ToolScoped is true when the proxy was set up for particular tools only.
	ToolScoped bool `json:"toolScoped"`
	// InstalledProxyPreconfiguredCLIs lists command lines found on the machine
	// that were set up for the proxy.
	InstalledProxyPreconfiguredCLIs []string `json:"installedProxyPreconfiguredClis,omitempty"`
	// JavaTrustStorePath is the truststore that JVMs are pointed at; empty when
	// there is none, and ToolTrustFailureCodes says why.
	JavaTrustStorePath string `json:"javaTrustStorePath,omitempty"`
	// JavaTrustStoreType is the keystore type when it is not PKCS12.
	JavaTrustStoreType string `json:"javaTrustStoreType,omitempty"`
	// ReadmePath is the troubleshooting guide for this very tunnel.
	ReadmePath string `json:"readmePath,omitempty"`
	// GitConfigInjection is true when runs get GIT_CONFIG_* entries of ours.
	GitConfigInjection bool `json:"gitConfigInjection"`
	// GitSSHRewrite is true when SSH remotes are rewritten to HTTPS.
	GitSSHRewrite bool `json:"gitSshRewrite"`
	// GitConfigConflicts are codes of git settings that defeat the tunnel.
	GitConfigConflicts []string `json:"gitConfigConflicts,omitempty"`
	// ToolTrustFailureCodes are codes of trust set-ups that failed.
	ToolTrustFailureCodes []string `json:"toolTrustFailureCodes,omitempty"`
	// RecentRelayFailures are the newest failures, oldest first.
	RecentRelayFailures []*Failure `json:"recentRelayFailures"`

	// Version is the build that serves the tunnel.
	Version string `json:"version,omitempty"`
	// PID is the process that serves the tunnel.
	PID int `json:"pid,omitempty"`
	// Started is when it began to.
	Started *Time `json:"started,omitempty"`
	// Mode is "embedded" or "upstream".
	Mode string `json:"mode,omitempty"`
	// Upstream is the upstream egress without its credentials.
	Upstream string `json:"upstream,omitempty"`
	// StateDir is where the CA, the bundle and the logs are.
	StateDir string `json:"stateDir,omitempty"`
	// ConfigPath is the configuration file in force, empty when there is none.
	ConfigPath string `json:"configPath,omitempty"`
	// CAFingerprint is the SHA-256 of our CA certificate in hex.
	CAFingerprint string `json:"caFingerprint,omitempty"`
	// CAExpires is the end of our CA's validity.
	CAExpires *Time `json:"caExpires,omitempty"`
	// Accommodations are things done for clients that could not be served
	// otherwise, each with its code.
	Accommodations []Accommodation `json:"accommodations,omitempty"`
	// ToolConflicts are settings in tools' files, other than git's, that win
	// over what runs get.
	ToolConflicts []Conflict `json:"toolConflicts,omitempty"`
	// Connections counts the tunnels open now, Tunnels all since the start.
	Connections int64 `json:"connections,omitempty"`
	Tunnels     int64 `json:"tunnels,omitempty"`
	// Runs counts the `exec` runs attached now.
	Runs int `json:"runs,omitempty"`
	// Shells counts those that lead through the tunnel, which stays for them.
	Shells int `json:"shells,omitempty"`
	// Policy are the layers of the policy in force, the user's first; none with an upstream.
	Policy []PolicyLayer `json:"policy,omitempty"`
	// PolicyProblem says why the policy in force is not what its files say, empty when it is.
	PolicyProblem string `json:"policyProblem,omitempty"`
	// Asked are the questions that were settled last, oldest first.
	Asked []Asked `json:"asked,omitempty"`
	// RunHosts are the last runs with the hosts that each has asked for, the latest first.
	RunHosts []RunHosts `json:"runHosts,omitempty"`
	// IdleExit is after how much idleness the daemon leaves, "" for never.
	IdleExit string `json:"idleExit,omitempty"`
}

// RunHosts is what one run has asked for since the tunnel started.
type RunHosts struct {
	Run string `json:"run"`
	// Processes are names of some that asked.
	Processes []string `json:"processes,omitempty"`
	// Last is when one asked last.
	Last Time `json:"last"`
	// Hosts are the busiest first.
	Hosts []RunHost `json:"hosts"`
}

// RunHost is what a run has asked for of one host.
type RunHost struct {
	// Host is the CONNECT target.
	Host string `json:"host"`
	// Methods counts the requests that were carried, where the tunnel looks inside.
	Methods map[string]int64 `json:"methods,omitempty"`
	// Opened and Failed count tunnels, Refused also requests.
	Opened  int64 `json:"opened,omitempty"`
	Refused int64 `json:"refused,omitempty"`
	Failed  int64 `json:"failed,omitempty"`
	Last    Time  `json:"last"`
}

// Requests is Methods in words, the most frequent first: "GET 12, POST 1".
func (h *RunHost) Requests() string {
	methods := slices.SortedFunc(maps.Keys(h.Methods), func(a, b string) int {
		return cmp.Or(cmp.Compare(h.Methods[b], h.Methods[a]), cmp.Compare(a, b))
	})
	for i, method := range methods {
		methods[i] = fmt.Sprintf("%s %d", method, h.Methods[method])
	}
	return strings.Join(methods, ", ")
}

// OfRun leaves of a document what concerns one run: by its identity, or by the beginning
// of it that no other has. It reports whether the run is known.
func (d *Document) OfRun(id string) bool {
	var known []string
	for _, r := range d.RunHosts {
		if strings.HasPrefix(r.Run, id) {
			known = append(known, r.Run)
		}
	}
	if len(known) != 1 && !slices.Contains(known, id) {
		return false
	}
	if len(known) == 1 {
		id = known[0]
	}
	d.RunHosts = slices.DeleteFunc(d.RunHosts, func(r RunHosts) bool { return r.Run != id })
	d.Asked = slices.DeleteFunc(d.Asked, func(a Asked) bool { return a.Run != id })
	d.RecentRelayFailures = slices.DeleteFunc(d.RecentRelayFailures, func(f *Failure) bool { return f.Run != id })
	return true
}

// Asked is a refusal that waited for somebody to let it pass, and what came of it.
type Asked struct {
	TS Time `json:"ts"`
	// Answer is "once", "run", "hour", "always", "no", or empty where nobody gave one.
	Answer string `json:"answer,omitempty"`
	// Host is the CONNECT target; Method and Path are those of a request, the path
	// without its query.
	Host   string `json:"host"`
	Method string `json:"method,omitempty"`
	Path   string `json:"path,omitempty"`
	// Run, PID and Process tell whose it was; empty when unknown.
	Run     string `json:"run,omitempty"`
	PID     int    `json:"pid,omitempty"`
	Process string `json:"process,omitempty"`
}

// What is what was asked for, in words: a host, or a request of it.
func (a Asked) What() string {
	e := a.Entry()
	return strings.TrimSpace(e.Method + " " + e.Host + e.Path)
}

// Entry is the question as the decision that it came to.
func (a Asked) Entry() Entry {
	e := Entry{TS: a.TS, Outcome: Opened, Host: a.Host, Method: a.Method, Path: a.Path, Run: a.Run, PID: a.PID, Process: a.Process}
	if a.Answer == "" || a.Answer == "no" {
		e.Outcome = Refused
	}
	return e.Clean()
}

// PolicyLayer is one of the sets of rules that decide together.
type PolicyLayer struct {
	// Name is "user", "organisation", "project" or "run"; Path its file or URL, empty for
	// none.
	Name string `json:"name"`
	Path string `json:"path,omitempty"`
	// Fetched is when what lies at the URL was known to be this.
	Fetched *Time `json:"fetched,omitempty"`
	// Default is "allow" or "deny", Mode "enforce" or "report".
	Default string `json:"default"`
	Mode    string `json:"mode"`
	// Allow and Deny count the entries.
	Allow int `json:"allow"`
	Deny  int `json:"deny"`
}

// Conflict is a setting of a tool that wins over the environment.
type Conflict struct {
	// Code is stable.
	Code string `json:"code"`
	// Tool is the profile that knows the setting, File where it stands.
	Tool string `json:"tool"`
	File string `json:"file"`
	// Overruled is true when runs are not affected.
	Overruled bool `json:"overruled"`
	// Advice is what to do when they are.
	Advice string `json:"advice,omitempty"`
}

// Accommodation records that a client was carried although it asked in a way
// that the proxy need not serve.
type Accommodation struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Count  int64  `json:"count"`
}

// Kind says what went wrong with a connection; the set is closed.
type Kind string

// The kinds. What stands in brackets is the status that a client gets.
const (
	ConnectRejected     Kind = "connect_rejected"      // the upstream egress refused CONNECT [its own status]
	PolicyDenied        Kind = "policy_denied"         // our policy refused the host or its address [403]
	PortNotAllowed      Kind = "port_not_allowed"      // our policy refused the port [403]
	ProxyAuthRequired   Kind = "proxy_auth_required"   // the egress wants credentials [407]
	NameNotFound        Kind = "name_not_found"        // the origin's name does not resolve [502]
	OriginRefused       Kind = "origin_refused"        // nothing listens, or no route [502]
	OriginTimeout       Kind = "origin_timeout"        // the origin did not answer in time [504]
	OriginTLS           Kind = "origin_tls"            // handshake or certificate of the origin is bad [502]
	OriginFailed        Kind = "origin_failed"         // the origin broke off in the middle of a request [502], or of its answer [no status any more]
	UpstreamUnreachable Kind = "upstream_unreachable"  // the upstream egress cannot be reached [502, 504]
	ClientTLSRejected   Kind = "client_tls_rejected"   // the client did not take our leaf [no status]
	ClientCertRequested Kind = "client_cert_requested" // the origin wants a client certificate [502]
	PlainHTTP           Kind = "plain_http"            // something other than CONNECT was asked of the front [405]
	NotTLS              Kind = "not_tls"               // the client spoke no TLS in a re-terminated tunnel [no status]
	BadRequest          Kind = "bad_request"           // the request cannot be parsed [400, 408, 431]
	Misdirected         Kind = "misdirected"           // SNI or Host differ from the CONNECT host [421]
)

// Failure is one thing that went wrong in the tunnel. It is an error, the
// answer that the client gets, an entry of the status document and the
// evidence for a verdict.
type Failure struct {
	TS     Time   `json:"ts"`
	Kind   Kind   `json:"kind"`
	Detail string `json:"detail"`
	// Host is the CONNECT target, host:port.
	Host string `json:"host"`

	// Method and Path are those of a request inside the tunnel that was refused by
	// itself: the connection goes on. The path is normalised, and has no query.
	Method string `json:"method,omitempty"`
	Path   string `json:"path,omitempty"`
	// Reported is true for a refusal that was recorded only.
	Reported bool `json:"-"`

	// Code is the HTTP status given to the client, 0 when none could be.
	Code int `json:"code,omitempty"`
	// By is who decided: "policy", "origin", "client", "front" or the upstream's address.
	By string `json:"by,omitempty"`
	// Rule is the configuration entry behind a policy decision.
	Rule string `json:"rule,omitempty"`
	// Reason is a short code below the kind, such as "expired" for origin_tls.
	Reason string `json:"reason,omitempty"`
	// Advice is what to do next, one sentence.
	Advice string `json:"advice,omitempty"`
	// Run, PID and Process tie the failure to a client; empty when unknown.
	Run     string `json:"run,omitempty"`
	PID     int    `json:"pid,omitempty"`
	Process string `json:"process,omitempty"`
	// Shell is the process number of the shell whose hook gave the client its
	// environment.
	Shell string `json:"shell,omitempty"`

	// Answer is the upstream's own refusal, passed on untouched.
	Answer *Answer `json:"-"`
	// Err is the cause.
	Err error `json:"-"`
}

// Answer is a refusal in an upstream's own words.
type Answer struct {
	Status string // "403 Blocked by policy"
	Header http.Header
	Body   []byte
}

// Error returns kind, host and detail in one line.
func (f *Failure) Error() string {
	return fmt.Sprintf("%s · %s · %s", f.Kind, f.Host, f.Detail)
}

// Folded are failures that read alike, at the place of the last.
type Folded struct {
	*Failure
	Times int
}

// String is the failure's line, with how often where that is more than once.
func (f Folded) String() string {
	if f.Times == 1 {
		return f.Error()
	}
	return fmt.Sprintf("%s (%d times)", f.Error(), f.Times)
}

// Fold puts failures that read alike together; the last of each stays where it is.
func Fold(list []*Failure) []Folded {
	var all []Folded
	for _, f := range list {
		n := 1
		all = slices.DeleteFunc(all, func(earlier Folded) bool {
			if earlier.Error() != f.Error() {
				return false
			}
			n += earlier.Times
			return true
		})
		all = append(all, Folded{f, n})
	}
	return all
}

// HostName is Host without its port.
func (f *Failure) HostName() string {
	if name, _, err := net.SplitHostPort(f.Host); err == nil {
		return name
	}
	return f.Host
}

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// Phrase is the failure as an HTTP reason phrase: one line of printable ASCII
// (RFC 9112 §4; obs-text avoided because some clients refuse it). Programs
// built on Go's net/http show nothing else to their user.
func (f *Failure) Phrase() string { return ASCII(f.Kind.title()+": "+f.Detail, 240) }

// ASCII makes s fit for one line of a message head: bytes outside printable
// ASCII become "?", and the rest is cut at limit bytes.
func ASCII(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	if len(s) > limit {
		s = s[:limit-3] + "..."
	}
	return s
}

func (k Kind) title() string { return strings.ReplaceAll(string(k), "_", " ") }

// Time is a time that JSON shows in UTC with milliseconds.
type Time struct{ time.Time }

const timeLayout = "2006-01-02T15:04:05.000Z"

// Now is the current time in the document's form.
func Now() Time { return Time{time.Now()} }

// MarshalJSON writes the time in UTC with milliseconds.
func (t Time) MarshalJSON() ([]byte, error) {
	return json.Marshal(t.UTC().Format(timeLayout))
}

// UnmarshalJSON reads any RFC 3339 time.
func (t *Time) UnmarshalJSON(b []byte) error {
	return t.Time.UnmarshalJSON(b)
}

// DefaultNoProxy is the NO_PROXY value of a run that brings none of its own,
// in the form that every dialect reads: no spaces, no "*."; the CIDR prefix is for
// those who read one.
const DefaultNoProxy = "localhost,127.0.0.1,::1,.localhost,127.0.0.0/8,0.0.0.0"

// Evidence is what the tunnel saw of one run.
type Evidence struct {
	// Hosts were tried, in the order of their first tunnel.
	Hosts []HostSeen `json:"hosts"`
	// Unattributed counts tunnels that may have been this run's or another's:
	// their clients had gone before they could be found.
	Unattributed int `json:"unattributed,omitempty"`
	// Failures are what went wrong, oldest first.
	Failures []*Failure `json:"failures"`
	// Reported are decisions that would have been refusals, oldest first.
	Reported []Entry `json:"reported,omitempty"`
}

// HostSeen is one host that a run has tried.
type HostSeen struct {
	// Host is the CONNECT target.
	Host string `json:"host"`
	// Opened counts the tunnels to it that were opened.
	Opened int `json:"opened"`
	// Taken counts those of them in which the client took the certificate of the
	// embedded egress: it asked something.
	Taken int `json:"taken,omitempty"`
	// First and Last are when.
	First Time `json:"first"`
	Last  Time `json:"last"`
}

// Silent reports whether the run is known to have asked the tunnel for nothing.
func (e *Evidence) Silent() bool {
	return len(e.Hosts) == 0 && len(e.Failures) == 0 && e.Unattributed == 0
}

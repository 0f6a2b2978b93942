package rules

import "fmt"

// Class is the cause of a failure, one of a closed set.
type Class string

// The classes.
const (
	TLSTrust            Class = "tls_trust"
	TLSOther            Class = "tls_other"
	PlainHTTP405        Class = "plain_http_405"
	PolicyDenied        Class = "policy_denied"
	ProxyAuth407        Class = "proxy_auth_407"
	ProxyUnreachable    Class = "proxy_unreachable"
	ProxyBypassed       Class = "proxy_bypassed"
	GitSSH              Class = "git_ssh"
	UnsupportedProtocol Class = "unsupported_protocol"
	Pinned              Class = "pinned"
	UpstreamFailed      Class = "upstream_failed"
	None                Class = "none"
)

type classRow struct {
	Class   Class
	Final   bool
	Meaning string
}

var classes = []classRow{
	{TLSTrust, false, "the client does not trust the CA"},
	{TLSOther, false, "TLS failed for a reason that trust does not fix"},
	{PlainHTTP405, false, "the client spoke plain HTTP to the proxy"},
	{PolicyDenied, true, "refused by rule, or by the egress"},
	{ProxyAuth407, true, "the egress wants credentials"},
	{ProxyUnreachable, false, "nothing listens at the proxy address"},
	{ProxyBypassed, false, "the tool ignored the proxy and had no direct route"},
	{GitSSH, false, "git over SSH, blocked"},
	{UnsupportedProtocol, true, "a protocol that the egress does not carry"},
	{Pinned, true, "the client pins certificates"},
	{UpstreamFailed, false, "the egress could not reach the origin"},
	{None, false, "nothing of ours"},
}

// Classes returns the closed set, in the order of the documentation.
func Classes() []Class {
	var all []Class
	for _, c := range classes {
		all = append(all, c.Class)
	}
	return all
}

// Final reports whether a failure of this class is never retried, only reported.
func (c Class) Final() bool { return c.row().Final }

// Meaning says in a few words what the class stands for, "" for none of them.
func (c Class) Meaning() string { return c.row().Meaning }

func (c Class) row() classRow {
	for _, row := range classes {
		if row.Class == c {
			return row
		}
	}
	return classRow{}
}

// ParseClass accepts the name of a class of the set.
func ParseClass(name string) (Class, error) {
	if c := Class(name); c.Meaning() != "" {
		return c, nil
	}
	return "", fmt.Errorf("no class is called %q; there are %v", name, Classes())
}

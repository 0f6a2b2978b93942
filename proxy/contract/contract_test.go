package contract

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/google/go-cmp/cmp"
)

// A trial has a name of its own, below one domain that nothing outside resolves.
func TestCanaryHostIsBelowItsDomain(t *testing.T) {
	t.Parallel()
	a, b := CanaryHost("one"), CanaryHost("two")
	if a == b || a != "one.canary.agentproxy.test" {
		t.Errorf("%q and %q", a, b)
	}
	if !strings.HasSuffix(CanaryDomain, ".test") {
		t.Errorf("%s is not below .test (RFC 6761)", CanaryDomain)
	}
}

// What a daemon is started with comes out of the pipe as it went in: an option
// that got lost there would be one that silently does not hold.
func TestStartSurvivesThePipe(t *testing.T) {
	t.Parallel()
	compat := false
	start := Start{
		Config: &config.Config{
			Path:   "/etc/agentproxy.toml",
			Egress: config.Egress{Upstream: "http://user:secret@proxy.example:3128", ExtraRoots: []string{"/ca.pem"}, ConnectTo: map[string]string{"a.example:443": "127.0.0.1:1"}},
			Policy: config.Policy{Default: "deny", Allow: []string{"a.example"}, Deny: []string{"b.example"}, Passthrough: []string{"c.example"}, Private: []string{"10.0.0.0/8"}},
			Front:  config.Front{Port: 4711, Compat: &compat, IdleExit: "5m"},
			Git:    config.Git{RewriteHosts: []string{"git.example"}},
		},
		Dir: "/state", Key: "key", Settings: "settings",
		Inherited: Inherited{Upstream: "http://user:secret@proxy.example:3128", CAs: []string{"/corp.pem"}},
		Gate:      true, Port: 4712, Version: "1.0", Stay: true, Listen: "0.0.0.0:8443",
	}
	raw, err := json.Marshal(start)
	if err != nil {
		t.Fatal(err)
	}
	var got Start
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(start, got); diff != "" {
		t.Error(diff)
	}
}

// The control routes are all below the prefix that the front answers itself, and
// none is the same as another or as one that needs no proof.
func TestControlRoutesAreApart(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, path := range []string{RunPath, StopPath, TrialPath, InheritedPath,
		status.Path, status.ScriptPath, status.StylePath, status.EventsPath, status.MetricsPath, status.CAPath, status.HealthzPath} {
		if seen[path] || !strings.HasPrefix(path, status.Prefix) || path == status.Prefix {
			t.Errorf("%s", path)
		}
		seen[path] = true
	}
}

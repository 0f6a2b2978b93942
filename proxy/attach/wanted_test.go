package attach

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/proxytest"
	"github.com/agentproxy/agentproxy/proxy/status"
)

func wantedStart(t *testing.T, o Options) contract.Start {
	t.Helper()
	start, err := Wanted(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return start
}

// caFile is an authority's certificate in a file.
func caFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, proxytest.NewCA(t, "corporate").PEM(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// The proxy that the environment names is the way out, with the CA files that came
// with it; what the configuration says counts more.
func TestTheEnvironmentsProxyIsTheUpstream(t *testing.T) {
	t.Parallel()
	ca := caFile(t)
	const corp = "http://user:secret@proxy.example:3128"
	for _, c := range []struct {
		name string
		env  []string
		conf string
		want string
	}{
		{"none", nil, "", ""},
		{"upper case", []string{"HTTPS_PROXY", corp}, "", corp},
		{"both cases", []string{"HTTPS_PROXY", "http://other.example", "https_proxy", corp}, "", corp},
		{"no scheme", []string{"HTTPS_PROXY", "user:secret@proxy.example:3128"}, "", corp},
		{"for other URLs", []string{"HTTP_PROXY", corp, "ALL_PROXY", corp}, "", ""},
		{"configured", []string{"HTTPS_PROXY", corp}, "http://own.example:1", "http://own.example:1"},
		{"configured, and what is no URL", []string{"HTTPS_PROXY", "socks5://x"}, "http://own.example:1", "http://own.example:1"},
	} {
		e := place(t).with(append(c.env, "SSL_CERT_FILE", ca, "NODE_EXTRA_CA_CERTS", ca, "AGENT_PROXY_CA_BUNDLE_PATH", "/none.pem")...)
		start := wantedStart(t, e.options(upstream(c.conf)))
		if start.Config.Egress.Upstream != c.want {
			t.Errorf("%s: %q, want %q", c.name, start.Config.Egress.Upstream, c.want)
		}
		if c.want != corp {
			if len(start.Config.Egress.ExtraRoots) != 0 || start.Inherited.Upstream != "" {
				t.Errorf("%s: roots %q, inherited %+v", c.name, start.Config.Egress.ExtraRoots, start.Inherited)
			}
			continue
		}
		if !slices.Equal(start.Config.Egress.ExtraRoots, []string{ca}) || start.Inherited.Upstream != corp || !slices.Equal(start.Inherited.CAs, []string{ca}) {
			t.Errorf("%s: roots %q, inherited %+v", c.name, start.Config.Egress.ExtraRoots, start.Inherited)
		}
	}
}

// The caller's configuration is not changed, and what the environment says makes
// another tunnel, not another configuration.
func TestTheConfigurationStaysAsItIs(t *testing.T) {
	t.Parallel()
	e := place(t)
	plain, o := wantedStart(t, e.options()), e.with("HTTPS_PROXY", "http://proxy.example:3128").options()
	behind := wantedStart(t, o)
	if o.Config.Egress.Upstream != "" || len(o.Config.Egress.ExtraRoots) != 0 {
		t.Errorf("%+v", o.Config.Egress)
	}
	if plain.Key == behind.Key || plain.Settings != behind.Settings {
		t.Errorf("keys %s and %s, settings %s and %s", plain.Key, behind.Key, plain.Settings, behind.Settings)
	}
}

// A proxy that cannot be the way out is an error that names the variable and never
// the password.
func TestAProxyThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"socks5://user:secret@proxy.example", "http://user:secret@:1:2", "http://"} {
		_, err := Attach(t.Context(), place(t).with("https_proxy", value).options())
		if err == nil || !strings.HasPrefix(err.Error(), "https_proxy in the environment cannot be the upstream egress: ") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error %v", value, err)
		}
	}
}

// A run in a run uses the tunnel that it is in when it wants the same, whatever the
// build; when it wants something stricter it goes through both.
func TestNestedRuns(t *testing.T) {
	t.Parallel()
	e := place(t)
	outer := up(t, e.options(deny("outer.example")))
	inside := e.with("HTTPS_PROXY", outer.URL(), contract.RunVariable, "outer")
	same := inside.options(deny("outer.example"))
	same.Version = "another build"
	tunnel, run, err := Acquire(t.Context(), same, "inner")
	if err != nil {
		t.Fatal(err)
	}
	run.Close()
	if tunnel.Record.PID != outer.Record.PID || tunnel.Started {
		t.Errorf("%+v", tunnel)
	}
	if found, err := Find(t.Context(), same); err != nil || found.Record.PID != outer.Record.PID {
		t.Errorf("%+v, error %v", found, err)
	}

	stricter := inside.options(deny("inner.example"))
	gate, inner, err := Acquire(t.Context(), stricter, "inner")
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	if !gate.Started || gate.Record.Upstream != outer.URL() || gate.Record.Inherited {
		t.Errorf("%+v", gate.Record)
	}
	for _, host := range []string{"inner.example:443", "outer.example:443"} {
		if err := gate.Probe(t.Context(), host); err != nil {
			t.Fatal(err)
		}
	}
	seen, err := inner.Evidence(t.Context())
	if err != nil || len(seen.Failures) != 2 || seen.Failures[0].By != "policy" || seen.Failures[1].Kind != status.ConnectRejected {
		t.Errorf("%+v, error %v", seen, err)
	}
	if doc, err := outer.Status(t.Context()); err != nil || len(doc.RecentRelayFailures) != 1 || doc.RecentRelayFailures[0].Host != "outer.example:443" {
		t.Errorf("the outer tunnel has seen %+v, error %v", doc, err)
	}
}

// A run cannot leave the tunnel that it is in by a configuration of its own.
func TestANestedRunCannotLeadPast(t *testing.T) {
	t.Parallel()
	e := place(t)
	outer := up(t, e.options())
	_, err := Wanted(t.Context(), e.with("HTTPS_PROXY", outer.URL(), contract.RunVariable, "outer").options(upstream("http://elsewhere.example:3128")))
	if err == nil || !strings.Contains(err.Error(), "leads past that one") {
		t.Errorf("error %v", err)
	}
	// A shell that was set up earlier is no run: it may want something else.
	if start := wantedStart(t, e.with("HTTPS_PROXY", outer.URL()).options(upstream("http://elsewhere.example:3128"))); start.Gate {
		t.Errorf("%+v", start)
	}
}

// A shell whose environment names a tunnel of ours gets, for other wishes, a tunnel
// that leaves where the environment said before: the tunnel knows the password.
func TestTheFormerUpstreamIsInherited(t *testing.T) {
	t.Parallel()
	ca := caFile(t)
	const corp, shown = "http://user:secret@proxy.example:3128", "http://proxy.example:3128"
	e := place(t)
	first := up(t, e.with("HTTPS_PROXY", corp, "SSL_CERT_FILE", ca).options())
	if !first.Record.Inherited || first.Record.Upstream != shown || !slices.Equal(first.Record.CAs, []string{ca}) {
		t.Errorf("%+v", first.Record)
	}
	shell := e.with("HTTPS_PROXY", first.URL(), "AGENT_PROXY_URL", first.URL(), contract.ShellVariable, "1", contract.UpstreamVariable, shown)
	start := wantedStart(t, shell.options(deny("evil.example")))
	if start.Config.Egress.Upstream != corp || !slices.Equal(start.Config.Egress.ExtraRoots, []string{ca}) || start.Gate {
		t.Errorf("%+v", start)
	}
	if found, err := Attach(t.Context(), shell.options()); err != nil || found.Record.PID != first.Record.PID {
		t.Errorf("for the same: %+v, error %v", found, err)
	}
	if err := first.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	// When it has gone, what the environment still tells.
	if start := wantedStart(t, shell.options()); start.Config.Egress.Upstream != shown {
		t.Errorf("%+v", start.Config.Egress)
	}
	delete(shell, contract.UpstreamVariable)
	if start := wantedStart(t, shell.options()); start.Config.Egress.Upstream != "" {
		t.Errorf("it leads into what has gone: %+v", start.Config.Egress)
	}
}

// A port that a tunnel of ours has had is not taken for somebody's proxy, unless
// somebody answers there by now.
func TestAPortThatWasOurs(t *testing.T) {
	t.Parallel()
	e := place(t)
	tunnel := up(t, e.options())
	if err := tunnel.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	o := e.with("HTTPS_PROXY", tunnel.URL()).options()
	if start := wantedStart(t, o); start.Config.Egress.Upstream != "" {
		t.Errorf("%+v", start.Config.Egress)
	}
	l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", tunnel.Record.Port))
	if err != nil {
		t.Logf("somebody else has the port by now: %v", err)
	} else {
		defer l.Close()
	}
	if start := wantedStart(t, o); start.Config.Egress.Upstream != tunnel.URL() {
		t.Errorf("%+v", start.Config.Egress)
	}
	// Nor is another machine's, of the same number.
	elsewhere := fmt.Sprintf("http://192.0.2.1:%d", tunnel.Record.Port)
	if start := wantedStart(t, e.with("HTTPS_PROXY", elsewhere).options()); start.Config.Egress.Upstream != elsewhere {
		t.Errorf("%+v", start.Config.Egress)
	}
}

// Another agent proxy in the environment is asked for its CA bundle, and trusted
// with what only its user could have written.
func TestAnotherAgentProxysBundle(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		doc     status.Document
		mode    os.FileMode
		trusted bool
	}{
		{"an agent proxy", status.Document{Enabled: true}, 0o644, true},
		{"one that is off", status.Document{}, 0o644, false},
		{"a bundle that others can write", status.Document{Enabled: true}, 0o666, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.doc.CABundlePath = caFile(t)
			if err := os.Chmod(c.doc.CABundlePath, c.mode); err != nil {
				t.Fatal(err)
			}
			foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != status.Path {
					http.NotFound(w, r)
					return
				}
				json.NewEncoder(w).Encode(c.doc)
			}))
			defer foreign.Close()
			tunnel := up(t, place(t).with("HTTPS_PROXY", foreign.URL).options())
			if trusted := slices.Contains(tunnel.Record.CAs, c.doc.CABundlePath); trusted != c.trusted {
				t.Errorf("%q", tunnel.Record.CAs)
			}
			if tunnel.Record.Upstream != foreign.URL {
				t.Errorf("upstream %s", tunnel.Record.Upstream)
			}
		})
	}
}

// What is not ours to use is an error before anything is started.
func TestAnUnsafeDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	e := place(t)
	if err := os.Chmod(e.get("AGENT_PROXY_STATE_DIR"), 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Attach(t.Context(), e.options()); err == nil || !strings.Contains(err.Error(), "chmod 0700 ") {
		t.Errorf("error %v", err)
	}
	if _, err := Find(t.Context(), e.options(func(c *config.Config) { c.Policy.Default = "deny" })); err == nil {
		t.Error("something was found there")
	}
}

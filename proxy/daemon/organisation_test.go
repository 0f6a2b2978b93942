package daemon

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/rundir"
)

// organisation publishes a policy at https://policy.test/agentproxy.toml.
type organisation struct {
	key    ed25519.PrivateKey
	config string // names it

	mu                sync.Mutex
	text, etag        string
	signature         []byte
	status            int // of every answer, 0 for as it should be
	sent, notModified int
}

func newOrganisation(t *testing.T) *organisation {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	o := &organisation{key: private}
	o.config = leadsTo(t, "policy.test", o) + fmt.Sprintf("[policy]\norganisation = \"https://policy.test/agentproxy.toml\"\norganisation_key = %q\n", base64.StdEncoding.EncodeToString(public))
	return o
}

func (o *organisation) publish(text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text, o.etag, o.signature = text, fmt.Sprintf(`"%d"`, len(text)), ed25519.Sign(o.key, []byte(text))
}

func (o *organisation) change(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f()
}

func (o *organisation) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.status != 0:
		w.WriteHeader(o.status)
	case strings.HasSuffix(r.URL.Path, ".sig"):
		io.WriteString(w, base64.StdEncoding.EncodeToString(o.signature))
	case r.Header.Get("If-None-Match") == o.etag:
		o.notModified++
		w.WriteHeader(http.StatusNotModified)
	default:
		o.sent++
		w.Header().Set("ETag", o.etag)
		io.WriteString(w, o.text)
	}
}

// member are the options of a daemon whose user's file begins with a text.
func member(t *testing.T, text string) (Options, edited) {
	t.Helper()
	e := edited{path: filepath.Join(t.TempDir(), "config.toml")}
	e.write(t, text)
	opts := options(t)
	cfg, err := config.Load(e.path, func(name string) string {
		return map[string]string{"AGENT_PROXY_STATE_DIR": opts.Dir}[name]
	}, "")
	if err != nil {
		t.Fatal(err)
	}
	// As it is handed to the process that serves.
	raw, err := json.Marshal(contract.Start{Config: cfg, Source: cfg.Source, Dir: opts.Dir, Key: opts.Key})
	if err == nil {
		opts.Start = contract.Start{}
		err = json.Unmarshal(raw, &opts.Start)
	}
	if err != nil {
		t.Fatal(err)
	}
	return opts, e
}

func (d *running) reload(t *testing.T) (answer contract.Reloaded) {
	t.Helper()
	if err := json.NewDecoder(d.ask(t, rundir.RoleClient, http.MethodPost, contract.ReloadPath, nil).Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func (d *running) connects(t *testing.T, target string) int {
	t.Helper()
	_, res, _ := d.connect(t, target)
	return res.StatusCode
}

// What an organisation publishes is fetched although the user's rules do not let its
// host pass, holds as long as nobody publishes another, and survives its server.
func TestPublishedPolicy(t *testing.T) {
	t.Parallel()
	o := newOrganisation(t)
	o.publish("[policy]\ndeny = [\"one.test\"]\n")
	opts, e := member(t, o.config+"default = \"deny\"\nallow = [\"one.test\", \"two.test\"]\n")
	d, err := launch(t, opts)
	if err != nil {
		t.Fatal(err)
	}
	if d.connects(t, "one.test:443") != 403 || d.connects(t, "policy.test:443") != 403 {
		t.Error("the two layers are not in force")
	}
	layers := d.document(t).Policy
	if len(layers) != 2 || layers[1].Name != "organisation" || layers[1].Path != "https://policy.test/agentproxy.toml" || layers[1].Fetched == nil || layers[1].Deny != 1 {
		t.Errorf("%+v", layers)
	}
	if !strings.Contains(d.log.String(), `"organisation's policy in force","url":"https://policy.test/agentproxy.toml","fetched":"`) {
		t.Errorf("the log does not say where it came from: %s", d.log)
	}

	// What has not changed is not sent again.
	if answer := d.reload(t); answer.Problem != "" {
		t.Error(answer.Problem)
	}
	if o.change(func() {
		if o.sent != 1 || o.notModified != 1 {
			t.Errorf("sent %d times, not modified %d times", o.sent, o.notModified)
		}
	}); d.document(t).Policy[1].Fetched.Before(layers[1].Fetched.Time) {
		t.Error("it has not become newer")
	}

	// A new one holds for the tunnel that runs.
	o.publish("[policy]\ndeny = [\"one.test\", \"two.test\"]\n")
	if answer := d.reload(t); answer.Problem != "" || d.connects(t, "two.test:443") != 403 || d.document(t).Policy[1].Deny != 2 {
		t.Errorf("what was published is not in force: %q", answer.Problem)
	}

	// A wrong signature, or none at all, changes nothing, and is told of.
	for want, spoil := range map[string]func(){
		"the signature is not one by policy.organisation_key": func() { o.text, o.etag = "[policy]\n", `"spoilt"` },
		"answers 503 Service Unavailable":                     func() { o.status = 503 },
	} {
		o.change(spoil)
		answer := d.reload(t)
		if !strings.Contains(answer.Problem, want) {
			t.Errorf("%q, want %q", answer.Problem, want)
		}
		if d.connects(t, "two.test:443") != 403 {
			t.Error("the copy is not in force any more")
		}
		if notes := fmt.Sprint(d.document(t).Accommodations); !strings.Contains(notes, "organisation_policy_copy") || !strings.Contains(notes, want) {
			t.Errorf("the status does not tell: %s", notes)
		}
		if !strings.Contains(d.log.String(), "organisation's policy not fetched") {
			t.Error("the log does not tell")
		}
		o.change(func() { o.status = 0 })
		o.publish("[policy]\ndeny = [\"one.test\", \"two.test\"]\n")
		if answer := d.reload(t); answer.Problem != "" || strings.Contains(fmt.Sprint(d.document(t).Accommodations), "organisation_policy_copy") {
			t.Errorf("it goes on telling: %q", answer.Problem)
		}
	}

	// The next tunnel starts from the copy.
	d.stop()
	d.leaves(t)
	o.change(func() { o.status = 503 })
	if d, err = launch(t, opts); err != nil {
		t.Fatal(err)
	}
	if d.connects(t, "one.test:443") != 403 {
		t.Error("the copy is not in force")
	}

	// Another publisher, of whose policy there is no copy, does not take its place.
	e.running = d
	e.write(t, strings.Replace(o.config, "/agentproxy.toml\"", "/other.toml\"", 1))
	if answer := d.reload(t); !strings.Contains(answer.Problem, "https://policy.test/other.toml has not been fetched yet") || d.connects(t, "one.test:443") != 403 {
		t.Errorf("%q", answer.Problem)
	}
	o.change(func() { o.status = 0 })
	if answer := d.reload(t); answer.Problem != "" || d.document(t).Policy[1].Path != "https://policy.test/other.toml" {
		t.Errorf("it is not fetched from there: %q", answer.Problem)
	}
}

func TestWithoutAGoodCopyNoTunnelStarts(t *testing.T) {
	t.Parallel()
	for want, spoil := range map[string]func(*organisation){
		"answers 404 Not Found":                               func(o *organisation) { o.status = 404 },
		"the signature is not one by policy.organisation_key": func(o *organisation) { o.text += "\n" },
	} {
		o := newOrganisation(t)
		o.publish("[policy]\n")
		o.change(func() { spoil(o) })
		opts, _ := member(t, o.config)
		_, err := launch(t, opts)
		if err == nil || !strings.Contains(err.Error(), "your organisation's policy cannot be had, and there is no good copy of it: https://policy.test/agentproxy.toml") || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// A run inside a run fetches it through the tunnel of the outer one.
func TestPublishedPolicyThroughAnUpstream(t *testing.T) {
	t.Parallel()
	o := newOrganisation(t)
	o.publish("[policy]\ndeny = [\"one.test\"]\n")
	outer := startEdited(t, o.config[:strings.Index(o.config, "organisation")])
	published := o.config[strings.Index(o.config, "[policy]"):]
	opts, _ := member(t, fmt.Sprintf("[egress]\nupstream = \"http://%s\"\nextra_roots = [%q]\n", outer.address(), filepath.Join(outer.dir, rundir.CertFile))+published)
	opts.Gate = true
	d, err := launch(t, opts)
	if err != nil {
		t.Fatal(err)
	}
	if _, res, why := d.connect(t, "one.test:443"); res.StatusCode != 403 || !strings.Contains(why, "(organisation)") {
		t.Errorf("%s: %s", res.Status, why)
	}
	if outer.document(t).Tunnels == 0 {
		t.Error("it went past the outer tunnel")
	}
}

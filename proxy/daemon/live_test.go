package daemon

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/rundir"
)

// edited is a daemon whose configuration is in a file.
type edited struct {
	*running
	path string
}

func startEdited(t *testing.T, text string) edited {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.toml")
	e := edited{path: path}
	e.write(t, text)
	cfg, err := config.Load(path, func(string) string { return "" }, "")
	if err != nil {
		t.Fatal(err)
	}
	e.running = start(t, func(o *Options) { o.Config, o.Source = cfg, cfg.Source })
	return e
}

// write replaces the file in one step, as editors do.
func (e edited) write(t *testing.T, text string) {
	t.Helper()
	if err := errors.Join(os.WriteFile(e.path+".new", []byte(text), 0o600), os.Rename(e.path+".new", e.path)); err != nil {
		t.Fatal(err)
	}
}

// becomes waits until a condition holds.
func becomes(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: " + what)
		}
	}
}

// An edit holds for tunnels that are opened and for requests in those that are open; a
// file that cannot be read changes nothing, and is told of.
func TestPolicyIsLive(t *testing.T) {
	t.Parallel()
	base := leadsTo(t, "origin.test", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) })) + "[policy]\n"
	d := startEdited(t, base)
	client := d.client(t)
	get := func() int {
		res, err := client.Get("https://origin.test/x")
		if err != nil {
			return 0
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		return res.StatusCode
	}
	connects := func() int {
		_, res, _ := d.connect(t, "origin.test:443")
		return res.StatusCode
	}
	if get() != 200 || connects() != 200 {
		t.Fatal("it is not allowed to begin with")
	}
	d.write(t, base+"deny = [\"origin.test/x\"]\n")
	becomes(t, "a request in an open tunnel is refused by a rule on requests", func() bool { return get() == 403 })
	if connects() != 200 {
		t.Error("the host is refused")
	}
	d.write(t, base+"deny = [\"origin.test\"]\n")
	becomes(t, "a new tunnel is refused", func() bool { return connects() == 403 })
	if get() != 403 {
		t.Error("a request in an open tunnel passes although its host is denied")
	}
	for _, broken := range []string{base + "dney = []\n", "", base + "deny = [\"a b\"]\n"} {
		d.write(t, broken)
		becomes(t, "the problem is told", func() bool { return d.document(t).PolicyProblem != "" })
		if connects() != 403 {
			t.Error("half a policy is in force")
		}
		res, err := http.Get("http://" + d.address() + "/__agentproxy/")
		if err != nil {
			t.Fatal(err)
		}
		if page, err := io.ReadAll(res.Body); err != nil || !strings.Contains(string(page), "The old policy stays in force") {
			t.Errorf("the page says nothing of it: %v", err)
		}
		res.Body.Close()
		d.write(t, base+"deny = [\"origin.test\"]\n# again\n")
		becomes(t, "the problem has gone", func() bool { return d.document(t).PolicyProblem == "" })
	}
	if !strings.Contains(d.log.String(), "the old policy stays in force") {
		t.Error("the log says nothing of it")
	}
	if err := os.Remove(d.path); err != nil {
		t.Fatal(err)
	}
	becomes(t, "it is told that the file has gone", func() bool { return d.document(t).PolicyProblem != "" })
	if connects() != 403 {
		t.Error("without its file everything is allowed")
	}
	d.write(t, base)
	becomes(t, "what was denied is allowed again, in the same tunnel", func() bool { return get() == 200 })
}

// The tunnel's user can have the policy read at once.
func TestReloadRoute(t *testing.T) {
	t.Parallel()
	d := startEdited(t, "[policy]\n")
	d.write(t, "[policy]\ndeny = [\"a.example\"]\n")
	reload := func() (answer contract.Reloaded) {
		res := d.ask(t, rundir.RoleClient, http.MethodPost, contract.ReloadPath, nil)
		defer res.Body.Close()
		if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
			t.Fatal(err)
		}
		return answer
	}
	if answer := reload(); answer.Problem != "" || answer.Path != d.path {
		t.Errorf("%+v", answer)
	}
	if _, res, _ := d.connect(t, "a.example:443"); res.StatusCode != 403 {
		t.Errorf("%s", res.Status)
	}
	d.write(t, "[policy\n")
	if answer := reload(); !strings.Contains(answer.Problem, "config.toml:1:") {
		t.Errorf("%+v", answer)
	}
}

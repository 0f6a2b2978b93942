package daemon

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/policy"
)

// While an isolated run is under way, which may have written the files itself, only the
// tunnel's own route has them read.
func TestIsolatedRunsKeepTheirPolicy(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "config.toml")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("[policy]\ndefault = \"deny\"\n")
	cfg, err := config.Load(path, func(string) string { return "" }, "")
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.New(cfg.Rules())
	if err != nil {
		t.Fatal(err)
	}
	isolated := &captured{isolated: true}
	d := &daemon{options: Options{Log: slog.New(slog.DiscardHandler)}, captures: &captures{networks: []*captured{isolated}}}
	d.live.source = cfg.Source
	d.live.now.Store(cfg)
	d.live.decide.Store(p)
	target, err := policy.ParseTarget("a.example:443")
	if err != nil {
		t.Fatal(err)
	}
	allowed := func() bool { return d.live.decide.Load().Decide(target).Allowed }

	write("[policy]\ndefault = \"deny\"\nallow = [\"a.example\"]\n")
	d.reload(false, false)
	d.reload(true, false)
	if allowed() {
		t.Error("an edit holds for an isolated run")
	}
	if d.reload(true, true); !allowed() {
		t.Error("what the user asks for is not done")
	}
	write("[policy]\ndefault = \"deny\"\n# again\n")
	isolated.isolated = false
	if d.reload(false, false); allowed() {
		t.Error("an edit does not hold once the isolated run has ended")
	}
}

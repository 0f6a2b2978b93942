package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/proxytest"
	"github.com/agentproxy/agentproxy/proxy/proxytest/leftout"
)

// asker is what agentproxy ask is tried with.
type asker struct {
	env    []string
	config string
}

func newAsker(t *testing.T) asker {
	t.Helper()
	a := asker{env: sandbox(t), config: filepath.Join(t.TempDir(), "config.toml")}
	root := proxytest.NewCA(t, "root")
	addr := proxytest.Origin(t, root.Issue(t, nil, nil, "one.test", "two.test"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s\n", r.Host, r.URL.Path)
	}))
	pem := filepath.Join(t.TempDir(), "root.pem")
	text := fmt.Sprintf("[egress]\nextra_roots = [%q]\n[egress.connect_to]\n\"one.test:443\" = %q\n\"two.test:443\" = %q\n[policy] # mine\nmode = \"ask\"\ndefault = \"deny\"\nask_timeout = \"50s\"\nallow = [\"two.test/open\"] # by hand\n",
		pem, addr, addr)
	if err := os.WriteFile(pem, root.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	a.env = append(a.env, "AGENTPROXY_CONFIG="+a.config)
	return a
}

// fetching runs a command, and tells what it printed and how it ended.
func (a asker) fetching(t *testing.T, args ...string) chan string {
	printed := make(chan string, 1)
	cmd := agentproxy(t, a.env, append([]string{"exec"}, args...)...)
	go func() {
		out, err := cmd.CombinedOutput()
		printed <- fmt.Sprintf("%s%v", out, err)
	}()
	return printed
}

// A person answers in one terminal what is refused in another.
func TestAsk(t *testing.T) {
	t.Parallel()
	a := newAsker(t)
	if inRun(thisProcess()) {
		leftout.Note(t, "agentproxy ask, as these tests are part of a run")
		return
	}
	var printed chan string
	fetching := func(args ...string) func(*os.File) {
		return func(*os.File) { printed = a.fetching(t, args...) }
	}
	prints := func(want string, next func(*os.File)) func(*os.File) {
		return func(terminal *os.File) {
			if got := <-printed; !strings.Contains(got, want) {
				t.Errorf("%s, want %s", got, want)
			}
			next(terminal)
		}
	}
	screen := dialog{
		{"is asked about here", typing("p\n")},
		{"no tunnel is running", fetching("--", "fetch", "https://one.test/a")},
		{"wants one.test:443\r\n", typing("what?\n")},
		{"[n]o? what?\r\n\r\nfetch (pid", typing("o\n")},
		{"[n]o? o\r\n", prints("one.test /a\n<nil>", fetching("--", "fetch", "https://two.test/b?token=s3cret"))},
		{"wants GET /b on two.test:443\r\n", typing("n\n")},
		{"[n]o? n\r\n", prints("policy_denied · two.test:443 · GET /b on two.test:443 is on no allowlist", fetching("--", "sh", "-c", "fetch https://two.test/c && fetch https://two.test/c"))},
		{"wants GET /c on two.test:443\r\n", typing("r\n")},
		{"[n]o? r\r\n", prints("two.test /c\ntwo.test /c\n<nil>", fetching("--", "fetch", "https://two.test/d"))},
		{"wants GET /d on two.test:443\r\n", typing("a\n")},
		{`allows "GET two.test/d" now`, prints("two.test /d\n<nil>", fetching("--no-ask", "--", "fetch", "https://two.test/d", "https://two.test/e"))},
		{`allows "GET two.test/d" now`, prints("policy_denied · two.test:443 · GET /e", func(*os.File) {
			ci := a
			ci.env = append(slices.Clone(a.env), "CI=true")
			printed = ci.fetching(t, "--", "fetch", "https://one.test/a")
		})},
		{`allows "GET two.test/d" now`, prints("policy_denied · one.test:443", typing("\x03"))},
	}.play(t, agentproxy(t, a.env, "ask", "--page"))
	if strings.Contains(screen, "s3cret") || strings.Count(screen, " wants ") != 5 || strings.Count(screen, "/__agentproxy/#") != 2 { // the edited file has another tunnel
		t.Errorf("screen: %s", screen)
	}
	after, err := os.ReadFile(a.config)
	before, errBefore := os.ReadFile(a.config + config.BackupSuffix)
	want := strings.Replace(string(before), "allow = [", `allow = ["GET two.test/d", `, 1)
	if err != nil || errBefore != nil || string(after) != want || !strings.Contains(want, "# by hand") {
		t.Errorf("%v, %v: %s", err, errBefore, after)
	}
}

// On a desktop a notification tells of what begins to wait, without its path; where it is switched off, none does.
func TestAskNotifies(t *testing.T) {
	t.Parallel()
	a := newAsker(t)
	if inRun(thisProcess()) {
		leftout.Note(t, "agentproxy ask, as these tests are part of a run")
		return
	}
	told, bin := filepath.Join(t.TempDir(), "told"), t.TempDir()
	standIn := "#!/bin/sh\n{ printf '%s|' \"$@\"; echo; } >> '" + told + "'\n"
	if err := os.WriteFile(filepath.Join(bin, "notify-send"), []byte(standIn), 0o700); err != nil {
		t.Fatal(err)
	}
	a.env = append(a.env, "DISPLAY=:99", "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	silent := a
	silent.config = filepath.Join(t.TempDir(), "silent.toml")
	text, err := os.ReadFile(a.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(silent.config, []byte(strings.Replace(string(text), "mode =", "notify = false\nmode =", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	silent.env = append(slices.Clone(a.env), "AGENTPROXY_CONFIG="+silent.config)
	var printed chan string
	dialog{
		{"is asked about here", func(*os.File) { printed = silent.fetching(t, "--", "fetch", "https://two.test/silent") }},
		{"wants GET /silent on two.test:443\r\n", typing("n\n")},
		{"[n]o? n\r\n", func(*os.File) {
			<-printed
			printed = a.fetching(t, "--", "fetch", "https://two.test/bot-s3cret")
		}},
		{"wants GET /bot-s3cret on two.test:443\r\n", func(terminal *os.File) {
			for {
				text, err := os.ReadFile(told)
				if err == nil && strings.HasSuffix(string(text), "\n") {
					break
				}
			}
			typing("n\n")(terminal)
		}},
		{"[n]o? n\r\n", func(terminal *os.File) {
			<-printed
			typing("\x03")(terminal)
		}},
	}.play(t, agentproxy(t, a.env, "ask"))
	got, err := os.ReadFile(told)
	if err != nil || !regexp.MustCompile(`^--app-name=agentproxy\|--\|agentproxy asks\|fetch \(pid \d+\), run \w+ wants GET something on two.test:443\|\n$`).Match(got) {
		t.Errorf("%v: %s", err, got)
	}
}

// What a command calls itself is no markup of a notification's.
func TestNoticeIsText(t *testing.T) {
	q := contract.Question{Process: `<a href="https://evil.example">&`, PID: 1, Host: "a.example:443"}
	if got := notice(q); got != `&lt;a href="https://evil.example"&gt;&amp; (pid 1) wants a.example:443` {
		t.Error(got)
	}
}

// Where nobody listens nobody is asked, and a run answers nothing.
func TestNobodyIsAsked(t *testing.T) {
	t.Parallel()
	a := newAsker(t)
	if got := <-a.fetching(t, "--", "fetch", "https://one.test/"); !strings.Contains(got, "policy_denied · one.test:443") {
		t.Error(got)
	}
	out, err := agentproxy(t, a.env, "ask").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "a terminal only") && !strings.Contains(string(out), "a run cannot answer") {
		t.Errorf("stdin is no terminal: %s", out)
	}
	for name, command := range map[string][]string{
		"in a run":                 {"agentproxy", "ask"},
		"below one":                {"sh", "-c", "env -u AGENT_PROXY_RUN agentproxy ask; exit 1"},
		"in one without its marks": {"env", "-u", "AGENT_PROXY_RUN", "sh", "-c", "agentproxy ask; exit 1"},
	} {
		inside := within(t, a.env, "agentproxy", append([]string{"exec", "--"}, command...)...)
		if screen := (dialog{}).play(t, inside); !strings.Contains(screen, "a run cannot answer") {
			t.Errorf("%s: %s", name, screen)
		}
	}
}

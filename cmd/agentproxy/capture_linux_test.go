package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/agentproxy/agentproxy/proxy/proxytest/leftout"
)

// An ordinary user's command stays that user's in its own network: the same number,
// no capability, and the roots of the run in place of the machine's. The shell's
// questions about itself are its output.
func TestAnOrdinaryUserIsCaptured(t *testing.T) {
	p := people(t, 1)[0]
	if err := os.Symlink(p.exe, strings.TrimSuffix(p.exe, "agentproxy")+"fetch"); err != nil {
		t.Fatal(err)
	}
	out, errs, err := p.run(nil, "exec", "--capture", "always", "--", "sh", "-c",
		`id -u; id -g; grep -E 'Cap(Inh|Prm|Eff|Amb)' /proc/self/status; touch "$HOME/file"; readlink /proc/self/ns/net
		 env -i PATH="$PATH" fetch https://nobody.no-such-name/`)
	if strings.Contains(errs, "no network of its own can be made") {
		leftout.Note(t, "an ordinary user's network of its own, which this system refuses")
		return
	}
	if err == nil || !strings.Contains(errs, "fetch: 502 Bad Gateway") || !strings.Contains(errs, "upstream_failed · nobody.no-such-name:443") {
		t.Errorf("%v: %s", err, errs)
	}
	lines := strings.Split(out, "\n")
	if len(lines) < 8 || lines[0] != fmt.Sprint(p.uid) || lines[1] != fmt.Sprint(p.uid) {
		t.Fatalf("printed %q", out)
	}
	for _, line := range lines[2:6] {
		if strings.Trim(strings.SplitN(line, ":", 2)[1], "\t0") != "" {
			t.Errorf("the command has capabilities: %s", line)
		}
	}
	if own, err := os.Readlink("/proc/self/ns/net"); err != nil || lines[6] == own {
		t.Errorf("its network is ours: %s, %v", lines[6], err)
	}
	info, err := os.Stat(p.home + "/file")
	if err != nil || int(info.Sys().(*syscall.Stat_t).Uid) != p.uid {
		t.Errorf("its file is %v, %v", info, err)
	}
}

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a failing command writes into a file is read, too, from where it began:
// the verdict is surer when it names the host that could not be reached.
func TestOutputIntoFilesIsRead(t *testing.T) {
	env, dir := sandbox(t), t.TempDir()
	const script = "fetch https://no-such-name.invalid/ 2>/dev/null; echo $0; exit 1"
	for name, redirect := range map[string]string{"both": ">>log 2>&1", "errors": "2>err >>log"} {
		for says, named := range map[string]bool{"no-such-name.invalid is not there": true, "something else": false} {
			log := filepath.Join(dir, "log")
			// What was there before is another command's.
			if err := os.WriteFile(log, []byte("no-such-name.invalid\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := scripted(t, env, `cd "$1"; agentproxy exec --verdict-file=why -- sh -c '`+script+`' "$2" `+redirect, dir, says)
			dialog{}.play(t, cmd)
			why, err := os.ReadFile(filepath.Join(dir, "why"))
			if err != nil || strings.Contains(string(why), `"confidence":0.85`) != named {
				t.Errorf("%s, %q: %s, %v", name, says, why, err)
			}
		}
	}
}

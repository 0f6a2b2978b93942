package child

import (
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/agentproxy/agentproxy/proxy/proxytest/process"
	"golang.org/x/sys/unix"
)

// What the command leaves behind may be waiting for a key on its terminal: we do not
// wait with it.
func TestStragglersThatRead(t *testing.T) {
	c := script(t, relay, `cat </dev/tty & reader=$!
		until [ "$(cat /proc/$reader/comm)" = cat ]; do sleep 0.02; done
		sleep 0.2 # until it waits, most likely
		echo $reader`).underShell(`"$@"; echo returned`)
	s := process.OnTerminal(t, c.Cmd)
	s.Await("returned\r\n")
	reader, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(s.Shown(), "returned\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	unix.Kill(reader, syscall.SIGKILL)
	s.End()
}

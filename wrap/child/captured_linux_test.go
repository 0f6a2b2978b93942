package child

import (
	"os"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/proxy/proxytest/leftout"
	"github.com/agentproxy/agentproxy/proxy/proxytest/process"
)

// network is what a shell prints of the network that it is in.
const network = "readlink /proc/self/ns/net"

// A command that is captured is in a network of its own, on a pipe and on a terminal
// alike, and ends as any.
func TestCaptured(t *testing.T) {
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for how, run := range map[string]func(c *test) string{
		captured: func(c *test) string {
			out := c.onPipe().rest()
			c.Wait()
			return out
		},
		captured + relay: func(c *test) string { return process.OnTerminal(t, c.Cmd).End() },
	} {
		t.Run(how, func(t *testing.T) {
			c := script(t, how, network+"; exit 7")
			out := run(c)
			r := c.report()
			if r.Refused {
				leftout.Note(t, "a network of its own for a command, which this system refuses")
				return
			}
			if r.Result.Code != 7 || !strings.HasPrefix(out, "net:[") || strings.TrimSpace(out) == own || !strings.Contains(r.Captured, "diag") {
				t.Errorf("%+v; %q", r, out)
			}
		})
	}
}

// What cannot be executed is told as without a network.
func TestCapturedCommandsThatDoNotStart(t *testing.T) {
	for _, how := range []string{captured, captured + relay} {
		c := command(t, how, noProgram(t))
		if strings.Contains(how, relay) {
			process.OnTerminal(t, c.Cmd).End()
		} else {
			c.onPipe().rest()
			c.Wait()
		}
		r := c.report()
		if r.Refused {
			leftout.Note(t, "a network of its own for a command, which this system refuses")
			return
		}
		if c.ProcessState.ExitCode() != StatusNotFound && c.ProcessState.ExitCode() != StatusNotExecutable || !strings.Contains(r.Err, "broken") {
			t.Errorf("%s: ended with %v, %+v", how, c.ProcessState, r)
		}
	}
}

//go:build !linux

package capture

import (
	"errors"
	"io"
	"os/exec"

	"github.com/agentproxy/agentproxy/proxy/capture/sockets"
)

// Stage cannot be run on this system.
func Stage([]string) error { return errors.New("there are no namespaces on this system") }

// Run is a command that is to be captured.
type Run struct{}

// New says that there is no capture on this system.
func New(Options, func(*sockets.Set) error) (*Run, error) {
	return nil, &Refused{What: "capture", Err: errors.New("only Linux has the namespaces that it takes")}
}

// Begin is never called.
func (*Run) Begin(path string, argv []string) (string, []string, error) { return path, argv, nil }

// Finish is never called.
func (*Run) Finish() error { return nil }

// Abandon is never called.
func (*Run) Abandon() {}

// FallBack is never called.
func (*Run) FallBack(error) bool { return false }

// Leave is never called.
func (*Run) Leave() {}

// Supervise cannot be run on this system.
func Supervise(io.Reader) error { return errors.New("there is no supervisor on this system") }

// Clone changes nothing.
func Clone(*exec.Cmd) {}

// Release changes nothing.
func Release([]string) {}

// Refusal returns the error.
func (*Run) Refusal(err error) error { return err }

// Isolate finds nothing.
func Isolate(string, []string, []string) Isolation { return Isolation{} }

// Try says that there is none.
func Try(bool) (Means, error) {
	_, err := New(Options{}, nil)
	return "", err
}

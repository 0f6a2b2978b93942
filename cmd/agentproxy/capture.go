package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/wrap/capture"
	"github.com/agentproxy/agentproxy/wrap/session"
	"github.com/spf13/pflag"
)

func stageCommand() *command {
	return &command{
		name: capture.StageCommand, hidden: true, runs: true, short: "Become a command in a network of its own (started by exec --capture)",
		define: func(*pflag.FlagSet) action {
			return func(_ context.Context, proc *process, args []string) error { return capture.Stage(args) }
		},
	}
}

func superviseCommand() *command {
	return &command{
		name: capture.SuperviseCommand, hidden: true, runs: true, short: "Connect for what a command has left behind (started by exec --capture)",
		define: func(*pflag.FlagSet) action {
			return func(_ context.Context, proc *process, args []string) error { return capture.Supervise(proc.In) }
		},
	}
}

func (f *execFlags) checkCapture(name string) error {
	switch {
	case f.capture != "" && !slices.Contains(config.Captures, f.capture):
		return hint(fmt.Errorf("--capture is %s, not %q", strings.Join(config.Captures, ", "), f.capture), "agentproxy exec --capture always -- %s", name)
	case f.isolate && f.capture != "" && f.capture != string(session.CaptureAlways):
		return hint(fmt.Errorf("--isolate is --capture always, and not %s", f.capture), "agentproxy exec --isolate -- %s", name)
	case len(f.publish) > 0 && !f.isolate:
		return hint(errors.New("--publish goes with --isolate: without it every port is published"), "agentproxy exec --isolate --publish %d -- %s", f.publish[0], name)
	case slices.ContainsFunc(f.publish, func(port uint) bool { return port == 0 || port > 65535 }):
		return hint(errors.New("--publish takes ports, from 1 to 65535"), "agentproxy exec --isolate --publish 8080 -- %s", name)
	case (f.isolate || f.capture == string(session.CaptureAlways)) && f.noWatch:
		return hint(errors.New("--no-watch leaves no process of ours, and a command's own network needs one"), "agentproxy exec --capture always -- %s", name)
	}
	return nil
}

// published are the ports of --publish, which have been checked.
func (f *execFlags) published() (ports []uint16) {
	for _, port := range f.publish {
		ports = append(ports, uint16(port))
	}
	return ports
}

// defaultCapture is where nothing else is said; the matrix builds with another
// (testdata/matrix/run --capture).
var defaultCapture = string(session.CaptureAuto)

// captureVariable says so for the runs of a hooked shell, or of an agent.
const captureVariable = "AGENTPROXY_CAPTURE"

// captured is when the command gets a network of its own: as the flag says, else the
// variable, else the configuration, else where nothing narrower works.
func (f *execFlags) captured(proc *process, cfg *config.Config) session.Capture {
	switch {
	case f.noWatch:
		return session.CaptureNever
	case f.isolate:
		return session.CaptureAlways
	case f.capture != "":
		return session.Capture(f.capture)
	case slices.Contains(config.Captures, proc.Getenv(captureVariable)):
		return session.Capture(proc.Getenv(captureVariable))
	case cfg.Exec.Capture != "":
		return session.Capture(cfg.Exec.Capture)
	}
	return session.Capture(defaultCapture)
}

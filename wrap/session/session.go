// Package session is one exec, from a command line to its end. This is the way of
// "agentproxy exec -- npm install", and the files follow it:
//
//	detect.go    which tools the command starts, and what stands in their way here
//	acquire.go   the tunnel that is wanted, found or started; the run attached to it
//	plan.go      what the command is given; the files that it is pointed at
//	attempt.go   the command runs; when it fails, why
//	again.go     once more, when a change of ours cures that and nothing else happened
//	capture.go   whether the command gets a network of its own, from the start or then
//	conclude.go  the verdict, spoken and remembered
//
// What it needs of the world comes through Ports, so that all of it can be tested
// without a process.
package session

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"

	"github.com/agentproxy/agentproxy/profiles"
	"github.com/agentproxy/agentproxy/profiles/detect"
	"github.com/agentproxy/agentproxy/profiles/rules"
	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/proxy/guard"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/wrap/capture"
	"github.com/agentproxy/agentproxy/wrap/child"
	"github.com/agentproxy/agentproxy/wrap/learned"
	"github.com/agentproxy/agentproxy/wrap/plan"
	"github.com/agentproxy/agentproxy/wrap/verdict"
)

// Options say what to run, and how.
type Options struct {
	// Argv is the command line. None stands for whatever may be started: it gets
	// what is harmless to every tool.
	Argv []string
	// Environ is the environment that the command would have without us.
	Environ []string
	// Tunnel says which tunnel is wanted.
	Tunnel  attach.Options
	Library *profiles.Library
	// Retry is Never, Safe or Ask; "" is Never.
	Retry Retry
	// VerdictFile gets the verdict as JSON; "" is none.
	VerdictFile string
	// NoPreload loads no hook of ours into an interpreter.
	NoPreload bool
	// PTY puts a pseudo terminal before any command on a terminal, NoPTY before
	// none; else those with a profile get one.
	PTY, NoPTY bool
	// Capture says when the command gets a network of its own.
	Capture Capture
	// Isolate leaves the command no way past that network; it wants CaptureAlways.
	// Publish are ports of the command's that are reached from this machine's loopback.
	Isolate bool
	Publish []uint16
	// ID is the run's identity for Plan; Run makes one.
	ID string
	// Uses are facts of the plan that are wanted beside those it needs.
	Uses []string
	// Verbose also says what is unclear, and all that the tunnel saw go wrong.
	Verbose bool
}

// Retry says when a command that has failed is run once more.
type Retry string

// The values of Retry. A second run is safe when the first has provably done
// nothing but fail, or its profile says that it may be run again.
const (
	Never Retry = "never"
	Safe  Retry = "safe"
	Ask   Retry = "ask"
)

// Ports are what a session needs of the world. Acquire and Run may be nil, for
// the real ones.
type Ports struct {
	Acquire Acquire
	Run     func(child.Command, child.Options) (child.Result, error)
	Console Console
	Memory  Memory
}

// Console speaks to whoever has typed the command.
type Console interface {
	// Say prints one message of ours.
	Say(format string, args ...any)
	// Notices says what there is to know of a tunnel before it is used.
	Notices(*attach.Tunnel)
	// Plan warns of what is in a plan that users are to hear of.
	Plan(plan.Plan)
	// Again announces a second attempt; Ask asks for it.
	Again(detect.Remedy, verdict.Verdict)
	Ask(detect.Remedy) bool
	// Verdict says why the command failed.
	Verdict(verdict.Verdict)
	// Failures lists all that the tunnel saw go wrong.
	Failures([]*status.Failure, *child.Output)
	// Seen tells what the tunnel saw of a run whose policy only reports.
	Seen(id string, seen *status.Evidence)
}

// Memory is what lasts from one run to the next.
type Memory interface {
	// Has reports whether a fix has helped before.
	Has(learned.Fix) bool
	Learn(learned.Fix) error
	// Unlearn forgets the fixes that match.
	Unlearn(func(learned.Fix) bool) error
	Remember(verdict.Entry) error
	RememberFault(*guard.Fault) error
}

// session is one exec.
type session struct {
	Options
	Ports
	detecting <-chan *detection
	known     *detection // what that came to
	// steps are the tools that an image's build starts.
	steps []detect.Tool
	// cured is a class of failure that a first attempt has ended with, and that
	// the second is to do something about.
	cured rules.Class
	// again is true for a second attempt.
	again bool
	// capturing is true when the command gets a network of its own, refused is why it
	// could not.
	capturing   bool
	refused     *capture.Refused
	verdictFile *os.File
}

func newSession(o Options, p Ports) *session {
	s := &session{Options: o, Ports: p}
	if s.Acquire == nil {
		s.Acquire = acquire
	}
	if s.Run == nil {
		s.Run = child.Run
	}
	return s
}

// NewID returns an identity for a run, which nobody can guess.
func NewID() string { return rand.Text() }

// Run runs the command, once more where a change of ours cures its failure, and
// returns how it ended. An error is a failure of ours: the command has not run.
func Run(ctx context.Context, o Options, p Ports) (child.Result, error) {
	s := newSession(o, p)
	if err := s.openVerdict(); err != nil {
		return child.Result{}, fmt.Errorf("--verdict-file: %w", err)
	}
	s.begin(ctx)
	stdin := holdStdin()
	a, err := s.attempt(ctx)
	if err != nil {
		return child.Result{}, err
	}
	if remedy, ok := s.remedy(a); ok && stdin.untouched() && s.wanted(remedy, a) {
		s.cured, s.again = remedy.Class, true
		s.begin(ctx)
		if a, err = s.attempt(ctx); err != nil {
			return child.Result{}, err
		}
		if a.result.OK() {
			fix := learned.Fix{Tool: remedy.Tool, Version: remedy.Version, Class: remedy.Class}
			a.note(guard.Do("remembering what helped", func() { s.learn(fix) }))
		}
	}
	if remedy, ok := s.captureRemedy(a); ok && stdin.untouched() && s.wanted(remedy, a) {
		if a, err = s.capturedAttempt(ctx, a); err != nil {
			return child.Result{}, err
		}
	}
	a.note(guard.Do("telling why it failed", func() { s.conclude(a) }))
	for _, f := range append(a.faults, s.known.faults...) {
		s.noteFault(f)
	}
	return a.result, nil
}

// begin gives the run an identity and looks at the command while the tunnel is
// acquired.
func (s *session) begin(ctx context.Context) {
	s.ID = NewID()
	s.detecting = s.detect(ctx)
}

// noteFault writes a fault of ours down. The command's own end is told as it is.
func (s *session) noteFault(f *guard.Fault) {
	if s.Verbose {
		s.Console.Say("%s; agentproxy report has more", f)
	}
	guard.Do("writing a fault down", func() {
		if err := s.Memory.RememberFault(f); err != nil && s.Verbose {
			s.Console.Say("%s", err)
		}
	})
}

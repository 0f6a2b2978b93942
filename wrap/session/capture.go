package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/profiles"
	"github.com/agentproxy/agentproxy/profiles/detect"
	"github.com/agentproxy/agentproxy/profiles/env"
	"github.com/agentproxy/agentproxy/profiles/rules"
	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/proxy/capture/sockets"
	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/proxy/trust"
	"github.com/agentproxy/agentproxy/wrap/capture"
	"github.com/agentproxy/agentproxy/wrap/learned"
	"github.com/agentproxy/agentproxy/wrap/plan"
	"github.com/agentproxy/agentproxy/wrap/verdict"
)

// Capture says when a command gets a network of its own.
type Capture string

// The values of Capture: where nothing narrower works, always, or never, which is ""
// as well.
const (
	CaptureAuto   Capture = "auto"
	CaptureAlways Capture = "always"
	CaptureNever  Capture = "never"
)

// choose decides whether the command gets a network of its own, once it is known what
// it is. What is in one already gets one more: its evidence is its own then.
func (s *session) choose() {
	switch {
	case s.refused != nil, s.Capture == "", s.Capture == CaptureNever:
		s.capturing = false
	case s.Capture == CaptureAlways, s.isCaptured(), s.known.captureHelps, s.needsCapture():
		s.capturing = true
	}
}

// isCaptured reports whether we are in another run's network ourselves.
func (s *session) isCaptured() bool { return s.Tunnel.Getenv(contract.CapturedVariable) != "" }

// needsCapture reports whether a tool in the command works in no narrower way.
func (s *session) needsCapture() bool {
	return s.Capture == CaptureAuto && !s.needsPrivileges() && slices.ContainsFunc(s.known.tools.Tools, func(t detect.Tool) bool { return t.Capture })
}

// captureHelps reports whether a network of its own has helped the command here.
func (s *session) captureHelps(dir string) bool {
	if s.Capture != CaptureAuto {
		return false
	}
	fix := learned.Fix{Tool: s.key(), Project: learned.Project(dir), Capture: true}
	return slices.ContainsFunc(captured, func(class rules.Class) bool {
		fix.Class = class
		return s.Memory.Has(fix)
	})
}

// captured are the classes of failures that a network of its own cures.
var captured = []rules.Class{rules.ProxyBypassed, rules.TLSTrust}

// name is by which the command is called.
func (s *session) name() string {
	if len(s.Argv) == 0 {
		return ""
	}
	return filepath.Base(s.Argv[0])
}

// key is by which it is remembered what helped: the name, with the script or command
// behind it where that only starts others.
func (s *session) key() string {
	name := s.name()
	if !slices.Contains(starters, profiles.Unversioned(name)) {
		return name
	}
	for _, arg := range s.Argv[1:] {
		if !strings.HasPrefix(arg, "-") && !strings.Contains(arg, "=") {
			first, _, _ := strings.Cut(arg, "\n")
			return name + " " + filepath.Base(first[:min(len(first), 60)])
		}
	}
	return name
}

// starters are programs that are not what is run, without their versions.
var starters = []string{"env", "sudo", "doas", "su", "timeout", "nice", "nohup", "time", "xargs", "sh", "bash", "dash", "zsh", "fish", "ksh", "busybox",
	"python", "pypy", "node", "nodejs", "ruby", "perl", "php", "java", "deno", "bun", "lua", "tclsh", "Rscript", "npx", "uv", "uvx", "pipx", "go", "cargo", "make"}

// network is what gives the command its own, nil for none.
func (s *session) network(planned plan.Plan, tunnel *attach.Tunnel, attachment Attachment) (*capture.Run, error) {
	if !s.capturing {
		return nil, nil
	}
	rules, err := policy.New(s.Tunnel.Config.Rules())
	if err != nil {
		return nil, err
	}
	ports := []uint16{443, 80, 22}
	for _, port := range rules.Ports() {
		if !slices.Contains(ports, port) && port != capture.DNSPort {
			ports = append(ports, port)
		}
	}
	mounts, err := s.mounts(planned, tunnel)
	if err != nil {
		return nil, err
	}
	options := capture.Options{Ports: ports, Mounts: mounts}
	if !s.Isolate {
		return capture.New(options, attachment.HandOver)
	}
	reach, err := s.Tunnel.Config.Isolate.Ports()
	if err != nil {
		return nil, err
	}
	options.Isolation = s.isolation(planned, tunnel)
	options.Isolation.Reach = reach
	return capture.New(options, func(set *sockets.Set) error {
		set.Isolated = &sockets.Isolated{Reach: reach, Publish: s.Publish}
		return attachment.HandOver(set)
	})
}

// isolation is what is taken away from an isolated command. Of our directories it keeps
// the files that its environment and its arguments name.
func (s *session) isolation(planned plan.Plan, tunnel *attach.Tunnel) *capture.Isolation {
	dirs := []string{tunnel.Dir}
	if candidates, err := rundir.Candidates(s.Tunnel.Getenv); err == nil {
		dirs = append(dirs, slices.DeleteFunc(candidates, func(dir string) bool { return dir == tunnel.Dir })...)
	}
	values := slices.Clone(planned.Argv)
	for _, c := range planned.Changes {
		values = append(values, c.Value)
	}
	var kept []string
	for _, word := range strings.FieldsFunc(strings.Join(values, " "), func(r rune) bool { return strings.ContainsRune(" =:,;'\"", r) }) {
		isOurs := strings.HasPrefix(word, tunnel.Dir+"/") || strings.HasPrefix(word, rundir.Public(tunnel.Dir)+"/")
		if isOurs && !slices.Contains(kept, word) {
			kept = append(kept, word)
		}
	}
	isolation := capture.Isolate(env.Get(s.Environ, "XDG_RUNTIME_DIR"), dirs, kept)
	return &isolation
}

// mounts are what the command sees in place of the machine's roots.
func (s *session) mounts(planned plan.Plan, tunnel *attach.Tunnel) ([]capture.Mount, error) {
	getenv := func(name string) string { return env.Get(s.Environ, name) }
	roots := trust.RunRoots{
		System: trust.System{Home: planned.Fact("home"), Getenv: getenv},
		Bundle: planned.Fact("bundle"), CA: planned.Fact("ca"), Dir: rundir.Public(tunnel.Dir), Path: getenv("PATH"), Cwd: s.known.system.Dir, Program: s.known.system.LookPath(planned.Argv[0]), Argv: s.Argv,
	}
	overs, err := roots.Overs()
	if err != nil {
		return nil, err
	}
	var mounts []capture.Mount
	for _, o := range overs {
		mounts = append(mounts, capture.Mount{Source: o.Source, Target: o.Target})
	}
	return mounts, nil
}

// mayGoOn reports whether a command whose network could not be made is to run without
// one. Then it has not begun. In another run's network it is captured all the same.
func (s *session) mayGoOn(err error) bool {
	if !errors.As(err, &s.refused) || s.Isolate || s.Capture == CaptureAlways && !s.isCaptured() || s.again {
		return false
	}
	if s.Verbose {
		s.Console.Say("%s; going on without", s.refused)
	}
	return true
}

// couldCapture reports whether a network of its own is to be had, and cures failures
// of the class.
func (s *session) couldCapture(class rules.Class) bool {
	return runtime.GOOS == "linux" && s.Capture == CaptureAuto && !s.capturing && s.refused == nil && slices.Contains(captured, class) && !s.needsPrivileges()
}

// needsPrivileges reports whether an ordinary user's command becomes another user:
// setuid programs gain nothing in a user namespace.
func (s *session) needsPrivileges() bool {
	return os.Geteuid() != 0 && slices.ContainsFunc(s.known.tools.Tools, func(t detect.Tool) bool { return t.Resets != nil && t.Name != "env" })
}

// captureRemedy is a network of its own, for a failure that it cures, if the first
// attempt has provably done nothing but fail. What happens inside a container is mostly
// a daemon's doing, which stays in the network that it has.
func (s *session) captureRemedy(a attempt) (detect.Remedy, bool) {
	v := a.verdict
	if v.Container || slices.Contains(askers, s.name()) || a.result.OK() || a.result.Closed || !s.mayRetry() || !s.couldCapture(v.Class) || v.Source == verdict.Environment || a.seen == nil || !reachedNobody(a.seen) {
		return detect.Remedy{}, false
	}
	return detect.Remedy{Tool: s.name(), Class: v.Class, Reason: "a network of its own, all of which leads into the tunnel"}, true
}

// askers are programs that show what a name server says. In a network of our own that is
// what we say, and no answer to their question.
var askers = []string{"dig", "delv", "drill", "host", "nslookup", "getent", "resolvectl", "whois"}

// reachedNobody reports whether no request of a run can have reached an origin: it
// opened no tunnel, or closed each because of the certificate.
func reachedNobody(seen *status.Evidence) bool {
	opened, rejected := seen.Unattributed, 0
	for _, h := range seen.Hosts {
		opened += h.Opened
	}
	for _, f := range seen.Failures {
		if f.Kind == status.ClientTLSRejected {
			rejected++
		}
	}
	return opened <= rejected
}

// capturedAttempt runs the command once more, in a network of its own. Where that
// cannot be made the first attempt stands.
func (s *session) capturedAttempt(ctx context.Context, first attempt) (attempt, error) {
	class := first.verdict.Class
	s.capturing, s.again = true, true
	s.begin(ctx)
	a, err := s.attempt(ctx)
	if errors.As(err, &s.refused) {
		s.capturing = false
		s.adviseCapture(&first.verdict)
		return first, nil
	}
	if err == nil && a.result.OK() {
		s.learn(learned.Fix{Tool: s.key(), Class: class, Capture: true})
	}
	return a, err
}

// adviseCapture says what to type where a network of its own would help, and never
// that where it is in effect.
func (s *session) adviseCapture(v *verdict.Verdict) {
	circular := strings.Contains(v.Advice, "agentproxy exec --") // names what is in effect
	switch {
	case v.Source == verdict.Environment, v.Container:
	case s.capturing && v.Class == rules.TLSTrust && v.Host == "": // the tunnel's certificate was refused by nobody
		if circular {
			v.Advice = "what signs for that host, which the tunnel passes through, is not among the roots that it trusts"
		}
	case s.capturing && v.Class == rules.TLSTrust:
		host, _, _ := strings.Cut(v.Host, ":")
		v.Advice = fmt.Sprintf("it trusts only roots that are compiled into it, or pins a certificate: have it use the system's roots, or leave the host alone with policy.passthrough = [%q]", host)
	case s.capturing && v.Class == rules.ProxyBypassed:
		v.Advice = "only TLS is carried, to port 443 and to the ports that policy.allow names"
	case s.refused != nil && slices.Contains(captured, v.Class) && (circular || v.Advice == ""):
		v.Advice = "a network of its own would help, which this system refuses: " + cmp.Or(s.refused.Advice, s.refused.Error())
	case s.couldCapture(v.Class) && (circular || v.Advice == ""):
		v.Advice = fmt.Sprintf("agentproxy exec --capture always -- %s …", s.name())
	}
}

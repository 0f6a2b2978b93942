// Package contract is what the process that starts a tunnel, the commands that
// use it and the daemon behind it agree on: the options that a daemon is started
// with, the variables and headers by which they know each other, and the routes
// that only its user may ask. It does nothing, so that a client does not stand on
// a server.
package contract

import (
	"fmt"
	"time"

	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/status"
)

// Environment variables that tie processes to a tunnel.
const (
	// RunVariable carries a run's identity into the processes it starts.
	RunVariable = "AGENT_PROXY_RUN"
	// ShellVariable carries the process number of an interactive shell whose
	// environment goes through the tunnel into what it starts.
	ShellVariable = "AGENT_PROXY_SHELL"
	// UpstreamVariable tells the commands and shells that we set up where the
	// tunnel leaves, when the environment had said so; without credentials.
	UpstreamVariable = "AGENT_PROXY_UPSTREAM"
	// CapturedVariable is set in a run that has a network of its own.
	CapturedVariable = "AGENT_PROXY_CAPTURED"
)

// PageHeader carries from the status page the code of its link to status.PairPath, and
// what that returned to status.AnswerPath.
const PageHeader = "X-Agentproxy-Page"

// Headers of the mutual proof between a client and the daemon.
const (
	NonceHeader = "X-Agentproxy-Nonce"
	ProofHeader = "X-Agentproxy-Proof"
)

// Routes for clients that have read the endpoint record.
const (
	// RunPath attaches a run (POST id, pid) for as long as the connection lasts,
	// and returns its status.Evidence (GET id).
	RunPath = status.Prefix + "run"
	// StopPath tells the daemon to leave (POST).
	StopPath = status.Prefix + "stop"
	// TrialPath returns the Trial that a canary has seen (GET trial).
	TrialPath = status.Prefix + "canary"
	// ReloadPath has the policy read again now (POST), and returns a Reloaded.
	ReloadPath = status.Prefix + "reload"
	// AskPath tells what waits for an answer (GET), as lists of Question, one a line,
	// for as long as the connection lasts; and takes an answer (POST id, answer).
	AskPath = status.Prefix + "ask"
	// LinkPath returns the code with which one status page may answer, and lets it do so
	// for as long as the connection lasts (POST).
	LinkPath = status.Prefix + "ask/page"
	// InheritedPath returns the Inherited of the tunnel (GET).
	InheritedPath = status.Prefix + "inherited"
)

// Stopped is what an attached run reads when the tunnel leaves on purpose.
const Stopped = "stopped"

// DrainLimit is how long a daemon that was told to leave lets what is under way
// come to its end.
const DrainLimit = 5 * time.Second

// FetchLimit is how long fetching the organisation's policy may take. A tunnel's start
// and ReloadPath wait for it.
const FetchLimit = 4 * time.Second

// How a daemon is spawned: the hidden command, and the descriptor on which it
// says that it is ready, or why it is not.
const (
	SpawnedCommand = "__daemon"
	ReadyFD        = 3
	Ready          = "ready\n"
)

// Start is what a daemon is started with. It travels as JSON to the spawned
// process, over a pipe: an upstream's password must appear neither in argv nor
// in the environment.
type Start struct {
	Config *config.Config
	// Source is where its policy is read again when that changes; nil is never.
	Source *config.Source
	// Dir is the state directory.
	Dir string
	// Key identifies the tunnel among others of the same directory, Settings its
	// configuration before the environment had its say.
	Key, Settings string
	// Inherited is what the environment added to the configuration.
	Inherited Inherited
	// Gate applies the policy before the upstream, which has one of its own: it is
	// the tunnel of a run that this one's runs are part of.
	Gate bool
	// Port is preferred, when the configuration names none: that of a crashed
	// predecessor, which running commands still point at.
	Port    int
	Version string
	// Stay switches the idle exit off (serve, egress).
	Stay bool
	// Listen is the address to listen at; "" is a port of 127.0.0.1. Another
	// needs the daemon's Authorize.
	Listen string
}

// Inherited is a proxy that the environment names, and the CA files that came with
// it. Upstream may hold a password.
type Inherited struct {
	Upstream string   `json:"upstream"`
	CAs      []string `json:"cas"`
}

// CanaryDomain is that of the origin inside the tunnel: each trial has a name of
// its own in it, by which what happened to it is told from what happened to
// others. It exists in the tunnel only (RFC 6761 §6.2).
const CanaryDomain = "canary.agentproxy.test"

// CanaryHost is the name of a trial, which is one label.
func CanaryHost(trial string) string { return trial + "." + CanaryDomain }

// Reloaded is what came of reading the policy again.
type Reloaded struct {
	// Path is the file, "" for none.
	Path string `json:"path,omitempty"`
	// Problem says why the old policy stays in force, "" when it does not.
	Problem string `json:"problem,omitempty"`
}

// Question is a tunnel or a request that the policy refuses, and that waits for
// somebody to let it pass.
type Question struct {
	ID string `json:"id"`
	// Run is whose it is, "" where that is not known; PID and Process who asks.
	Run     string `json:"run,omitempty"`
	PID     int    `json:"pid,omitempty"`
	Process string `json:"process,omitempty"`
	// Host has the port. Method is "" when the tunnel is all that is asked for; Path is
	// without a query.
	Host   string `json:"host"`
	Method string `json:"method,omitempty"`
	Path   string `json:"path,omitempty"`
	// Why is the policy's reason.
	Why string `json:"why"`
	// Entry would allow it in the configuration, "" where none does.
	Entry string `json:"entry,omitempty"`
	// Config is the file, "" for none.
	Config string `json:"config,omitempty"`
	// Notify is true when the desktop may tell of it.
	Notify bool `json:"notify,omitempty"`
}

// Who is the process that asks, in words.
func (q Question) Who() string {
	who := "a command"
	if q.Process != "" {
		who = fmt.Sprintf("%s (pid %d)", q.Process, q.PID)
	}
	if q.Run != "" {
		who += ", run " + q.Run
	}
	return status.Printable(who)
}

// What is what it asks for, in words.
func (q Question) What() string {
	if q.Method == "" {
		return status.Printable(q.Host)
	}
	return status.Printable(q.Method + " " + q.Path + " on " + q.Host)
}

// Answers are those that may be given.
func (q Question) Answers() []string {
	answers := []string{AnswerOnce}
	if q.Run != "" {
		answers = append(answers, AnswerRun)
	}
	answers = append(answers, AnswerHour)
	if q.Entry != "" && q.Config != "" {
		answers = append(answers, AnswerAlways)
	}
	return append(answers, AnswerNo)
}

// The answers to a Question: what waits now, all that the run asks of this kind, what
// anybody does within an hour, what the configuration is to allow from now on, and no.
const (
	AnswerOnce   = "once"
	AnswerRun    = "run"
	AnswerHour   = "hour"
	AnswerAlways = "always"
	AnswerNo     = "no"
)

// Trial is what the canary has seen of one.
type Trial struct {
	// Connects counts the tunnels to it, Requests what came through them.
	Connects int `json:"connects"`
	Requests int `json:"requests"`
}

package main

import (
	"fmt"
	"io"
	"os"

	"github.com/agentproxy/agentproxy/profiles/env"
	"golang.org/x/term"
)

// process is what the system gives to agentproxy when it is started. Commands take
// it from here alone, so that a test can give them another.
type process struct {
	In       io.Reader
	Out, Err io.Writer
	// Environ is the environment, "NAME=value" each.
	Environ []string
}

// isTerminal reports whether a stream is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// thisProcess is the one that we are.
func thisProcess() *process {
	return &process{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Environ: os.Environ()}
}

// Getenv returns a variable of the environment, "" for one that is not set.
func (p *process) Getenv(name string) string {
	return env.Get(p.Environ, name)
}

// LookupEnv also reports whether the variable is set.
func (p *process) LookupEnv(name string) (value string, ok bool) {
	return env.Lookup(p.Environ, name)
}

// say prints one message of ours on stderr.
func (p *process) say(format string, args ...any) {
	fmt.Fprintf(p.Err, "agentproxy: %s\n", fmt.Sprintf(format, args...))
}

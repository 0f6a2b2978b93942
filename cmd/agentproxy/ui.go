package main

// What a command says stands beside it. The rules: our words go to stderr and begin
// with "agentproxy:"; lower case, no full stop; one line for what happened and one
// for what to type next; nothing at all when all went well. What a command is
// asked to print (status, help, version) goes to stdout without the prefix.

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/agentproxy/agentproxy/proxy/config"
	"golang.org/x/term"
)

// hintedError is an error with the next command to type.
type hintedError struct {
	error
	hint string
}

func (e *hintedError) Unwrap() error { return e.error }

func hint(err error, format string, args ...any) error {
	return &hintedError{err, fmt.Sprintf(format, args...)}
}

// complain prints the error and returns the exit status for it.
func complain(proc *process, err error) int {
	if err == nil {
		return 0
	}
	if errors.Is(err, errNo) || errors.Is(err, errSilent) {
		return exitStatus(err) // all has been said
	}
	proc.say("%s", err)
	if problem := new(config.Problem); errors.As(err, &problem) {
		for _, line := range problem.Detail() {
			proc.say("%s", line)
		}
	}
	var h *hintedError
	if errors.As(err, &h) {
		proc.say("try: %s", h.hint)
	}
	return exitStatus(err)
}

// errSilent is an error whose words are on the screen already.
var errSilent = errors.New("said already")

// silentErrors collects the failures of a command that goes on after one.
type silentErrors struct {
	proc *process
	said bool
}

func (e *silentErrors) say(err error) {
	e.said = true
	complain(e.proc, err)
}

func (e *silentErrors) result() error {
	if e.said {
		return errSilent
	}
	return nil
}

// progress counts on a terminal, and is silent elsewhere.
type progress struct {
	proc  *process
	mu    sync.Mutex
	shown bool
	done  int
	all   int
}

func newProgress(proc *process, all int) *progress {
	return &progress{proc: proc, shown: isTerminal(proc.Err), all: all}
}

func (p *progress) step(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done++
	if p.shown {
		fmt.Fprintf(p.proc.Err, "\r\x1b[Ktried %d of %d: %s", p.done, p.all, what)
	}
}

func (p *progress) end() {
	if p.shown {
		fmt.Fprint(p.proc.Err, "\r\x1b[K")
	}
}

// narrow is our output, on a terminal with its lines cut at the width.
func narrow(proc *process) io.Writer {
	if f, ok := proc.Out.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return &lineCutter{proc.Out, width}
		}
	}
	return proc.Out
}

// lineCutter cuts lines; each write is of whole ones.
type lineCutter struct {
	w     io.Writer
	width int
}

func (c *lineCutter) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		text := []rune(strings.TrimSuffix(line, "\n"))
		if len(text) > c.width {
			line = string(text[:c.width-1]) + "…\n"
		}
		if _, err := io.WriteString(c.w, line); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// palette colours on terminals.
type palette struct{ on bool }

// palette follows, in this order, NO_COLOR (no-color.org), FORCE_COLOR (force-color.org),
// CLICOLOR_FORCE and CLICOLOR (bixense.com/clicolors), and whether there is a terminal.
func (p *process) palette() palette {
	forced := func(name string) bool {
		value := p.Getenv(name)
		return value != "" && value != "0" && value != "false"
	}
	switch {
	case p.Getenv("NO_COLOR") != "":
		return palette{false}
	case forced("FORCE_COLOR"), forced("CLICOLOR_FORCE"):
		return palette{true}
	case p.Getenv("CLICOLOR") == "0", p.Getenv("FORCE_COLOR") == "0", p.Getenv("TERM") == "dumb":
		return palette{false}
	}
	return palette{isTerminal(p.Out)}
}

func (p palette) good(s string) string { return p.paint("32", s) }
func (p palette) bad(s string) string  { return p.paint("31", s) }

func (p palette) paint(code, s string) string {
	if !p.on {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

package wrap

import (
	"bytes"

	"github.com/agentproxy/agentproxy/wrap/term"
)

// outputLimit is how much of the end of a command's output is kept, in bytes.
const outputLimit = 256 << 10

// Output remembers the last lines of what a command printed, as a person would
// have read them. It is a term.Viewer.
type Output struct {
	lines [2]term.Lines
	kept  []byte
	// lost: what is kept is not all that was printed.
	lost bool
}

// NewOutput returns an empty memory.
func NewOutput() *Output {
	o := &Output{}
	for i := range o.lines {
		o.lines[i].Each = o.keep
	}
	return o
}

// View takes the next bytes of standard output (1) or error (2).
func (o *Output) View(stream int, data []byte) { o.lines[stream-1].Write(data) }

// Gap notes that something is missing.
func (o *Output) Gap(int) {
	o.lost = true
	for i := range o.lines {
		o.lines[i].Break()
	}
}

func (o *Output) keep(line []byte) {
	if len(o.kept)+len(line) >= 2*outputLimit {
		o.kept = append(o.kept[:0], o.kept[len(o.kept)-min(outputLimit, len(o.kept)):]...)
		o.lost = true
	}
	o.kept = append(append(o.kept, line...), '\n')
}

// Omits tells that the command is known not to have printed the text: all that
// it printed was seen, and the text is not there.
func (o *Output) Omits(text string) bool {
	for i := range o.lines {
		o.lines[i].Break()
	}
	return !o.lost && !bytes.Contains(bytes.ToLower(o.kept), bytes.ToLower([]byte(text)))
}

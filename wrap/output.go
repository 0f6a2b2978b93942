package wrap

import (
	"bytes"

	"github.com/agentproxy/agentproxy/wrap/term"
)

// outputLimit is how much of the end of each stream is kept at least, in bytes.
const outputLimit = 128 << 10

// Output remembers the end of what a command printed. It is a term.Viewer.
type Output struct {
	kept [2][]byte // as written: of standard output, of standard error
	// lost: what is kept is not all that was printed.
	lost bool
}

// View takes the next bytes of standard output (1) or error (2).
func (o *Output) View(stream int, data []byte) {
	kept := &o.kept[stream-1]
	if len(*kept)+len(data) > 4*outputLimit {
		data = last(data, outputLimit)
		*kept = append((*kept)[:0], last(*kept, outputLimit-len(data))...)
		o.lost = true
	}
	*kept = append(*kept, data...)
}

func last(data []byte, n int) []byte { return data[max(0, len(data)-n):] }

// Gap notes that something is missing.
func (o *Output) Gap(int) { o.lost = true }

// Omits tells that the command is known not to have printed the text on any
// line: all that it printed was seen, and the text is not there.
func (o *Output) Omits(text string) bool {
	found := o.lost
	lines := term.Lines{Each: func(line []byte) {
		found = found || bytes.Contains(bytes.ToLower(line), bytes.ToLower([]byte(text)))
	}}
	for _, kept := range o.kept {
		lines.Write(kept)
		lines.Break()
	}
	return !found
}

package child

import (
	"bytes"
	"slices"

	"github.com/agentproxy/agentproxy/proxy/guard"
	"github.com/agentproxy/agentproxy/wrap/term"
)

// outputLimit is how much of the end of each stream is kept at least, in bytes.
const outputLimit = 128 << 10

// Output remembers the end of what a command printed. It is a term.Viewer.
type Output struct {
	// Then, when not nil, views all of it, but not before that is necessary: most
	// commands print little and succeed. See Replay.
	Then term.Viewer

	kept     [2][]byte // as written: of standard output, of standard error
	replayed bool      // Then has got what is kept
	// lost: what is kept is not all that was printed.
	lost bool
	// fault is why it was not read to its end.
	fault *guard.Fault
}

// Fault returns what ended the reading of the output before its end, nil when it
// was read.
func (o *Output) Fault() *guard.Fault { return o.fault }

// Replay shows what is kept to Then, if it has not been shown yet.
func (o *Output) Replay() {
	if o.replayed || o.Then == nil {
		return
	}
	o.replayed = true
	for i, kept := range o.kept {
		if len(kept) > 0 {
			o.Then.View(i+1, kept)
		}
	}
}

// View takes the next bytes of standard output (1) or error (2).
func (o *Output) View(stream int, data []byte) {
	kept := &o.kept[stream-1]
	if len(*kept)+len(data) > 4*outputLimit {
		o.Replay()
	}
	if o.replayed {
		o.Then.View(stream, data)
	}
	if len(*kept)+len(data) > 4*outputLimit {
		data = last(data, outputLimit)
		*kept = append((*kept)[:0], last(*kept, outputLimit-len(data))...)
		o.lost = true
	}
	*kept = append(*kept, data...)
}

func last(data []byte, n int) []byte { return data[max(0, len(data)-n):] }

// Gap notes that something is missing.
func (o *Output) Gap(bytes int) {
	o.lost = true
	if o.Then != nil {
		o.Replay()
		o.Then.Gap(bytes)
	}
}

// Empty reports whether the command is known to have printed nothing.
func (o *Output) Empty() bool { return !o.lost && len(o.kept[0])+len(o.kept[1]) == 0 }

// Omits reports whether the command is known not to have printed the text on any
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

// unseen looks at what was not watched, once the command has ended: files that
// it wrote into, when it failed. What is still not seen then is lost.
func (o *Output) unseen(s *term.Streams, files []*redirected, result Result) {
	for stream := 1; stream <= 2; stream++ {
		seen := s.Watched(stream)
		for _, f := range files {
			if !result.OK() && slices.Contains(f.streams, stream) {
				seen = f.show(o)
			}
		}
		o.lost = o.lost || !seen
	}
}

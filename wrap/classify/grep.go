package classify

import (
	"bytes"
	"slices"

	"github.com/agentproxy/agentproxy/wrap/term"
)

// How many lines around one with an keyword are looked at, too.
const (
	linesBefore = 10
	linesAfter  = 16
)

const (
	// longestLine is where an endless line is cut, in bytes.
	longestLine = 64 << 10
	// longestContext is how much of a line without an keyword is kept.
	longestContext = 2 << 10
	// tailSize is how much of the end is kept, in bytes.
	tailSize = 64 << 10
)

// grep passes the lines of one stream on that hold an keyword, and those around
// them, as grep -C does. All others cost no more than the search. How the bytes
// were cut into pieces makes no difference.
type grep struct {
	filter *prefilter
	// line gets a line as a person would read it; it is lent.
	line func(text []byte, hot bool)
	// gap reports whether lines were left out.
	gap func()

	tail    []byte   // the end of the stream, as written
	size    int      // of the stream, in bytes
	partial []byte   // the line under way
	recent  [][]byte // the last lines that were left out, linesBefore at most
	skipped bool     // there were more before these
	wanted  int      // lines to pass on whatever they say
	hot     bool
	clean   term.Lines
}

func newGrep(filter *prefilter, line func([]byte, bool), gap func()) *grep {
	g := &grep{filter: filter, line: line, gap: gap}
	g.clean.Each = func(text []byte) {
		g.line(text, g.hot && g.filter.next(text, 0) >= 0)
	}
	return g
}

// write takes the next bytes.
func (g *grep) write(data []byte) {
	g.keepTail(data)
	for len(data) > 0 {
		piece := data[:min(longestLine-len(g.partial), len(data))]
		if len(g.partial) == 0 {
			if whole := bytes.LastIndexByte(piece, '\n') + 1; whole > 0 {
				g.block(piece[:whole])
				data = data[whole:]
				continue
			}
		}
		line, _, ended := bytes.Cut(piece, []byte("\n"))
		g.partial = append(g.partial, line...)
		if ended || len(g.partial) == longestLine {
			g.finish()
		}
		data = data[len(line):]
		if ended {
			data = data[1:]
		}
	}
}

// finish ends the line under way.
func (g *grep) finish() {
	g.partial = append(g.partial, '\n')
	g.block(g.partial)
	g.partial = g.partial[:0]
}

// close ends the stream, or what there is of it before a hole.
func (g *grep) close() {
	if len(g.partial) > 0 {
		g.finish()
	}
	g.recent, g.wanted, g.skipped = g.recent[:0], 0, false
	g.gap()
}

func (g *grep) keepTail(data []byte) {
	g.size += len(data)
	data = data[max(0, len(data)-tailSize):]
	if len(g.tail)+len(data) > 4*tailSize {
		g.tail = append(g.tail[:0], g.tail[len(g.tail)-tailSize:]...)
	}
	g.tail = append(g.tail, data...)
}

// end is the end of the stream, in whole lines.
func (g *grep) end() []byte {
	if len(g.tail) <= tailSize {
		return g.tail
	}
	tail := g.tail[len(g.tail)-tailSize:]
	return tail[bytes.IndexByte(tail, '\n')+1:]
}

// block takes whole lines.
func (g *grep) block(b []byte) {
	for len(b) > 0 {
		if g.wanted > 0 {
			end := bytes.IndexByte(b, '\n')
			g.wanted--
			g.pass(b[:end])
			b = b[end+1:]
			continue
		}
		hit := g.filter.next(b, 0)
		if hit < 0 {
			g.remember(b)
			return
		}
		start := bytes.LastIndexByte(b[:hit], '\n') + 1
		g.remember(b[:start])
		g.before()
		end := start + bytes.IndexByte(b[start:], '\n')
		g.pass(b[start:end])
		b = b[end+1:]
	}
}

// pass hands a line on, and wants those behind it if it holds an keyword.
func (g *grep) pass(raw []byte) {
	g.hot = g.filter.next(raw, 0) >= 0
	if g.hot {
		g.wanted = linesAfter
	} else {
		raw = raw[:min(len(raw), longestContext)]
	}
	g.clean.Write(raw)
	g.clean.Break()
}

// before hands on the lines that were left out last.
func (g *grep) before() {
	if g.skipped {
		g.gap()
	}
	g.hot = false
	for _, raw := range g.recent {
		g.clean.Write(raw)
		g.clean.Break()
	}
	g.recent, g.skipped = g.recent[:0], false
}

// remember keeps the last of the lines.
func (g *grep) remember(b []byte) {
	from, lines := len(b), 0
	for from > 0 && lines < linesBefore {
		from = bytes.LastIndexByte(b[:from-1], '\n') + 1
		lines++
	}
	if drop := len(g.recent) + lines - linesBefore; drop > 0 {
		// The buffers of lines that are dropped serve those that come.
		slices.Reverse(g.recent[:drop])
		slices.Reverse(g.recent[drop:])
		slices.Reverse(g.recent)
		g.recent = g.recent[:len(g.recent)-drop]
		g.skipped = true
	}
	g.skipped = g.skipped || from > 0
	for from < len(b) {
		end := from + bytes.IndexByte(b[from:], '\n')
		g.keep(b[from:min(end, from+longestContext)])
		from = end + 1
	}
}

// keep copies a line, into a buffer that is free where there is one.
func (g *grep) keep(raw []byte) {
	n := len(g.recent)
	var buf []byte
	if n < cap(g.recent) {
		buf = g.recent[:n+1][n]
	}
	g.recent = append(g.recent, append(buf[:0], raw...))
}

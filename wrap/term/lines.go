package term

import "bytes"

// lineLimit is where an endless line is cut, in bytes as written.
const lineLimit = 64 << 10

// Lines turns the bytes of one stream into lines as a person would read them:
// without the escape sequences of terminals, and with each state of a progress
// bar (ended by a carriage return) a line of its own. Empty lines are left
// out. How the bytes were cut into pieces makes no difference.
type Lines struct {
	// Each gets every line; it is lent.
	Each    func(line []byte)
	partial []byte
	clean   []byte
}

// Write takes the next bytes.
func (l *Lines) Write(data []byte) {
	for len(data) > 0 {
		room := lineLimit - len(l.partial)
		end := bytes.IndexByte(data[:min(room, len(data))], '\n')
		switch {
		case end >= 0:
			l.end(data[:end])
			data = data[end+1:]
		case len(data) >= room:
			l.end(data[:room])
			data = data[room:]
		default:
			l.partial = append(l.partial, data...)
			return
		}
	}
}

// Break ends the line that is under way: the stream has ended, or has a gap.
func (l *Lines) Break() { l.end(nil) }

func (l *Lines) end(rest []byte) {
	raw := rest
	if len(l.partial) > 0 {
		l.partial = append(l.partial, rest...)
		raw = l.partial
		defer func() { l.partial = l.partial[:0] }()
	}
	for len(raw) > 0 {
		state, rest, _ := bytes.Cut(raw, []byte{'\r'})
		if state = l.plain(state); len(state) > 0 {
			l.Each(state)
		}
		raw = rest
	}
}

const (
	bel       = 7
	backspace = 8
	escape    = 27
)

// plain is the text without escape sequences (ECMA-48) and with what was
// struck out by backspaces gone.
func (l *Lines) plain(text []byte) []byte {
	if bytes.IndexByte(text, escape) < 0 && bytes.IndexByte(text, backspace) < 0 {
		return text
	}
	out := l.clean[:0]
	for i := 0; i < len(text); {
		switch text[i] {
		case escape:
			i += sequence(text[i:])
		case backspace:
			out = out[:max(len(out)-1, 0)]
			i++
		default:
			out = append(out, text[i])
			i++
		}
	}
	l.clean = out
	return out
}

// sequence is the length of the escape sequence that the text begins with.
func sequence(text []byte) int {
	if len(text) < 2 {
		return len(text)
	}
	switch text[1] {
	case '[': // CSI: parameters and intermediates up to a final byte
		for i := 2; i < len(text); i++ {
			if text[i] >= 0x40 && text[i] <= 0x7e {
				return i + 1
			}
		}
		return len(text)
	case ']', 'P', 'X', '^', '_': // strings, up to BEL or ST
		for i := 2; i < len(text); i++ {
			if text[i] == bel {
				return i + 1
			}
			if text[i] == escape && i+1 < len(text) && text[i+1] == '\\' {
				return i + 2
			}
		}
		return len(text)
	}
	i := 1
	for i < len(text)-1 && text[i] >= 0x20 && text[i] <= 0x2f { // intermediates
		i++
	}
	return i + 1
}

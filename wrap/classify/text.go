package classify

import "strings"

// longestText is how much of a line is held against the rules.
const longestText = 2 << 10

// readable undoes the escapes of JSON and of quoted Go strings, in which logs
// carry the words of others.
func readable(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	return escapes.Replace(text)
}

var escapes = strings.NewReplacer(`\"`, `"`, `\n`, " ", `\r`, "", `\t`, " ", `\u003c`, "<", `\u003e`, ">", `\u0026`, "&", `\u0027`, "'", `\/`, "/")

// excerpt is a long line's part around the places where words of interest are.
func excerpt(text string, p *prefilter) string {
	if len(text) <= longestText {
		return text
	}
	first := max(0, p.next([]byte(text), 0))
	last := first
	for at := first; at >= 0 && at < first+longestLine; at = p.next([]byte(text), at+1) {
		last = at
	}
	half := longestText / 2
	headEnd, tailEnd := min(len(text), first+half), min(len(text), last+half)
	head := text[max(0, first-half/2):headEnd]
	if last < first+half/2 || headEnd == tailEnd {
		return head
	}
	return head + " … " + text[max(headEnd, last-half):tailEnd]
}

// decorations are what tools put before each line of a message.
var decorations = []string{"npm error", "npm ERR!", "[ERROR]", "[WARNING]", "[INFO]", "│", "╷", "╵", "|", "remote:", "E:", "W:"}

// body is a line without what a tool puts before each.
func body(text string) string {
	text = strings.TrimLeft(text, " \t")
	if strings.HasPrefix(text, "#") { // BuildKit: the step and the seconds
		text = strings.TrimLeft(text[1:], "0123456789. ")
	}
	for _, d := range decorations {
		if rest, ok := strings.CutPrefix(text, d); ok {
			return strings.TrimLeft(rest, " \t")
		}
	}
	return text
}

// maxWrapped is over how many lines a message is followed, each way.
const maxWrapped = 4

// narrowest is the least width at which tools wrap lines.
const narrowest = 58

// widest is the greatest.
const widest = 132

// wraps reports whether the first line may go on in the second: the word that begins
// it had no room left.
func wraps(a, b string) bool {
	b = body(b)
	if b == "" || a == "" || len(a) > widest {
		return false
	}
	word, _, _ := strings.Cut(b, " ")
	return len(a)+1+len(word) > narrowest
}

// message is what a tool had wrapped over several lines.
type message struct {
	lines []line
	own   int // the one that is judged
}

// wrapped returns the message that the line at a place is part of.
func wrapped(around []line, at int) message {
	from, to := at, at
	for from > 0 && at-from < maxWrapped && wraps(around[from-1].text, around[from].text) {
		from--
	}
	for to+1 < len(around) && to-at < maxWrapped && wraps(around[to].text, around[to+1].text) {
		to++
	}
	return message{around[from : to+1], at - from}
}

// whole is a message put together again.
type whole struct {
	text     string
	from, to int // where in it the line is that is judged
}

// together puts the lines together: with spaces; and without, where they are
// indented as by tools that cut words in two. There is nothing to put together
// of a single line.
func (m message) together() []whole {
	if len(m.lines) == 1 {
		return nil
	}
	cut := true
	for _, l := range m.lines {
		cut = cut && indent(l.text) == 2
	}
	all := []whole{m.joined(" ")}
	if cut {
		all = append(all, m.joined(""))
	}
	return all
}

func (m message) joined(separator string) whole {
	var w whole
	var b strings.Builder
	for i, l := range m.lines {
		if i > 0 {
			b.WriteString(separator)
		}
		if i == m.own {
			w.from = b.Len()
		}
		b.WriteString(readable(body(l.text)))
		if i == m.own {
			w.to = b.Len()
		}
	}
	w.text = b.String()
	return w
}

func indent(text string) int { return len(text) - len(strings.TrimLeft(text, " ")) }

// surroundings are the lines around, for the rules' conditions on them.
func surroundings(around []line) string {
	var b strings.Builder
	for _, l := range around {
		b.WriteString(l.text[:min(len(l.text), longestContext)])
		b.WriteByte('\n')
	}
	return readable(b.String())
}

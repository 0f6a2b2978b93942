package classify

import "strings"

// line is one line that grep passed on.
type line struct {
	text string
	hot  bool // holds an keyword
}

// window holds the lines around the one that is judged.
type window struct {
	lines []line
	next  int // the first that was not judged yet
	judge func(around []line, at int)
}

// add takes the next line, and judges the ones that have enough behind them.
func (w *window) add(text []byte, hot bool) {
	w.lines = append(w.lines, line{strings.TrimRight(string(text), " \t\r"), hot})
	if len(w.lines) > w.next+linesAfter {
		w.step()
	}
	if drop := w.next - linesBefore; drop >= linesBefore {
		w.lines = append(w.lines[:0], w.lines[drop:]...)
		w.next -= drop
	}
}

func (w *window) step() {
	if w.lines[w.next].hot {
		from, to := max(0, w.next-linesBefore), min(len(w.lines), w.next+linesAfter+1)
		w.judge(w.lines[from:to], w.next-from)
	}
	w.next++
}

// end judges what is left: nothing stands behind it.
func (w *window) end() {
	for w.next < len(w.lines) {
		w.step()
	}
	w.lines, w.next = w.lines[:0], 0
}

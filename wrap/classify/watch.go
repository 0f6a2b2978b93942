package classify

// watch is which anchors are looked for. Words that keep calling in vain, as in
// the log of a service of which each line holds one, are not looked for any
// more, nor is anything once enough was seen; the end of the output, where
// failures are told, is read with all of them. So no output, however made,
// takes more than so much time.
type watch struct {
	anchors []string
	calls   []int
	useful  []int
	off     []bool
	work    int  // bytes that were held against rules, those of each rule counted
	closed  bool // enough was seen
	tired   bool // some anchor is off
}

const (
	// patience is after how many calls an anchor must have been of use once in
	// so many.
	patience = 256
	useOnce  = 32
	// enough is after how many calls an anchor has told what it can.
	enough = 4096
	// enoughWork is the same for all together, in bytes held against rules.
	enoughWork = 3 << 20
)

func newWatch(anchors []string) *watch {
	return &watch{anchors: anchors, calls: make([]int, len(anchors)), useful: make([]int, len(anchors)), off: make([]bool, len(anchors))}
}

// called notes that a line was judged for its anchors, and whether that was of
// use. It tells whether other anchors are to be looked for from now on.
func (w *watch) called(anchors []int, use bool) bool {
	if w.closed {
		return false
	}
	changed := w.work > enoughWork
	w.closed = changed
	for _, id := range anchors {
		w.calls[id]++
		if use {
			w.useful[id]++
		}
		inVain := w.calls[id] >= patience && w.useful[id]*useOnce < w.calls[id]
		if !w.off[id] && (inVain || w.calls[id] >= enough) {
			w.off[id] = true
			changed = true
		}
	}
	w.tired = w.tired || changed
	return changed
}

// filter looks for the anchors that are left.
func (w *watch) filter() *prefilter {
	var left []string
	for id, anchor := range w.anchors {
		if !w.off[id] && !w.closed {
			left = append(left, anchor)
		}
	}
	return newPrefilter(left)
}

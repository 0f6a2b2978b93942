package classify

// budget is which keywords are looked for. Words that keep calling in vain, as in
// the log of a service of which each line holds one, are not looked for any
// more, nor is anything once enough was seen; the end of the output, where
// failures are told, is read with all of them. So no output, however made,
// takes more than so much time.
type budget struct {
	keywords []string
	calls    []int
	useful   []int
	off      []bool
	work     int  // bytes that were held against rules, those of each rule counted
	closed   bool // enough was seen
	spent    bool // some keyword is off
}

const (
	// trialCalls is after how many calls an keyword must have been of use once in
	// so many.
	trialCalls = 256
	useOnce    = 32
	// enough is after how many calls an keyword has told what it can.
	enough = 4096
	// enoughWork is the same for all together, in bytes held against rules.
	enoughWork = 3 << 20
)

func newBudget(keywords []string) *budget {
	return &budget{keywords: keywords, calls: make([]int, len(keywords)), useful: make([]int, len(keywords)), off: make([]bool, len(keywords))}
}

// called notes that a line was judged for its keywords, and whether that was of
// use. It tells whether other keywords are to be looked for from now on.
func (b *budget) called(keywords []int, use bool) bool {
	if b.closed {
		return false
	}
	changed := b.work > enoughWork
	b.closed = changed
	for _, id := range keywords {
		b.calls[id]++
		if use {
			b.useful[id]++
		}
		inVain := b.calls[id] >= trialCalls && b.useful[id]*useOnce < b.calls[id]
		if !b.off[id] && (inVain || b.calls[id] >= enough) {
			b.off[id] = true
			changed = true
		}
	}
	b.spent = b.spent || changed
	return changed
}

// filter looks for the keywords that are left.
func (b *budget) filter() *prefilter {
	var left []string
	for id, keyword := range b.keywords {
		if !b.off[id] && !b.closed {
			left = append(left, keyword)
		}
	}
	return newPrefilter(left)
}

package classify

// prefilter looks for any of many words in one pass, upper and lower case
// alike (Wu and Manber's search: where the three bytes under the eye stand in
// no word, as many bytes are skipped as a word could hide in). It is faster
// here than the Aho-Corasick packages that were measured; see BenchmarkSearch.
type prefilter struct {
	// shift is how far the eye may move, by the three bytes that it sees.
	shift [1 << 15]uint8
	// bucket holds the words that the eye may have found, by the same.
	bucket map[uint16][]word
	window int // length of the shortest word
}

type word struct {
	text string // in lower case
	id   int
}

const blockSize = 3

// block is a number for three bytes. Five bits of each are enough: they tell
// letters apart, and are the same for upper and lower case.
func block(a, b, c byte) uint16 {
	return uint16(a&31)<<10 | uint16(b&31)<<5 | uint16(c&31)
}

// newPrefilter takes words of at least blockSize bytes, in lower case.
func newPrefilter(words []string) *prefilter {
	p := &prefilter{bucket: map[uint16][]word{}, window: 255}
	for _, w := range words {
		p.window = min(p.window, len(w))
	}
	far := uint8(p.window - blockSize + 1)
	for i := range p.shift {
		p.shift[i] = far
	}
	for id, w := range words {
		for i := 0; i+blockSize <= p.window; i++ {
			at := block(w[i], w[i+1], w[i+2])
			p.shift[at] = min(p.shift[at], uint8(p.window-blockSize-i))
		}
		last := p.window - blockSize
		at := block(w[last], w[last+1], w[last+2])
		p.bucket[at] = append(p.bucket[at], word{w, id})
	}
	return p
}

// next returns where the first word at or behind from begins, -1 when there is
// none. That it begins there is all that is told.
func (p *prefilter) next(text []byte, from int) int {
	for i := from + p.window - 1; i < len(text); {
		if step := p.shift[block(text[i-2], text[i-1], text[i])]; step > 0 {
			i += int(step)
			continue
		}
		start := i - p.window + 1
		for _, w := range p.bucket[block(text[i-2], text[i-1], text[i])] {
			if begins(text[start:], w.text) {
				return start
			}
		}
		i++
	}
	return -1
}

// all calls found with the number of every word in the text.
func (p *prefilter) all(text []byte, found func(id int)) {
	for start := p.next(text, 0); start >= 0; start = p.next(text, start+1) {
		i := start + p.window - 1
		for _, w := range p.bucket[block(text[i-2], text[i-1], text[i])] {
			if begins(text[start:], w.text) {
				found(w.id)
			}
		}
	}
}

// begins tells that the text begins with a word, in any case.
func begins(text []byte, word string) bool {
	if len(text) < len(word) {
		return false
	}
	for i := range len(word) {
		c := text[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

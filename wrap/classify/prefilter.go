package classify

import "encoding/binary"

// prefilter looks for any of many words in one pass, upper and lower case
// alike. It is Wu and Manber's search: a window as long as the shortest word
// moves over the text; where the last four bytes in it stand in no word, it
// moves as far as no word can hide. It is faster here than the Aho-Corasick
// packages that were measured; see BenchmarkSearch.
type prefilter struct {
	// shift is how far the window may move, by its last block.
	shift [tableSize]uint8
	// bucket is where in the words those begin that the window may have found.
	bucket [tableSize]uint16
	words  [][]word
	window int
}

// word is one that is looked for by a part of it.
type word struct {
	text string // in lower case
	part int    // where the part begins that is as long as the window
	id   int
}

const (
	blockSize = 4
	tableBits = 16
	tableSize = 1 << tableBits
)

// block is a number for the four bytes that end at i, the same for upper and
// lower case.
func block(text []byte, i int) uint32 {
	return (binary.LittleEndian.Uint32(text[i-3:i+1]) | 0x20202020) * 2654435761 >> (32 - tableBits)
}

// newPrefilter takes words in lower case, of at least blockSize bytes.
func newPrefilter(words []string) *prefilter {
	p := &prefilter{window: 255, words: [][]word{nil}}
	for _, w := range words {
		p.window = min(p.window, len(w))
	}
	if len(words) == 0 {
		p.window = 1 << 40 // longer than any text
		return p
	}
	for i := range p.shift {
		p.shift[i] = uint8(p.window - blockSize + 1)
	}
	for id, text := range words {
		p.add(word{text, rarest(text, p.window), id})
	}
	return p
}

func (p *prefilter) add(w word) {
	part := []byte(w.text[w.part : w.part+p.window])
	for i := blockSize - 1; i < p.window; i++ {
		at := block(part, i)
		p.shift[at] = min(p.shift[at], uint8(p.window-1-i))
	}
	at := block(part, p.window-1)
	if p.bucket[at] == 0 {
		p.bucket[at] = uint16(len(p.words))
		p.words = append(p.words, nil)
	}
	p.words[p.bucket[at]] = append(p.words[p.bucket[at]], w)
}

// rarest returns where in a word the part begins that is met least in texts,
// going by its letters.
func rarest(text string, size int) int {
	const common = " etaoinsrhldcumfpgwyb"
	best, least := 0, 1<<30
	for from := 0; from+size <= len(text); from++ {
		sum := 0
		for i := from; i < from+size; i++ {
			for rank := range len(common) {
				if text[i] == common[rank] {
					sum += len(common) - rank
				}
			}
		}
		if sum < least {
			best, least = from, sum
		}
	}
	return best
}

// next returns a place in the first word that does not end before from, -1
// when there is none.
func (p *prefilter) next(text []byte, from int) int {
	for i := from + p.window - 1; i < len(text); {
		at := block(text, i)
		if step := p.shift[at]; step > 0 {
			i += int(step)
			continue
		}
		start := i - p.window + 1
		for _, w := range p.words[p.bucket[at]] {
			if begins(text, start-w.part, w.text) {
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
		for _, w := range p.words[p.bucket[block(text, start+p.window-1)]] {
			if begins(text, start-w.part, w.text) {
				found(w.id)
			}
		}
	}
}

// begins reports whether a word stands at a place of the text, in any case.
func begins(text []byte, at int, word string) bool {
	if at < 0 || len(text)-at < len(word) {
		return false
	}
	for i := range len(word) {
		c := text[at+i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

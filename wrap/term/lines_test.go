package term

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// view is what a reader sees of the pieces.
func view(pieces ...[]byte) []string {
	var seen []string
	l := Lines{Each: func(line []byte) { seen = append(seen, string(line)) }}
	for _, p := range pieces {
		l.Write(p)
	}
	l.Break()
	return seen
}

func TestLines(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"plain", "one\ntwo\n", []string{"one", "two"}},
		{"no end of line", "one\ntwo", []string{"one", "two"}},
		{"empty lines", "\n\none\n\n", []string{"one"}},
		{"Windows", "one\r\ntwo\r\n", []string{"one", "two"}},
		{"progress bar", "10%\r20%\r100%\ndone\n", []string{"10%", "20%", "100%", "done"}},
		{"colours", "\x1b[1;31merror\x1b[0m: \x1b[mno\n", []string{"error: no"}},
		{"title and link", "\x1b]0;title\aa\x1b]8;;https://h.example/\x1b\\link\x1b]8;;\x1b\\\n", []string{"alink"}},
		{"character set", "\x1b(Ba\x1b=b\n", []string{"ab"}},
		{"cursor", "\x1b[2K\x1b[1Aup\x1b[?25l\n", []string{"up"}},
		{"backspace", "abc\b\bXY\n", []string{"aXY"}},
		{"only escapes", "\x1b[0m\n\x1b[2K\r\n", nil},
		{"unfinished escape", "a\x1b[3\nb\x1b", []string{"a", "b"}},
		{"not UTF-8", "\xff\xfe\n", []string{"\xff\xfe"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, view([]byte(tt.text))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A line without end is cut, so that memory is bounded and nothing is lost;
// always at the same places.
func TestEndlessLine(t *testing.T) {
	text := []byte(strings.Repeat("x", 3*lineLimit+5) + "\nnext\n")
	whole := view(text)
	if len(whole) != 5 || len(strings.Join(whole, "")) != len(text)-2 {
		t.Errorf("%d lines", len(whole))
	}
	for _, size := range []int{1, 1000, lineLimit - 1, lineLimit, lineLimit + 1} {
		if !slices.Equal(whole, view(slices.Collect(slices.Chunk(text, size))...)) {
			t.Errorf("another view in pieces of %d", size)
		}
	}
}

// How the stream is cut into pieces never changes the view.
func FuzzLines(f *testing.F) {
	f.Add([]byte("one\r\ntwo\x1b[31mred\x1b[0m\rthree\b\n\x1b]0;t\x1b\\x"), uint64(0x5a5a5a5a5a5a5a5a))
	f.Fuzz(func(t *testing.T, text []byte, cuts uint64) {
		var pieces [][]byte
		for rest, i := text, 0; len(rest) > 0; i++ {
			n := min(1+int(cuts>>(i*5%64)&0xfff)%(1+i%7*997), len(rest))
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		if diff := cmp.Diff(view(text), view(pieces...)); diff != "" {
			t.Error(diff)
		}
	})
}

func BenchmarkLines(b *testing.B) {
	text := bytes.Repeat([]byte("[INFO] Downloaded from central: artifact-1.2.3.jar (120 kB at 1.2 MB/s)\n"), 14000)
	b.SetBytes(int64(len(text)))
	l := Lines{Each: func([]byte) {}}
	for b.Loop() {
		l.Write(text)
	}
}

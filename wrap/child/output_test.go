package child

import (
	"bytes"
	"strings"
	"testing"
)

// Omits claims something only when everything was seen.
func TestOutputOmits(t *testing.T) {
	for _, tt := range []struct {
		name  string
		print func(o *Output)
		omits bool
	}{
		{"nothing printed", func(*Output) {}, true},
		{"something else", func(o *Output) { o.View(1, []byte("fetching other.example\n")) }, true},
		{"on standard error", func(o *Output) { o.View(2, []byte("cannot reach host.example\n")) }, false},
		{"in capitals and colour", func(o *Output) { o.View(1, []byte("GET https://HOST.\x1b[1mexample\x1b[0m/\n")) }, false},
		{"in pieces", func(o *Output) { o.View(1, []byte("ho")); o.View(2, []byte("x\n")); o.View(1, []byte("st.example")) }, false},
		{"not everything seen", func(o *Output) { o.Gap(1) }, false},
		{"too much to keep", func(o *Output) { o.View(1, bytes.Repeat([]byte("x\n"), 4*outputLimit)) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := &Output{}
			tt.print(o)
			if got := o.Omits("host.example"); got != tt.omits {
				t.Errorf("omits: %v", got)
			}
		})
	}
}

func TestOutputIsBounded(t *testing.T) {
	o := &Output{}
	for range 1000 {
		o.View(1, []byte(strings.Repeat("line\n", 2000)))
	}
	o.View(1, []byte("the end"))
	if n := len(o.kept[0]); n > 4*outputLimit || n < outputLimit || !bytes.HasSuffix(o.kept[0], []byte("line\nthe end")) {
		t.Errorf("%d bytes kept", n)
	}
}

// copied is a viewer that keeps everything.
type copied struct {
	text strings.Builder
	gaps int
}

func (c *copied) View(_ int, data []byte) { c.text.Write(data) }
func (c *copied) Gap(int)                 { c.gaps++ }

// What comes after is shown everything, once, and nothing before it must.
func TestOutputReplays(t *testing.T) {
	then := &copied{}
	o := &Output{Then: then}
	o.View(1, []byte("short\n"))
	if then.text.Len() > 0 {
		t.Error("shown although nobody asked")
	}
	o.Replay()
	o.Replay()
	o.View(1, []byte("more\n"))
	if got := then.text.String(); got != "short\nmore\n" {
		t.Errorf("shown %q", got)
	}
	long := &copied{}
	o = &Output{Then: long}
	for range 100 {
		o.View(1, bytes.Repeat([]byte("x"), 10000))
	}
	o.Gap(3)
	o.Replay()
	if long.text.Len() != 1000000 || long.gaps != 1 {
		t.Errorf("shown %d bytes, %d gaps", long.text.Len(), long.gaps)
	}
}

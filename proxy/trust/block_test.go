package trust

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	plain = layout{keys: pattern(`^cafile=(.*)`)}
	ini   = layout{section: "global", keys: pattern(`^\s*cert\s*=\s*(.*)`)}
	again = layout{section: "http", atEnd: true, keys: pattern(`(?i)^\s*sslcainfo\s*=\s*(.*)`)}
)

func block(lines ...string) string {
	return strings.Join(append(append([]string{blockBegin}, lines...), blockEnd), "\n") + "\n"
}

func TestBlockGoesWhereItBelongs(t *testing.T) {
	for name, c := range map[string]struct {
		layout
		before, after string
	}{
		"no file":                      {plain, "", block("OURS")},
		"at the end":                   {plain, "a=1\n", "a=1\n" + block("OURS")},
		"without a final newline":      {plain, "a=1", "a=1\n" + block("OURS")},
		"a section that is there":      {ini, "[global]\ntimeout = 1\n[install]\n", "[global]\n" + block("OURS") + "timeout = 1\n[install]\n"},
		"a section that is not":        {ini, "[install]\nuser = 1\n", "[install]\nuser = 1\n" + block("[global]", "OURS")},
		"a section of another case":    {ini, "[Global]\n", "[Global]\n" + block("[global]", "OURS")},
		"a section that comes again":   {again, "[http]\n\tproxy = x\n", "[http]\n\tproxy = x\n" + block("[http]", "OURS")},
		"not the subsection of a site": {again, "[http \"https://x\"]\n", "[http \"https://x\"]\n" + block("[http]", "OURS")},
	} {
		t.Run(name, func(t *testing.T) {
			d := parseDocument([]byte(c.before)).insert(c.layout, []string{"OURS"})
			if diff := cmp.Diff(c.after, string(d.bytes())); diff != "" {
				t.Error(diff)
			}
			want := c.before
			if want != "" && !strings.HasSuffix(want, "\n") {
				want += "\n"
			}
			if diff := cmp.Diff(want, string(d.remove().bytes())); diff != "" {
				t.Errorf("taken out again: %s", diff)
			}
		})
	}
}

// What the user added behind a header of ours stays in its section.
func TestBlockLeavesAHeaderThatIsNeeded(t *testing.T) {
	d := parseDocument([]byte(block("[global]", "cert = x") + "# mine\ntimeout = 5\n"))
	if got := string(d.remove().bytes()); got != "[global]\n# mine\ntimeout = 5\n" {
		t.Errorf("got %q", got)
	}
}

func TestSettingOfTheUsers(t *testing.T) {
	for text, want := range map[string]string{
		"[global]\ncert = /mine\n":                     "/mine",
		"[install]\ncert = /mine\n":                    "",
		"[global]\n# cert = /mine\n":                   "",
		"[global]\n" + block("cert = x"):               "",
		"[global]\n" + block("cert = x") + "cert=/y\n": "/y",
	} {
		if _, got := parseDocument([]byte(text)).setting(ini); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	if _, got := parseDocument([]byte("[HTTP] sslCAInfo = \"/mine\"\n")).setting(again); got != "/mine" {
		t.Errorf("behind git's header: %q", got)
	}
}

// FuzzBlock: what is inserted can be found, and taken out without a trace.
func FuzzBlock(f *testing.F) {
	for _, text := range []string{"", "a", "[global]\r\nx=1\r\n", "[http]\n[global]\n", blockBegin, block("x"), "\n\n"} {
		f.Add([]byte(text), true)
	}
	f.Fuzz(func(t *testing.T, raw []byte, sections bool) {
		l := plain
		if sections {
			l = ini
		}
		d := parseDocument(raw)
		if bytes.Contains(raw, []byte(blockBegin)) || strings.ContainsRune(string(raw), '\r') {
			return // refused, or made uniform
		}
		with := d.insert(l, []string{"OURS"})
		if _, _, ok := parseDocument(with.bytes()).block(); !ok {
			t.Fatalf("no block in %q", with.bytes())
		}
		want := d.bytes()
		if got := parseDocument(with.bytes()).remove().bytes(); !bytes.Equal(got, want) {
			t.Fatalf("%q became %q", want, got)
		}
	})
}

package classify

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/agentproxy/agentproxy/profiles/rules"
	"github.com/agentproxy/agentproxy/proxy/proxytest/raced"
	"github.com/agentproxy/agentproxy/wrap/term"
	"github.com/google/go-cmp/cmp"
)

var _ term.Viewer = (*Classifier)(nil)

const (
	refused    = "curl: (56) CONNECT tunnel failed, response 403\n"
	distrusted = "fatal: unable to access 'https://code.example/': SSL certificate problem: unable to get local issuer certificate\n"
	installed  = "Successfully installed six-1.16.0\n"
	retrying   = "WARNING: Retrying (Retry(total=1)) after connection broken by 'ProxyError('Cannot connect to proxy.', OSError('Tunnel connection failed: 403 Forbidden'))': /simple/\n"
)

func TestVerdict(t *testing.T) {
	o := known(t)
	failed, succeeded := Status{true, 1}, Status{true, 0}
	for _, c := range []struct {
		name, output string
		status       Status
		want         rules.Class
		unclear      bool
	}{
		{"nothing", "all well\n", failed, rules.None, false},
		{"a failure", refused, failed, rules.PolicyDenied, false},
		{"a command that succeeded", refused, succeeded, rules.None, false},
		{"one that fails with status 0", "net::ERR_CERT_AUTHORITY_INVALID\n", succeeded, rules.TLSTrust, false},
		{"a retry that worked", retrying + installed, Status{}, rules.None, false},
		{"a retry that worked, and another failure", retrying + installed + "assertion failed\n", failed, rules.None, false},
		{"a failure, and success of something else", refused + installed, failed, rules.PolicyDenied, false},
		{"success, then failure", installed + refused, Status{}, rules.PolicyDenied, false},
		{"the last of two decides", distrusted + refused, failed, rules.PolicyDenied, false},
		{"the last of two decides", refused + distrusted, failed, rules.TLSTrust, false},
		{"words that tell too little", "curl: (22) The requested URL returned error: 403\n", failed, rules.None, true},
		{"Windows line ends", strings.ReplaceAll(distrusted, "\n", "\r\n"), failed, rules.TLSTrust, false},
		{"colours", "\x1b[31mcurl: (56)\x1b[0m CONNECT tunnel failed, \x1b[1mresponse 403\x1b[0m\n", failed, rules.PolicyDenied, false},
		{"a progress bar before it", "10%\r20%\r100%\r" + refused, failed, rules.PolicyDenied, false},
		{"no line end", strings.TrimSpace(refused), failed, rules.PolicyDenied, false},
		{"wrapped between words", "could not connect to registry.example: failed to request discovery document: Get\n\"https://registry.example/.well-known/terraform.json\": x509: certificate signed by unknown\nauthority\n", failed, rules.TLSTrust, false},
		{"wrapped inside a word", "  curl error 56 while downloading https://packages.example/packages.json: C\n  ONNECT tunnel failed, response 407\n", failed, rules.ProxyAuth407, false},
		{"a failure before a very long line", refused + strings.Repeat("x", 3*longestLine) + "\n", failed, rules.PolicyDenied, false},
		{"a failure deep in a long line", strings.Repeat("x ", 9000) + strings.TrimSpace(refused) + strings.Repeat(" x", 9000), failed, rules.PolicyDenied, false},
		{"many quiet lines with keywords, then the failure", strings.Repeat("fetching certificate of nobody\n", 5000) + refused + strings.Repeat("cleaning up\n", 20), failed, rules.PolicyDenied, false},
		{"a failure, and much else behind it", refused + strings.Repeat("cleaning up\n", 500), failed, rules.None, false},
	} {
		v := resultOf(t, o, c.output, c.status)
		if v.Class != c.want || v.Unclear != c.unclear {
			t.Errorf("%s: %s, unclear %v: %s", c.name, v.Class, v.Unclear, findings(v))
		}
	}
}

func TestFindings(t *testing.T) {
	o := known(t)
	v := resultOf(t, o, distrusted+refused, Status{})
	var got []string
	for _, f := range v.Findings {
		got = append(got, fmt.Sprint(f.Class, " ", f.Tool, " ", f.Host))
	}
	if diff := cmp.Diff([]string{"policy_denied curl ", "tls_trust git code.example"}, got); diff != "" {
		t.Error(diff)
	}
	if advice := v.Findings[1].Advice; !strings.Contains(advice, "GIT_SSL_CAINFO") {
		t.Errorf("advice for git: %q", advice)
	}

	o.Tool, o.Profiles = "mytool", nil
	c := New(o)
	c.View(1, []byte(refused))
	if v, err := c.Result(Status{}); err != nil || v.Findings[0].Tool != "mytool" {
		t.Errorf("%v, %v", v, err)
	}
}

// Output of the two streams is not mixed, and a hole ends what came before it.
func TestStreamsAndGaps(t *testing.T) {
	o := known(t)
	c := New(o)
	c.use(rulesOf(t, o))
	c.View(1, []byte("curl: (56) CONNECT tun"))
	c.View(2, []byte("nel failed, response 403\n"))
	if v, _ := c.Result(Status{}); v.Class != rules.None {
		t.Errorf("two streams made one line: %s", findings(v))
	}
	c = New(o)
	c.use(rulesOf(t, o))
	c.View(1, []byte("curl: (56) CONNECT tun"))
	c.Gap(1 << 20)
	c.View(1, []byte("nel failed, response 403\n"+refused))
	if v, _ := c.Result(Status{}); v.Class != rules.PolicyDenied || len(v.Findings) != 1 {
		t.Errorf("behind a gap: %s", findings(v))
	}
}

func TestNothingIsReadBeforeOutput(t *testing.T) {
	c := New(Options{}) // without a library, it could not be
	c.Gap(1)
	if v, err := c.Result(Status{true, 1}); err != nil || v.Class != rules.None {
		t.Errorf("%v, %v", v, err)
	}
}

// Memory does not grow with the output.
func TestMemory(t *testing.T) {
	o := known(t)
	c := New(o)
	c.use(rulesOf(t, o))
	used := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := used()
	log := append(benignLog(1<<20), bytes.Repeat([]byte(distrusted), 100)...)
	megabytes := 100
	if raced.Enabled {
		megabytes = 20
	}
	for i := range megabytes {
		c.View(1+i%2, log)
	}
	if after := used(); after > before+8<<20 {
		t.Errorf("%d bytes after %d MB", after-before, megabytes)
	}
	if v, _ := c.Result(Status{}); v.Class != rules.TLSTrust {
		t.Errorf("%s", findings(v))
	}
}

func TestRedact(t *testing.T) {
	for text, want := range map[string]string{
		"https://user:hunter2@files.example/x":    "https://…files.example/x",
		"Proxy-Authorization: Basic dXNlcjpwYXNz": "Proxy-Authorization: …",
		`"authorization":"Bearer abc.def.ghi"`:    `"authorization":"…"`,
		"Set-Cookie: session=abc; Path=/":         "Set-Cookie: …",
		"?access_token=abc123&x=1":                "?access_token=…&x=1",
		"export NPM_TOKEN=npm_abcdefghij":         "export NPM_TOKEN=…",
		"ghp_abcdefghijklmnopqrst was refused":    "… was refused",
		"key AKIAIOSFODNN7EXAMPLE":                "key …",
		"the token has expired":                   "the token has expired",
		"CONNECT tunnel failed, response 403":     "CONNECT tunnel failed, response 403",
	} {
		if got := Redact(text); got != want {
			t.Errorf("%q: %q, not %q", text, got, want)
		}
	}
	long := strings.Repeat("noise ", 200) + "https://u:hunter2@a.example " + strings.Repeat("more ", 200)
	at := strings.Index(long, "https")
	if got := quote(long, at, at+30); strings.Contains(got, "hunter2") || !strings.Contains(got, "a.example") || len(got) > longestQuote+8 {
		t.Errorf("%q", got)
	}
}

// The same over all samples at once, where one stands in the other's context.
func TestChunks(t *testing.T) {
	o := known(t)
	var all strings.Builder
	for _, s := range raced.Some(samples(t, "testdata/dev.jsonl")[:80]) {
		all.WriteString(s.Text + "\n")
	}
	want := resultOf(t, o, all.String(), Status{})
	for _, size := range []int{1, 511, 65537} {
		c := New(o)
		c.use(rulesOf(t, o))
		for rest := []byte(all.String()); len(rest) > 0; {
			n := min(size, len(rest))
			c.View(1, rest[:n])
			rest = rest[n:]
		}
		got, err := c.Result(Status{})
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("in pieces of %d: %s, %v", size, diff, err)
		}
	}
}

// How the output was cut into pieces makes no difference.
func FuzzChunks(f *testing.F) {
	o := known(f)
	set := rulesOf(f, o)
	for _, s := range samples(f, "testdata/dev.jsonl") {
		if len(s.Text) < 1<<10 && len(s.ID)%3 == 0 {
			f.Add([]byte(s.Text), uint64(len(s.Text)))
		}
	}
	f.Add([]byte(strings.Repeat("certificate\n", 300)+refused), uint64(1))
	f.Add(append(bytes.Repeat([]byte("x"), longestLine-30), refused...), uint64(2))
	f.Fuzz(func(t *testing.T, output []byte, seed uint64) {
		verdict := func(cut func(left int) int) Result {
			c := New(o)
			c.use(set)
			for rest := output; len(rest) > 0; {
				n := cut(len(rest))
				c.View(1, rest[:n])
				rest = rest[n:]
			}
			v, err := c.Result(Status{})
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		if len(output) > 2*longestLine {
			t.Skip("slow under instrumentation")
		}
		whole := verdict(func(left int) int { return left })
		r := rand.New(rand.NewPCG(seed, 6))
		pieces := verdict(func(left int) int { return 1 + r.IntN(min(left, 1+r.IntN(1<<r.IntN(18)))) })
		if diff := cmp.Diff(whole, pieces); diff != "" {
			t.Error(diff)
		}
	})
}

// No output makes the classifier fail, or quote what is no text.
func FuzzLines(f *testing.F) {
	o := known(f)
	set := rulesOf(f, o)
	f.Add("npm error code E403\n", "https://u:p@x/ ")
	f.Add(refused, "\x1b[")
	f.Fuzz(func(t *testing.T, line, noise string) {
		c := New(o)
		c.use(set)
		for i := range 8 {
			c.View(1+i%2, []byte(noise+line+noise))
		}
		v, err := c.Result(Status{})
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range v.Findings {
			if len(found.Line) > longestQuote+16 || strings.ContainsAny(found.Line, "\n\r") || found.Class == rules.None {
				t.Errorf("%q", found.Line)
			}
		}
	})
}

// Lines far longer than what is held against the rules, with words of failure
// anywhere in them, wrapped, escaped and in pieces: what is quoted is always text
// of theirs, and nothing panics. The plan is read as pairs of bytes: which piece,
// and how long.
func FuzzLongLines(f *testing.F) {
	o := known(f)
	set := rulesOf(f, o)
	pieces := []string{
		"x", "certificate verify failed", "\\n", "\\u003c", "npm error code E403", "x509: certificate signed by unknown authority", "é", "\xff",
		"https://api.example:8443/", "\x1b[31m", "\r", "\t", " ", "HTTP 407", "Could not resolve host: api.example", "\"", "\n", "CONNECT tunnel failed, response 403",
	}
	f.Add([]byte{0, 188, 1, 0, 0, 75, 1, 0})
	f.Add([]byte{0, 255, 0, 255, 5, 0, 0, 80, 5, 0, 0, 30, 14, 0})
	f.Add([]byte{1, 0, 0, 255, 1, 0, 0, 255, 2, 40, 1, 0, 16, 0, 17, 0})
	f.Fuzz(func(t *testing.T, plan []byte) {
		var out []byte
		for i := 0; i+1 < len(plan) && len(out) < 4*longestText; i += 2 {
			piece := pieces[int(plan[i])%len(pieces)]
			out = append(out, strings.Repeat(piece, 1+int(plan[i+1])*8/len(piece))...)
		}
		c := New(o)
		c.use(set)
		c.View(1, out)
		c.View(2, out)
		v, err := c.Result(Status{Known: true, Code: 1})
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range v.Findings {
			if len(found.Line) > longestQuote+16 || !utf8.ValidString(found.Line) {
				t.Errorf("%q", found.Line)
			}
		}
	})
}

// The line of two thousand bytes and more that ended explain, exec and a
// succeeding command, with the words at every place in it.
func TestLongLinesWithWordsNearTheirEnd(t *testing.T) {
	filter := rulesOf(t, known(t)).filter
	const words = "certificate verify failed"
	for length := longestText - 100; length < 3*longestText; length += 211 {
		for gap := 0; gap+2*len(words) <= length; gap += 97 {
			for before := 0; before+gap+2*len(words) <= length; before += 97 {
				text := strings.Repeat("x", before) + words + strings.Repeat("y", gap) + words
				text += strings.Repeat("z", length-len(text))
				if got := excerpt(text, filter); !strings.Contains(got, words) || len(got) > 2*longestText {
					t.Fatalf("%d before, %d between, of %d: %d bytes, %q…", before, gap, length, len(got), got[:min(80, len(got))])
				}
			}
		}
	}
}

// Advice is of whose voice it is, whatever was called, and a cause has its own.
func TestAdviceIsOfWhoSpeaks(t *testing.T) {
	const traceback = "Traceback (most recent call last):\n  File \"/x/requests/adapters.py\", line 563, in send\n" +
		"requests.exceptions.SSLError: HTTPSConnectionPool(host='a.example', port=443): (Caused by SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed')))\n"
	for _, c := range []struct{ tool, output, advice string }{
		{"python", traceback, "REQUESTS_CA_BUNDLE"},
		{"make", "make: building\n" + distrusted, "GIT_SSL_CAINFO"},
		{"python", "OSError: Could not find a suitable TLS CA certificate bundle, invalid path: /none\n", "does not exist: unset it"},
		{"", " ---> RevocationStatusUnknown\n", "revocation list"},
		{"", "curl: (60) SSL certificate problem: certificate has expired\n", "has expired"},
		{"", "download.go:166: couldn't download blob: Get \"https://files.example/x\": tls: first record does not look like a TLS handshake\n", "speaks no TLS"},
	} {
		o := known(t)
		o.Tool, o.Profiles = c.tool, nil
		if c.tool != "" {
			o.Profiles = []string{c.tool}
		}
		v := resultOf(t, o, c.output, Status{Known: true, Code: 1})
		if len(v.Findings) == 0 || !strings.Contains(v.Findings[0].Advice, c.advice) {
			t.Errorf("%s: %q: %+v", c.tool, c.output, v.Findings)
		}
	}
}

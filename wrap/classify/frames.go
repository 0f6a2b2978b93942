package classify

import (
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/agentproxy/agentproxy/profiles/rules"
	"github.com/agentproxy/agentproxy/wrap/term"
)

// A command's output is often somebody else's words: what a test expected, a patch, the
// lines that a search found, a compiler's view of a source. What is found in such a
// frame is no failure of the command's. Neither is what it went on from: forty ordinary
// lines, or a program that sums up what it did, stand between a cause and the end.
//
// Only the ends of the streams are looked at, once, and only when something was found.

// farFromEnd is how many ordinary lines take a failure its place as the cause, closing
// how many may follow the last word.
const (
	farFromEnd = 40
	closing    = 2
)

// frames are the lines of a stream's end that are somebody else's words.
type frames struct {
	lines []string
	// framed has the lines that are in a frame, or before its end.
	framed []bool
	// whole is true when the stream did not begin earlier, checked when tests or a compiler
	// were run up to its end.
	whole, checked bool
}

func newFrames(end []byte, whole bool) *frames {
	f := &frames{whole: whole}
	reader := term.Lines{Each: func(text []byte) { f.lines = append(f.lines, strings.TrimRight(string(text), " \t\r")) }}
	reader.Write(end)
	reader.Break()
	f.framed = make([]bool, len(f.lines))
	f.tests()
	f.patches()
	f.scripts()
	f.listings()
	f.views()
	f.histories()
	f.files()
	f.sources()
	f.paragraphs()
	f.listeners()
	return f
}

// find returns the last place of a line, -1 for none.
func (f *frames) find(text string) int {
	for i, line := range slices.Backward(f.lines) {
		if line == text {
			return i
		}
	}
	return -1
}

// behind counts the ordinary lines behind a line.
func (f *frames) behind(at int) (ordinary int) {
	for _, line := range f.lines[at+1:] {
		if !continues().MatchString(line) {
			ordinary++
		}
	}
	return ordinary
}

// The words of test runners: pytest, unittest, go test, cargo test, jest, vitest, mocha,
// node --test, TAP, rspec, minitest, PHPUnit, JUnit by Maven and Gradle, GoogleTest, CTest,
// prove, Bun and Deno.
var (
	// opening is how a run of tests begins, or shows that one is under way.
	opening = pattern(`^=+ test session starts =+|^=== RUN |^\s*--- (?:FAIL|PASS|SKIP): |^running \d+ tests?$|^TAP version \d|^(?:PASS|FAIL|RUNS)\s+\S+\.\w+(?: |$)` +
		`|^ RUN  v\d|^# Subtest: |^(?:not )?ok \d+\b|^test_\w+ \(|^test \S+ \.\.\. |^(?:FAIL|ERROR): test|^Failures:$|^There (?:was|were) \d+ (?:failure|error)|^PHPUnit \d` +
		`|^Run options: |^# Running:|^Test project /|^\[[=-]{6,}\] |^\[ +(?:RUN|OK|FAILED) +\] |^ T E S T S$|^Running \S+Tests?$|^\s+[✓✔√✗✘✕] \S|^bun test v\d|^\S+::test\S* |^-{3,} \S+ (?:- \S+ )?stdout -{3,}$|^(?:PASS|FAIL|XFAIL|XPASS): \S|^\{"Time":"[^"]*","Action":|^\s*"fullTitle": |"failureMessages":\[|"numFailedTests":|^Failed example:$`)
	// summary is how one ends.
	summary = pattern(`^(?:=+ )?(?:\d+ (?:passed|failed|errors?|skipped|deselected|xfailed|warnings?)(?:, )?)+ in \d|^(?:FAIL|ok)\s+\S+\s+(?:[\d.]+s|\(cached\))|^FAIL$|^test result: |^Test Suites: |^Tests:\s+\d` +
		`|^\s*Tests\s+\d+ (?:failed|passed)|^Ran \d+ tests?\b|^(?:FAILED|OK) ?\(\w+=|^\d+ examples?, \d+ failures?|^\d+ (?:runs|tests), \d+ assertions|^Result: (?:FAIL|PASS)|^Files=\d+, Tests=` +
		`|^(?:#|ℹ) (?:pass|fail) \d|^\s*\d+ tests? failed$|^\[ +(?:FAILED|PASSED) +\] \d+ tests?|tests? failed out of \d|^Tests run: \d+, Failures|^\d+ tests? completed, \d+ failed|^(?:FAILED|ok) \| \d+ passed` +
		`|^\s*\d+ (?:fail|pass)$|^Tests: \d+, Assertions: \d+|^FAILURES!$|^FAILED \S+::\S+|^(?:✖|×) \d+ problems? \(|^Found \d+ errors?\b|^\d+ errors? generated|^error: aborting due to |^error: could not compile ` +
		`|^\S+\(\d+,\d+\): error TS\d+: |^\S+:\d+:\d+ - error TS\d+: |^\d+ errors?$|^\d+ (?:of|out of|/) ?\d+ tests? failed|^\*\*\*Test Failed\*\*\*`)
	// asserted is how a program ends that checks itself.
	asserted = pattern(`^(?:Exception in thread .*|[\w.]*)\bAssertion(?:Failed)?Error\b|^thread '[^']+' (?:\(\d+\) )?panicked at .*assertion|^assertion .*failed`)
	// heading is what a runner lists its failures behind, indented.
	heading = pattern(`^\s*\d+ (?:failing|pending)$|^✖ failing tests:$`)
	// entryOf is how an entry of such a list begins or ends, listed a line of one.
	entryOf = pattern(`^\s+(?:\d+\) |at )|^✖ |^test at \S+:\d+`)
	listed  = pattern(`^$|^\s|^✖ |^test at \S+:\d+`)
	// notRun are words of runners that no test was run.
	notRun = pattern(`\[(?:setup|build) failed\]|^ERROR: usage: |collected 0 items`)
)

// tests marks what stands before the end of a run of tests, or of a compiler.
func (f *frames) tests() {
	first, last, check := -1, -1, -1
	for i, line := range f.lines {
		line = body(line)
		switch {
		case notRun().MatchString(line):
			return
		case summary().MatchString(line):
			last = i
		case heading().MatchString(line):
			last = f.listed(i + 1)
		case asserted().MatchString(line):
			check = i
		case first < 0 && opening().MatchString(f.lines[i]):
			first = i
		}
	}
	if first >= 0 && last < first { // its end is missing
		last = len(f.lines) - 1
	}
	if first < 0 && last < 0 {
		last = check
	}
	f.checked = last >= 0 && f.behind(last) <= closing
	f.mark(0, last+1)
}

// listed returns the last line of a runner's list of failures that begins at a place.
func (f *frames) listed(from int) int {
	last := from - 1
	for i, line := range f.lines[from:] {
		if entryOf().MatchString(line) {
			last = from + i
		}
	}
	for last+1 < len(f.lines) && listed().MatchString(f.lines[last+1]) {
		last++
	}
	return last
}

// continues is a line that may follow a failure and is a part of it: a stack, a blank, more
// of the same message, the word of whoever started the command.
var continues = pattern(`^\s|^$|^"|^(?:at |Caused by|\.\.\. \d+ more|npm (?:error|ERR!)|\[ERROR\]|\[INFO\]|error:|Error:|fatal:|note:|hint:|  |make(?:\[\d+\])?: |curl: |\}|\]|\))`)

// pattern is compiled when it is first used.
func pattern(text string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}

// causes leaves out what was found in frames, too far from the end, or of the user's own
// services.
func (c *Classifier) causes(marks []*mark) []*mark {
	if len(marks) == 0 {
		return nil
	}
	var ends []*frames
	local := false
	for _, s := range c.streams {
		end := s.end()
		f := newFrames(end, len(end) == s.size)
		ends = append(ends, f)
		local = local || f.local()
	}
	return slices.DeleteFunc(marks, func(m *mark) bool {
		return !m.ExitsZero && (local && m.ofServices() || !m.stands(ends))
	})
}

// TellsOther reports whether what is left of the output is about something else than why
// a connection failed: it is a run of tests or a compiler's up to its end, or many lines.
// It is asked after Result, and of output that names no failure of ours.
func (c *Classifier) TellsOther() bool {
	if c.rules == nil {
		return false
	}
	lines, checks := 0, false
	for _, s := range c.streams {
		end := s.end()
		f := newFrames(end, len(end) == s.size)
		lines += len(f.lines)
		checks = checks || f.checked
	}
	return checks || lines >= farFromEnd
}

// ofServices reports whether a mark means a service of the user's own where no other host
// is named. Proxies are local, too.
func (m *mark) ofServices() bool {
	switch m.Class {
	case rules.TLSTrust, rules.TLSOther, rules.ProxyBypassed, rules.PlainHTTP405, rules.UnsupportedProtocol:
		return m.host == "" || !hostIs("remote", m.host)
	}
	return false
}

// stands reports whether a mark is a command's own word, near enough to its end.
func (m *mark) stands(ends []*frames) bool {
	inSight := true
	for _, f := range ends {
		if at := f.find(m.raw); at >= 0 {
			ordinary := f.behind(at)
			m.closing = ordinary <= closing
			return !f.framed[at] && ordinary < farFromEnd
		}
		inSight = inSight && (f.whole || len(f.lines) < farFromEnd)
	}
	return inSight // else it stands before the ends
}

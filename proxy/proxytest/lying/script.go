// Package lying is an origin that answers what a script says, byte by byte and
// TLS record by TLS record: the lies that a proxy must not believe.
package lying

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

// Script is one answer, or what an origin gives in place of one. Its text has a
// step a line:
//
//	method HEAD        what the client must ask with; GET when nothing is said
//	body "abc"         with which body, for methods that have one
//	expect WHAT        what the client may see, see [Script.Expect]; bare, or
//	                   quoted as in Go
//	record "a\r\n" …   bytes of one TLS record, each quoted as in Go
//	repeat 1000 "x" …  the same, that many times over, in records of 16 KiB
//	raw "\x17\x03"     bytes below TLS
//	|                  here another record begins, see [Script.Forms]
//	segment            what there is of records goes out in one write
//	pause 20ms
//	read               wait for another request, without answering it
//	close | fin | rst  end: with close_notify, without it, by a reset
//
// What is not sent at the end goes out as one segment. A script that does not
// end the connection leaves it open, and the origin answers the next request
// on it truthfully.
type Script struct {
	// Name is the file's, the section's and the form's.
	Name string
	// Method and Body are the request's.
	Method, Body string
	// Expect are what the client may see: a status with the body behind it as
	// "200 abc", "200 cut" for an answer that is seen to be cut short, "502"
	// for any body, or "gone" for none at all.
	Expect []string

	steps []step
}

type step struct {
	verb  string
	bytes string
	times int
	pause time.Duration
}

// Load reads every script of every txtar file in a directory, in all forms.
func Load(dir fs.FS) ([]*Script, error) {
	files, err := fs.Glob(dir, "*.txtar")
	if err != nil {
		return nil, err
	}
	var all []*Script
	for _, file := range files {
		text, err := fs.ReadFile(dir, file)
		if err != nil {
			return nil, err
		}
		for _, section := range txtar.Parse(text).Files {
			s, err := Parse(strings.TrimSuffix(path.Base(file), ".txtar")+"/"+section.Name, string(section.Data))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			all = append(all, s.Forms()...)
		}
	}
	return all, nil
}

// Parse reads one script.
func Parse(name, text string) (*Script, error) {
	s := &Script{Name: name, Method: "GET"}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := s.line(line); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", name, i+1, err)
		}
	}
	if len(s.Expect) == 0 {
		return nil, fmt.Errorf("%s: nothing is expected", name)
	}
	return s, nil
}

func (s *Script) line(line string) (err error) {
	verb, rest, _ := strings.Cut(line, " ")
	st := step{verb: verb, times: 1}
	switch verb {
	case "method":
		s.Method = rest
		return nil
	case "body":
		s.Body, err = unquote(rest)
		return err
	case "expect":
		if strings.HasPrefix(rest, `"`) {
			rest, err = unquote(rest)
		}
		s.Expect = append(s.Expect, rest)
		return err
	case "repeat":
		var n string
		n, rest, _ = strings.Cut(rest, " ")
		if st.times, err = strconv.Atoi(n); err != nil {
			return err
		}
		st.bytes, err = unquote(rest)
	case "record", "raw":
		st.bytes, err = unquote(rest)
	case "pause":
		st.pause, err = time.ParseDuration(rest)
	case "|", "segment", "read", "close", "fin", "rst":
	default:
		return errors.New("no such step: " + verb)
	}
	s.steps = append(s.steps, st)
	return err
}

// unquote joins Go string literals.
func unquote(text string) (joined string, err error) {
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		quoted, err := strconv.QuotedPrefix(text)
		if err != nil {
			return "", fmt.Errorf("%s: %w", text, err)
		}
		one, err := strconv.Unquote(quoted)
		if err != nil {
			return "", err
		}
		joined, text = joined+one, text[len(quoted):]
	}
	return joined, nil
}

// Forms returns the script once, or three times when a bar stands in it: with
// one record in place of the bar, with two in one segment, and with two
// segments.
func (s *Script) Forms() []*Script {
	if !slices.ContainsFunc(s.steps, func(st step) bool { return st.verb == "|" }) {
		return []*Script{s}
	}
	form := func(name string, bar ...step) *Script {
		f := *s
		f.Name, f.steps = s.Name+", "+name, nil
		for _, st := range s.steps {
			if st.verb == "|" {
				f.steps = append(f.steps, bar...)
			} else {
				f.steps = append(f.steps, st)
			}
		}
		return &f
	}
	joined := form("one record")
	joined.join()
	return []*Script{joined, form("two records"), form("two segments", step{verb: "segment"}, step{verb: "pause", pause: 5 * time.Millisecond})}
}

// join makes one record of adjacent ones.
func (s *Script) join() {
	var joined []step
	for _, st := range s.steps {
		last := len(joined) - 1
		if last >= 0 && st.verb == "record" && joined[last].verb == "record" {
			joined[last].bytes += st.bytes
			continue
		}
		joined = append(joined, st)
	}
	s.steps = joined
}

// Bytes are what the script sends, without its records and pauses. What is
// repeated stands there twice.
func (s *Script) Bytes() []byte {
	var b []byte
	for _, st := range s.steps {
		b = append(b, strings.Repeat(st.bytes, min(st.times, 2))...)
	}
	return b
}

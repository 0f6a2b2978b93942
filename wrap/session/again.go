package session

import (
	"os"
	"slices"
	"time"

	"github.com/agentproxy/agentproxy/profiles/detect"
	"github.com/agentproxy/agentproxy/profiles/rules"
	"github.com/agentproxy/agentproxy/wrap/learned"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

func (s *session) mayRetry() bool { return s.Retry == Safe || s.Retry == Ask }

// mayBeAgain reports whether there may be another attempt behind this one.
func (s *session) mayBeAgain() bool {
	return s.mayRetry() && (!s.again && len(s.known.tools.Remedies) > 0 || s.couldCapture(rules.ProxyBypassed))
}

// remedy is what a profile has for the failure, if the first attempt has
// provably done nothing but fail: no tunnel was opened, or its profile says that
// the command may be run again.
func (s *session) remedy(a attempt) (detect.Remedy, bool) {
	v := a.verdict
	if a.result.OK() || a.result.Closed || v.Class == rules.None || v.Final || !s.mayRetry() || s.NoPreload || a.seen == nil {
		return detect.Remedy{}, false
	}
	if !a.seen.Silent() && !s.idempotent() {
		return detect.Remedy{}, false
	}
	i := slices.IndexFunc(s.known.tools.Remedies, func(m detect.Remedy) bool { return m.Class == v.Class })
	if i < 0 {
		return detect.Remedy{}, false
	}
	return s.known.tools.Remedies[i], true
}

func (s *session) idempotent() bool {
	for _, t := range s.known.tools.Tools {
		for _, arg := range t.Args {
			if arg != "" && arg[0] != '-' {
				return slices.Contains(t.Idempotent, arg)
			}
		}
	}
	return false
}

// wanted announces the second attempt, or asks.
func (s *session) wanted(remedy detect.Remedy, a attempt) bool {
	if s.Retry == Ask {
		return s.Console.Ask(remedy)
	}
	s.Console.Again(remedy, a.verdict)
	return true
}

// learn remembers what helped, for this project.
func (s *session) learn(fix learned.Fix) {
	dir, err := os.Getwd()
	if err != nil {
		return
	}
	fix.Project, fix.Since = learned.Project(dir), time.Now().UTC()
	if err := s.Memory.Learn(fix); err != nil {
		s.Console.Say("%s", err)
	}
}

// unlearn forgets a remedy that did not help this time.
func (s *session) unlearn(a attempt) {
	dir, err := os.Getwd()
	if err != nil || a.verdict.Class == rules.None {
		return
	}
	project := learned.Project(dir)
	if err := s.Memory.Unlearn(func(f learned.Fix) bool {
		return f.Project == project && f.Class == a.verdict.Class && f.Tool == a.verdict.Tool
	}); err != nil {
		s.Console.Say("%s", err)
	}
}

// stdin is where standard input stood before the command.
type stdin struct {
	file   bool
	offset int64
	// still is true for what the command cannot have used up.
	still bool
}

// holdStdin looks at standard input: a terminal and /dev/null can be read again,
// a file from where it stood, a pipe cannot.
func holdStdin() stdin {
	var st unix.Stat_t
	if unix.Fstat(0, &st) != nil {
		return stdin{still: true} // closed
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		offset, err := unix.Seek(0, 0, 1)
		return stdin{file: err == nil, offset: offset}
	case unix.S_IFCHR:
		var null unix.Stat_t
		return stdin{still: term.IsTerminal(0) || unix.Stat(os.DevNull, &null) == nil && null.Rdev == st.Rdev}
	}
	return stdin{}
}

// untouched reports whether the command has read nothing, or what it has read
// can be read again.
func (s stdin) untouched() bool {
	if s.file {
		_, err := unix.Seek(0, s.offset, 0)
		return err == nil
	}
	return s.still
}

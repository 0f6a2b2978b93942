package session

import (
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"github.com/agentproxy/agentproxy/profiles/rules"
	"github.com/agentproxy/agentproxy/wrap/verdict"
)

// conclude says why the command failed, and remembers it.
func (s *session) conclude(a attempt) {
	if a.seen != nil && s.Tunnel.Config.Policy.Reports() {
		s.Console.Seen(s.ID, a.seen)
	}
	if a.result.OK() {
		s.writeVerdict(verdict.Verdict{Class: rules.None, Source: verdict.Output})
		return
	}
	s.unlearn(a)
	if a.verdict.Class != rules.None {
		entry := verdict.Entry{Time: time.Now().UTC(), Command: filepath.Base(s.Argv[0]), Verdict: a.verdict}
		if err := s.Memory.Remember(entry); err != nil && s.Verbose {
			s.Console.Say("%s", err)
		}
	}
	s.writeVerdict(a.verdict)
	s.Console.Verdict(a.verdict)
	if s.Verbose && a.seen != nil {
		s.Console.Failures(a.seen.Failures, a.output)
	}
}

// openVerdict makes the file of the verdict, before the command runs: one that
// cannot be written is told of in time, and an earlier run's verdict does not
// stand for this one.
func (s *session) openVerdict() (err error) {
	if s.VerdictFile != "" {
		s.verdictFile, err = os.OpenFile(s.VerdictFile, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	}
	return err
}

// writeVerdict writes that file. The command has ended by now, and nothing here
// changes how.
func (s *session) writeVerdict(v verdict.Verdict) {
	if s.verdictFile == nil {
		return
	}
	err := json.NewEncoder(s.verdictFile).Encode(v)
	if cerr := s.verdictFile.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		s.Console.Say("the verdict could not be written: %s", err)
	}
}

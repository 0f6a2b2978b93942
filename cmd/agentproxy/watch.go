package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/agentproxy/agentproxy/profiles"
	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/wrap"
	"github.com/agentproxy/agentproxy/wrap/classify"
	"github.com/agentproxy/agentproxy/wrap/learned"
	"github.com/agentproxy/agentproxy/wrap/verdict"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// attempt is one run of the command, and why it failed.
type attempt struct {
	plan    wrap.Plan
	result  wrap.Result
	seen    *status.Evidence
	output  *wrap.Output
	verdict verdict.Verdict
}

// watched runs the command, once more where a change of ours mends its failure,
// and ends as it ended.
func (r *execution) watched(ctx context.Context) error {
	stdin := holdStdin()
	a, err := r.attempt(ctx)
	if err != nil {
		return err
	}
	if remedy, ok := r.remedy(a); ok && stdin.untouched() && r.wanted(remedy, a) {
		r.remedied, r.id = remedy.Class, newID()
		r.survey = r.look()
		if a, err = r.attempt(ctx); err != nil {
			return err
		}
		r.learn(remedy, a.result.OK())
	}
	if !a.result.OK() {
		r.unlearn(a)
		if err := r.conclude(a); err != nil {
			return err
		}
	}
	wrap.Exit(a.result)
	return nil
}

// attempt runs the command once.
func (r *execution) attempt(ctx context.Context) (attempt, error) {
	tunnel, attached, err := attach.Enter(ctx, r.options, r.id)
	if err != nil {
		return attempt{}, err
	}
	defer attached.Close()
	sayNotice(tunnel)
	plan, err := r.plan(ctx, tunnel)
	if err != nil {
		return attempt{}, err
	}
	if r.remedied == "" {
		sayPlan(plan)
	}
	reader := classify.New(r.reading())
	a := attempt{plan: plan, output: &wrap.Output{Then: reader}}
	a.result, err = wrap.Run(plan, wrap.Options{
		Output: a.output, Terminal: r.flags.terminal(r.known.tools),
		Again: r.remedied == "" && r.flags.retry != "never" && len(r.known.tools.Remedies) > 0,
	})
	plan.Clean()
	if err != nil || a.result.OK() {
		return a, err
	}
	// That ours could not be fetched would only distract from the command's own
	// failure; without it there is less to say.
	a.seen, _ = attached.Evidence(ctx)
	a.output.Replay()
	found, err := reader.Verdict(classify.Status{Known: true, Code: a.result.Code})
	if err != nil {
		return a, err
	}
	a.verdict = verdict.Of(verdict.Input{
		Failed: true, Output: found, Seen: a.seen, Tool: r.tool(), Conflicts: plan.Conflicts, Never: plan.Never, Advice: reader.Advice,
		Loopback: namesLoopback(r.argv), Mute: a.output.Empty(), Names: func(host string) bool { return !a.output.Omits(host) },
	})
	return a, nil
}

// namesLoopback tells that a command line names a server on loopback, other than
// as a proxy.
func namesLoopback(argv []string) bool {
	for word := range strings.FieldsSeq(strings.Join(argv, " ")) {
		word = strings.ToLower(word)
		if strings.Contains(word, "proxy") {
			continue
		}
		for _, host := range []string{"localhost", "127.0.0.1", "[::1]"} {
			if _, after, ok := strings.Cut(word, host); ok && !strings.HasPrefix(after, ".") {
				return true
			}
		}
	}
	return false
}

// reading says which profiles' words to look for.
func (r *execution) reading() classify.Options {
	o := classify.Options{Library: library(), Tool: r.tool()}
	for _, t := range slices.Backward(slices.Concat(r.known.tools.Tools, r.steps)) {
		o.Profiles = append(o.Profiles, t.Name)
	}
	return o
}

// tool is the profile of the innermost command, "" when none is known.
func (r *execution) tool() string {
	tools := r.known.tools.Tools
	if len(tools) == 0 || tools[len(tools)-1].Name == profiles.BaseName {
		return ""
	}
	return tools[len(tools)-1].Name
}

// remedy is what a profile has for the failure, if the first attempt has
// provably done nothing but fail: no tunnel was opened, or its profile says that
// the command may be run again.
func (r *execution) remedy(a attempt) (profiles.Remedy, bool) {
	v := a.verdict
	if a.result.OK() || v.Class == profiles.None || v.Final || r.flags.retry == "never" || r.flags.noPreload || a.seen == nil {
		return profiles.Remedy{}, false
	}
	if !a.seen.Silent() && !r.idempotent() {
		return profiles.Remedy{}, false
	}
	i := slices.IndexFunc(r.known.tools.Remedies, func(m profiles.Remedy) bool { return m.Class == v.Class })
	if i < 0 {
		return profiles.Remedy{}, false
	}
	return r.known.tools.Remedies[i], true
}

func (r *execution) idempotent() bool {
	for _, t := range r.known.tools.Tools {
		for _, arg := range t.Args {
			if arg != "" && arg[0] != '-' {
				return slices.Contains(t.Idempotent, arg)
			}
		}
	}
	return false
}

// wanted announces the second attempt, or asks.
func (r *execution) wanted(remedy profiles.Remedy, a attempt) bool {
	if r.flags.retry == "ask" {
		return askAgain(remedy)
	}
	sayAgain(remedy, a.verdict)
	return true
}

// learn remembers a remedy that helped.
func (r *execution) learn(remedy profiles.Remedy, helped bool) {
	if dir, err := os.Getwd(); err == nil && helped {
		fix := learned.Fix{Tool: remedy.Tool, Version: remedy.Version, Project: learned.Project(dir), Class: remedy.Class, Since: time.Now().UTC()}
		if err := learned.Open(stateDir()).Add(fix); err != nil {
			say("%s", err)
		}
	}
}

// unlearn forgets a remedy that did not help this time.
func (r *execution) unlearn(a attempt) {
	dir, err := os.Getwd()
	if err != nil || a.verdict.Class == profiles.None {
		return
	}
	project := learned.Project(dir)
	if _, err := learned.Open(stateDir()).Drop(func(f learned.Fix) bool {
		return f.Project == project && f.Class == a.verdict.Class && f.Tool == a.verdict.Tool
	}); err != nil {
		say("%s", err)
	}
}

// verdictVariable, set to "json", makes the verdict one JSON object on stderr.
const verdictVariable = "AGENTPROXY_VERDICT"

// conclude says why the command failed, and remembers it.
func (r *execution) conclude(a attempt) error {
	if a.verdict.Class != profiles.None {
		entry := verdict.Entry{Time: time.Now().UTC(), Command: filepath.Base(r.argv[0]), Verdict: a.verdict}
		if err := verdict.Remember(stateDir(), entry); err != nil && r.flags.verbose {
			say("%s", err)
		}
	}
	if r.flags.verdictFile != "" {
		data, err := json.Marshal(a.verdict)
		if err != nil {
			return err
		}
		if err := os.WriteFile(r.flags.verdictFile, append(data, '\n'), 0o600); err != nil {
			return err
		}
	}
	if os.Getenv(verdictVariable) == "json" {
		return json.NewEncoder(os.Stderr).Encode(a.verdict)
	}
	sayVerdict(a.verdict, r.flags.verbose)
	if r.flags.verbose && a.seen != nil {
		sayFailures(a.seen.Failures, a.output)
	}
	return nil
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

// untouched tells that the command has read nothing, or that what it has read
// can be read again.
func (s stdin) untouched() bool {
	if s.file {
		_, err := unix.Seek(0, s.offset, 0)
		return err == nil
	}
	return s.still
}

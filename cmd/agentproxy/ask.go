package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/peer"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/spf13/pflag"
)

func askCommand() *command {
	return &command{
		name:  "ask",
		short: "Decide in this terminal what the policy refuses in others",
		examples: `
  agentproxy ask                                 # in a terminal of its own; Ctrl-C ends it
  agentproxy ask --page                          # also with the buttons of the status page
  agentproxy exec --no-ask -- npm ci             # elsewhere: this one is not asked about`,
		long: `
With mode = "ask" under [policy], a host or a request that no rule allows waits while
this command runs. It shows each and takes an answer: once, this run, this hour, always
(written into your configuration), or no. What a rule denies is not asked about, and
nothing is when nobody listens, in CI or after exec --no-ask. A run cannot answer.

On a desktop, notify-send tells when something begins to wait; notify = false under
[policy] switches that off.

--page prints a link for each tunnel, and so does p at any time. It opens the status page
with buttons for the answers. A link works once, and the page for as long as this command
runs.`,
		define: func(flags *pflag.FlagSet) action {
			page := flags.Bool("page", false, "print links that open the status page with buttons")
			return func(ctx context.Context, proc *process, _ []string) error {
				return runAsk(ctx, proc, *page)
			}
		},
	}
}

// choice is how each answer is offered: by its letter.
var choice = map[string]string{contract.AnswerOnce: "[o]nce", contract.AnswerRun: "this [r]un", contract.AnswerHour: "this [h]our",
	contract.AnswerAlways: "[a]lways", contract.AnswerNo: "[n]o"}

// answers are what may be typed, and what it says.
var answers = map[string]string{"o": contract.AnswerOnce, "r": contract.AnswerRun, "h": contract.AnswerHour, "a": contract.AnswerAlways, "n": contract.AnswerNo}

func runAsk(ctx context.Context, proc *process, page bool) error {
	switch {
	case inRun(proc):
		return hint(errors.New("a run cannot answer for itself: that is for who started it"), "agentproxy ask, in a terminal of yours")
	case !isTerminal(proc.In):
		return hint(errors.New("ask takes answers from a terminal only, and stdin is none"), "agentproxy ask")
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	dir, err := rundir.Open(proc.Getenv)
	if err != nil {
		return err
	}
	release, err := rundir.Attend(dir.Path)
	if err != nil {
		return err
	}
	defer release()
	a := asking{proc: proc, page: page, heard: make(chan heard), refused: make(chan error), tunnels: map[int]*attach.Tunnel{}, waiting: map[int]heard{}, answered: map[string]bool{}}
	go a.follow(ctx)
	typed := make(chan string)
	go func() {
		defer close(typed)
		for lines := bufio.NewScanner(proc.In); lines.Scan(); {
			typed <- lines.Text()
		}
	}()
	proc.say("what your policy refuses is asked about here; Ctrl-C ends it")
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-a.refused:
			return hint(err, "agentproxy ask, in a terminal of yours")
		case h := <-a.heard:
			a.meet(ctx, h)
			a.hear(h)
		case line, ok := <-typed:
			if !ok {
				return nil
			}
			a.typed(ctx, strings.ToLower(strings.TrimSpace(line)))
		}
	}
}

// inRun reports whether this process or one that it descends from is part of a run.
func inRun(proc *process) bool {
	if proc.Getenv(contract.RunVariable) != "" {
		return true
	}
	for pid := os.Getpid(); pid > 1; pid = peer.Parent(pid) {
		if peer.Getenv(pid, contract.RunVariable) != "" {
			return true
		}
	}
	return false
}

// heard is what waits in a tunnel.
type heard struct {
	tunnel    *attach.Tunnel
	questions []contract.Question
	left      bool // it tells of no more
}

// asking shows one question after another.
type asking struct {
	proc    *process
	page    bool // whether each tunnel's page gets a link
	heard   chan heard
	refused chan error             // by a tunnel, for good
	tunnels map[int]*attach.Tunnel // that are listened to, by port
	waiting map[int]heard          // by the tunnel's port
	// answered are questions that a tunnel may tell of once more before it has the answer.
	answered map[string]bool

	shown  *contract.Question // nil when nothing waits
	tunnel *attach.Tunnel     // of what is shown
}

// lookForTunnels is how often tunnels are looked for that have come up.
const lookForTunnels = 500 * time.Millisecond

// follow listens to every tunnel, and to those that come.
func (a *asking) follow(ctx context.Context) {
	followed := map[string]bool{} // by the record's secret
	tick := time.NewTicker(lookForTunnels)
	defer tick.Stop()
	for {
		all, _ := attach.All(ctx, a.proc.Getenv) // it is tried again
		for _, t := range all {
			if followed[t.Record.Secret] {
				continue
			}
			q, err := t.Questions(ctx)
			switch {
			case err == nil:
				followed[t.Record.Secret] = true
				go a.listen(ctx, t, q)
			case errors.Is(err, attach.ErrForbidden):
				select {
				case a.refused <- err:
				case <-ctx.Done():
				}
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (a *asking) listen(ctx context.Context, t *attach.Tunnel, q *attach.Questions) {
	defer q.Close()
	defer context.AfterFunc(ctx, q.Close)()
	for {
		list, err := q.Next()
		select {
		case a.heard <- heard{t, list, err != nil}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// meet keeps who is listened to, and prints the link of who is new.
func (a *asking) meet(ctx context.Context, h heard) {
	port := h.tunnel.Record.Port
	switch known := a.tunnels[port]; {
	case h.left && known == h.tunnel:
		delete(a.tunnels, port)
	case !h.left && known != h.tunnel:
		a.tunnels[port] = h.tunnel
		if a.page {
			a.link(ctx, h.tunnel)
		}
	}
}

// link prints the address at which a status page may answer.
func (a *asking) link(ctx context.Context, t *attach.Tunnel) {
	link, err := t.Link(ctx)
	if err != nil {
		a.proc.say("no link for the tunnel on port %d: %v", t.Record.Port, err)
		return
	}
	a.proc.say("to answer in a browser, once: %s", link)
}

// typed takes a line: the wish for links, or an answer.
func (a *asking) typed(ctx context.Context, line string) {
	if line != "p" {
		a.answer(ctx, line)
		return
	}
	for _, port := range slices.Sorted(maps.Keys(a.tunnels)) {
		a.link(ctx, a.tunnels[port])
	}
	if len(a.tunnels) == 0 {
		a.proc.say("no tunnel is running")
	}
}

// hear takes over what waits in a tunnel, and shows the next where there is none shown.
func (a *asking) hear(h heard) {
	quiet := len(a.waiting) == 0
	h.questions = slices.DeleteFunc(h.questions, func(q contract.Question) bool { return a.answered[h.tunnel.Record.Secret+q.ID] })
	if len(h.questions) == 0 {
		delete(a.waiting, h.tunnel.Record.Port)
	} else {
		a.waiting[h.tunnel.Record.Port] = h
		if quiet {
			notify(a.proc, h.questions[0])
		}
	}
	if a.shown != nil && a.tunnel.Record.Port == h.tunnel.Record.Port &&
		!slices.ContainsFunc(h.questions, func(q contract.Question) bool { return q.ID == a.shown.ID }) {
		a.proc.say("it waits no more")
		a.shown = nil
	}
	a.next()
}

// notifyTimeout is how long a desktop may take.
const notifyTimeout = 5 * time.Second

// notice is a question for the desktop. The path is left out: it may hold a secret, and
// other users see the arguments of a command. Desktops read markup, and a process has its
// name from whoever runs it.
func notice(q contract.Question) string {
	q.Path = "something"
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(q.Who() + " wants " + q.What())
}

// notify tells of a question on the desktop, where there is one.
func notify(proc *process, q contract.Question) {
	if !q.Notify || proc.Getenv("DISPLAY") == "" && proc.Getenv("WAYLAND_DISPLAY") == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), notifyTimeout)
	cmd := exec.CommandContext(ctx, "notify-send", "--app-name=agentproxy", "--", "agentproxy asks", notice(q))
	if cmd.Start() != nil { // the terminal tells of it all the same
		cancel()
		return
	}
	go func() {
		defer cancel()
		_ = cmd.Wait()
	}()
}

// next shows a question. What was typed before is not an answer to it.
func (a *asking) next() {
	if a.shown != nil || len(a.waiting) == 0 {
		return
	}
	h := a.waiting[slices.Min(slices.Collect(maps.Keys(a.waiting)))]
	a.shown, a.tunnel = &h.questions[0], h.tunnel
	forgetTyped(a.proc.In)
	fmt.Fprint(a.proc.Out, shownQuestion(*a.shown))
}

// shownQuestion is a question for a person. Its words come from commands and are not
// to move the cursor.
func shownQuestion(q contract.Question) string {
	var choices []string
	for _, answer := range q.Answers() {
		choices = append(choices, choice[answer])
	}
	return fmt.Sprintf("\n%s wants %s\n  %s\n  %s? ", q.Who(), q.What(), status.Printable(q.Why), strings.Join(choices, ", "))
}

// answer takes what was typed for the question that is shown.
func (a *asking) answer(ctx context.Context, typed string) {
	if a.shown == nil {
		return
	}
	q := *a.shown
	answer, ok := answers[typed[:min(1, len(typed))]]
	if !ok || typed != answer && len(typed) > 1 || !slices.Contains(q.Answers(), answer) {
		fmt.Fprint(a.proc.Out, shownQuestion(q))
		return
	}
	if err := a.tunnel.Answer(ctx, q.ID, answer); err != nil {
		a.proc.say("%v", err)
	} else {
		a.answered[a.tunnel.Record.Secret+q.ID] = true
		if answer == contract.AnswerAlways {
			a.proc.say("%s allows %q now; as it was before: %s", q.Config, q.Entry, q.Config+config.BackupSuffix)
		}
	}
	a.shown = nil
	a.hear(heard{tunnel: a.tunnel, questions: slices.Clone(a.waiting[a.tunnel.Record.Port].questions)})
}

package daemon

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/proxytest"
	"github.com/agentproxy/agentproxy/proxy/proxytest/leftout"
	"github.com/agentproxy/agentproxy/proxy/rundir"
)

// listening is somebody who answers.
type listening struct {
	*running
	body    func() error
	decoder *json.Decoder
}

func (d *running) listening(t *testing.T) *listening {
	t.Helper()
	res := d.ask(t, rundir.RoleClient, http.MethodGet, contract.AskPath, nil)
	if res.StatusCode != http.StatusOK {
		t.Fatalf("nobody may listen: %s", res.Status)
	}
	l := &listening{d, res.Body.Close, json.NewDecoder(res.Body)}
	return l
}

// next returns the question that waits.
func (l *listening) next(t *testing.T) contract.Question {
	t.Helper()
	for {
		var list []contract.Question
		if err := l.decoder.Decode(&list); err != nil {
			t.Fatal(err)
		}
		if len(list) > 0 {
			return list[0]
		}
	}
}

func (l *listening) answer(t *testing.T, id, answer string) int {
	t.Helper()
	return l.ask(t, rundir.RoleClient, http.MethodPost, contract.AskPath, url.Values{"id": {id}, "answer": {answer}}).StatusCode
}

// connecting asks for a tunnel, and returns the status of the answer when it comes.
func (d *running) connecting(t *testing.T, target string) chan int {
	status := make(chan int, 1)
	go func() { status <- d.connects(t, target) }()
	return status
}

// startAsking starts one with tables before [policy], and keys in it.
func startAsking(t *testing.T, before, keys string) *running {
	t.Helper()
	if newRuns().ofAny(os.Getpid()) {
		leftout.Note(t, "answers to questions, as these tests are part of a run")
		t.SkipNow()
	}
	return startEdited(t, before+"[policy]\nmode = \"ask\"\ndefault = \"deny\"\ndeny = [\"evil.test\"]\nask_timeout = \"1h\"\n"+keys).running
}

// nowhere is where origin.test is: at an address where nobody listens.
const nowhere = "[egress.connect_to]\n\"origin.test:443\" = \"127.0.0.1:1\"\n"

// leads is the status of a tunnel that the policy lets pass: nobody listens at the
// origin's address.
const leads = http.StatusBadGateway

func TestWhatIsRefusedWaitsForAnAnswer(t *testing.T) {
	t.Parallel()
	d := startAsking(t, nowhere, "")
	if got := d.connects(t, "origin.test:443"); got != 403 {
		t.Errorf("nobody listens: %d", got)
	}
	l := d.listening(t)
	if got := d.connects(t, "evil.test:443"); got != 403 {
		t.Errorf("what a rule denies: %d", got)
	}
	waits := d.connecting(t, "origin.test:443")
	q := l.next(t)
	if q.Host != "origin.test:443" || q.Method != "" || q.PID != os.Getpid() || q.Entry != "origin.test" || q.Why == "" || q.Config == "" {
		t.Errorf("%+v", q)
	}
	if got := l.answer(t, q.ID, contract.AnswerNo); got != http.StatusNoContent || <-waits != 403 {
		t.Errorf("no: %d", got)
	}
	if got := l.answer(t, q.ID, contract.AnswerOnce); got != http.StatusGone {
		t.Errorf("an answer that comes too late: %d", got)
	}
	waits = d.connecting(t, "origin.test:443")
	if l.answer(t, l.next(t).ID, contract.AnswerOnce); <-waits != leads {
		t.Error("once does not let pass")
	}
	waits = d.connecting(t, "origin.test:443")
	if l.answer(t, l.next(t).ID, contract.AnswerHour); <-waits != leads {
		t.Error("this hour does not let pass")
	}
	l.body()
	if got := d.connects(t, "origin.test:443"); got != leads {
		t.Errorf("within the hour: %d", got)
	}
}

// A request waits as a tunnel does, and the connection goes on after a no.
func TestARequestWaitsForAnAnswer(t *testing.T) {
	t.Parallel()
	d := startAsking(t, leadsTo(t, "origin.test", proxytest.OK), "allow = [\"GET origin.test/open\"]\n")
	l := d.listening(t)
	for _, http2 := range []bool{true, false} {
		client := d.client(t)
		client.Transport.(*http.Transport).ForceAttemptHTTP2 = http2
		answers := make(chan int)
		post := func() {
			res, err := client.Post("https://origin.test/closed?secret", "text/plain", strings.NewReader("body"))
			if err != nil {
				t.Error(err)
				answers <- 0
				return
			}
			res.Body.Close()
			answers <- res.StatusCode
		}
		for answer, want := range map[string]int{contract.AnswerNo: 403, contract.AnswerOnce: 200} {
			go post()
			q := l.next(t)
			if q.Method != "POST" || q.Path != "/closed" || q.Entry != "POST origin.test/closed" {
				t.Errorf("%+v", q)
			}
			if l.answer(t, q.ID, answer); <-answers != want {
				t.Errorf("%s, http2 %v: not %d", answer, http2, want)
			}
		}
	}
}

// When the last one has left who would answer, what waits is refused.
func TestNobodyIsLeftToAnswer(t *testing.T) {
	t.Parallel()
	d := startAsking(t, nowhere, "")
	l := d.listening(t)
	waits := d.connecting(t, "origin.test:443")
	l.next(t)
	if l.body(); <-waits != 403 {
		t.Error("it passes")
	}
}

// A process of a run answers nothing, though it can read the endpoint record.
func TestARunCannotAnswer(t *testing.T) {
	t.Parallel()
	d := startAsking(t, nowhere, "")
	d.attach(t, "a-run", os.Getpid())
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		if res := d.ask(t, rundir.RoleClient, method, contract.AskPath, url.Values{"id": {"1"}, "answer": {contract.AnswerOnce}}); res.StatusCode != 403 {
			t.Errorf("%s: %s", method, res.Status)
		}
	}
	if res := d.ask(t, "", http.MethodGet, contract.AskPath, nil); res.StatusCode != 403 {
		t.Errorf("without a proof: %s", res.Status)
	}
}

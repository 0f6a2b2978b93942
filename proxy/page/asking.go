package page

import (
	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/status"
)

// Asking is what the tunnel asks about.
type Asking struct {
	// On is true when what no rule allows is asked about, Attended when somebody is there
	// to answer.
	On, Attended bool
	// Waiting are the questions that wait, Settled those that did, both oldest first.
	Waiting []contract.Question
	Settled []status.Asked
}

// Waiting is a question as it is drawn.
type Waiting struct {
	ID   string `json:"id"`
	Who  string `json:"who"`
	What string `json:"what"`
	Why  string `json:"why"`
	// Always says what that answer writes, "" where it cannot be given.
	Always  string   `json:"always"`
	Answers []Answer `json:"answers"`
}

// Answer is a button.
type Answer struct {
	Answer string `json:"answer"`
	Label  string `json:"label"`
}

// labels are the answers as they are shown.
var labels = map[string]string{
	contract.AnswerOnce: "once", contract.AnswerRun: "this run", contract.AnswerHour: "this hour",
	contract.AnswerAlways: "always", contract.AnswerNo: "no", "": "nobody answered",
}

// ask puts on a view what waits, and what a filter leaves of what has been settled.
func (v *View) ask(a Asking, f Filter) {
	switch {
	case !a.On:
		v.Asks = ""
	case !a.Attended:
		v.Asks = "Nobody listens: what no rule allows is refused at once."
	default:
		v.Asks = "What no rule allows waits for an answer."
	}
	v.Waiting = []Waiting{}
	for _, q := range a.Waiting {
		w := Waiting{ID: q.ID, Who: q.Who(), What: q.What(), Why: status.Printable(q.Why)}
		for _, answer := range q.Answers() {
			w.Answers = append(w.Answers, Answer{answer, labels[answer]})
			if answer == contract.AnswerAlways {
				w.Always = "always writes " + q.Entry + " into " + status.Printable(q.Config)
			}
		}
		v.Waiting = append(v.Waiting, w)
	}
	v.Tables = append(v.Tables, settledTable(a.Settled, f))
}

func settledTable(list []status.Asked, f Filter) Table {
	t := Table{ID: "asked", Title: "Asked and answered", Empty: "nothing yet",
		Columns: []Column{{"Time", "time"}, {"Answer", "outcome"}, {"For", "name"}, {"Process", ""}}}
	all := 0
	for i := len(list) - 1; i >= 0; i-- {
		e := list[i].Entry()
		if !f.matches(e) {
			continue
		}
		if all++; len(t.Rows) == shownRows && !f.On() {
			continue
		}
		t.Rows = append(t.Rows, Row{string(e.Outcome), []string{clock(e.TS.Time), labels[list[i].Answer], list[i].What(), whose(e)}})
	}
	return t.more(all)
}

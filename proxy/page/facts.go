package page

import (
	"fmt"
	"time"

	"github.com/agentproxy/agentproxy/proxy/status"
)

// Fact is something about the tunnel: codes first, then words.
type Fact struct {
	Name  string   `json:"name"`
	Codes []string `json:"codes"`
	Text  string   `json:"text"`
	// Copy is what its button copies, "" for no button.
	Copy string `json:"copy"`
	// Class marks what is wrong.
	Class string `json:"class"`
}

// describe puts what does not come from decisions on a view.
func (p *Page) describe(v *View, doc *status.Document) {
	if doc.PolicyProblem != "" {
		v.Problem = "The old policy stays in force: " + doc.PolicyProblem
	}
	v.Policy = p.policyFacts(doc)
	v.Setup = append(tunnelFacts(doc), noteworthy(doc)...)
}

func (p *Page) policyFacts(doc *status.Document) []Fact {
	byDefault, rules := p.Policy()
	if rules == nil {
		return []Fact{{Name: "decided by", Codes: []string{doc.Upstream}, Text: "the upstream egress"}}
	}
	fate := "allowed on port 443"
	if byDefault == "deny" {
		fate = "denied"
	}
	facts := []Fact{{Name: "a host that no rule names", Text: fate}}
	for _, r := range rules {
		if len(r.Patterns) > 0 {
			facts = append(facts, Fact{Name: r.Name, Codes: r.Patterns})
		}
	}
	return facts
}

func tunnelFacts(doc *status.Document) []Fact {
	egress := Fact{Name: "egress", Text: "embedded, re-terminates TLS"}
	if doc.Upstream != "" {
		egress = Fact{Name: "upstream", Codes: []string{doc.Upstream}}
	}
	up := fmt.Sprintf("version %s, pid %d", doc.Version, doc.PID)
	if doc.Started != nil {
		up = "since " + doc.Started.Local().Format(time.DateTime) + ", " + up
	}
	used := fmt.Sprintf("%d runs, %d shells", doc.Runs, doc.Shells)
	if doc.IdleExit != "" {
		used += "; leaves when idle for " + doc.IdleExit
	}
	facts := []Fact{egress, {Name: "up", Text: up}, {Name: "attached", Text: used},
		{Name: "CA, SHA-256", Codes: []string{doc.CAFingerprint}, Copy: doc.CAFingerprint}}
	if doc.CAExpires != nil {
		facts = append(facts, Fact{Name: "CA valid until", Text: doc.CAExpires.Format(time.DateOnly)})
	}
	facts = append(facts, Fact{Name: "CA bundle", Codes: []string{doc.CABundlePath}, Copy: doc.CABundlePath})
	if doc.ConfigPath != "" {
		facts = append(facts, Fact{Name: "configuration", Codes: []string{doc.ConfigPath}})
	}
	return facts
}

// noteworthy is what was done for clients, and what stands in the way.
func noteworthy(doc *status.Document) (facts []Fact) {
	for _, a := range doc.Accommodations {
		facts = append(facts, Fact{Name: "accommodation", Codes: []string{a.Code}, Text: a.Detail})
	}
	for _, code := range doc.ToolTrustFailureCodes {
		facts = append(facts, Fact{Name: "conflict", Codes: []string{code}, Class: string(status.Failed)})
	}
	for _, code := range doc.GitConfigConflicts {
		facts = append(facts, Fact{Name: "conflict", Codes: []string{code}, Text: "in git's configuration"})
	}
	for _, c := range doc.ToolConflicts {
		f := Fact{Name: "conflict", Codes: []string{c.Code, c.File}, Text: c.Advice}
		if c.Overruled {
			f.Text = "overruled for runs"
		}
		facts = append(facts, f)
	}
	return facts
}

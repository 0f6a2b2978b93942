// Package wrap runs a command behind the tunnel: it plans what to change for
// it, runs it exactly as it would run alone, and reports how it ended.
package wrap

import (
	"github.com/agentproxy/agentproxy/profiles/env"
)

// Input is everything that a plan depends on.
type Input struct {
	Argv    []string
	Environ []string
	Tunnel  env.Tunnel
}

// Plan is what to run and what was changed for it.
type Plan struct {
	Argv    []string `json:"argv"`
	Environ []string `json:"-"`
	Changes []Change `json:"environment"`
}

// Change is one difference between the user's environment and the command's.
// The user's old value is not in it: it may hold a password.
type Change struct {
	Name string `json:"name"`
	// Action is "add", "change" or "remove".
	Action string `json:"action"`
	Value  string `json:"value,omitempty"`
	Reason string `json:"reason"`
}

// NewPlan is a pure function from the input to the plan.
func NewPlan(in Input) Plan {
	edits := env.Base(in.Tunnel, in.Environ)
	p := Plan{Argv: in.Argv, Environ: env.Apply(in.Environ, edits)}
	for _, e := range edits {
		old, had := env.Lookup(in.Environ, e.Name)
		c := Change{Name: e.Name, Action: "add", Value: e.Value, Reason: e.Reason}
		switch {
		case e.Unset:
			c.Action, c.Value = "remove", ""
		case had && old == e.Value:
			continue
		case had:
			c.Action = "change"
		}
		p.Changes = append(p.Changes, c)
	}
	return p
}

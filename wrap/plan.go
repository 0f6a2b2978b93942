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
	Argv    []string
	Environ []string
	Edits   []env.Edit
}

// NewPlan is a pure function from the input to the plan.
func NewPlan(in Input) Plan {
	edits := env.Base(in.Tunnel, in.Environ)
	return Plan{Argv: in.Argv, Environ: env.Apply(in.Environ, edits), Edits: edits}
}

package classify

import "github.com/agentproxy/agentproxy/profiles"

// Advice returns what a tool's profile advises for a class of failure,
// for the tool "" what is advised in general; "" when nothing is.
func (c *Classifier) Advice(tool string, class profiles.Class) string {
	if !c.ready() {
		return ""
	}
	return c.rules.adviceFor(tool, class)
}

package classify

import "github.com/agentproxy/agentproxy/profiles/rules"

// Advice returns what a tool's profile advises for a class of failure,
// for the tool "" what is advised in general; "" when nothing is.
func (c *Classifier) Advice(tool string, class rules.Class) string {
	if !c.ready() {
		return ""
	}
	return c.rules.adviceFor(tool, class)
}

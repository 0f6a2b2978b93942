package shell

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Shim is a script that stands before a command, in the directory shims, which is
// in front of PATH: scripts, Makefiles and agents find it there.
func Shim(exe, shims, command string) string {
	return fmt.Sprintf("#!/bin/sh\nbin=%s name=%s shims=%s\n", QuotePOSIX(exe), QuotePOSIX(command), QuotePOSIX(shims)) + text("shim.sh")
}

// AgentShell is a script that runs the command line in its only argument, for
// agents that let one stand before their shell.
func AgentShell(exe string) string {
	return "#!/bin/sh\nbin=" + QuotePOSIX(exe) + "\n" + text("agent.sh")
}

// OpenCodePlugin is a plugin for OpenCode that has its command lines run by the
// script.
func OpenCodePlugin(script string) string {
	return "const script = " + quoteJS(script) + ";\n" + text("opencode.js")
}

// IsOpenCodePlugin reports whether a text is such a plugin.
func IsOpenCodePlugin(text []byte) bool {
	return bytes.HasPrefix(text, []byte("const script = ")) && bytes.Contains(text, []byte("export const Agentproxy ="))
}

// quoteJS is right as a JSON string is one of JavaScript's (ECMA-262, since 2019).
func quoteJS(value string) string {
	quoted, err := json.Marshal(value)
	if err != nil {
		panic(err) // a string has always a form
	}
	return string(quoted)
}

// Prepend puts a directory in front of PATH, once.
func (s Shell) Prepend(dir string) string { return fmt.Sprintf(s.prepend, s.quote(dir)) }

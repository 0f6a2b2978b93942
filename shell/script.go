package shell

import "fmt"

// Shim is a script that stands before a command, in the directory shims, which is
// in front of PATH: scripts, Makefiles and agents find it there.
func Shim(exe, shims, command string) string {
	return fmt.Sprintf("#!/bin/sh\nbin=%s name=%s shims=%s\n", quotePOSIX(exe), quotePOSIX(command), quotePOSIX(shims)) + text("shim.sh")
}

// AgentShell is a script that runs the command line in its only argument, for
// agents that let one stand before their shell.
func AgentShell(exe string) string {
	return "#!/bin/sh\nbin=" + quotePOSIX(exe) + "\n" + text("agent.sh")
}

// Prepend puts a directory in front of PATH, once.
func (s Shell) Prepend(dir string) string {
	if s.Name == "fish" {
		return fmt.Sprintf("contains -- %[1]s $PATH; or set -gx PATH %[1]s $PATH\n", s.quote(dir))
	}
	return fmt.Sprintf("case :$PATH: in *:%[1]s:*) ;; *) export PATH=%[1]s:$PATH ;; esac\n", s.quote(dir))
}

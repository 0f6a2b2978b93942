// Command agentproxy runs any command so that its HTTPS works behind a
// policy-enforcing, TLS-re-terminating proxy.
package main

import "os"

func main() {
	proc := thisProcess()
	// Where we look for programs. What we start gets PATH as it is.
	if path := withoutShims(proc.Getenv); path != proc.Getenv("PATH") {
		os.Setenv("PATH", path)
	}
	os.Exit(run(proc, os.Args[1:]))
}

// Command agentproxy runs any command so that its HTTPS works behind a
// policy-enforcing, TLS-re-terminating proxy.
package main

import "os"

func main() { os.Exit(run(os.Args[1:])) }

// Contained runs a command as in a container (proxytest/contained).
//
//	contained COMMAND...
package main

import (
	"fmt"
	"os"

	"github.com/agentproxy/agentproxy/proxy/proxytest/contained"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: contained COMMAND...")
		os.Exit(2)
	}
	fmt.Fprintln(os.Stderr, "contained:", contained.Exec(os.Args[1:]))
	os.Exit(1)
}

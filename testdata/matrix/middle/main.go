// Command middle is an upstream egress that re-terminates TLS and has a defect: middle
// DEFECT FILE prints its URL, writes its root into the file, and serves until it is killed.
package main

import (
	"fmt"
	"os"

	"github.com/agentproxy/agentproxy/proxy/proxytest"
	"github.com/agentproxy/agentproxy/proxy/proxytest/middle"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: middle DEFECT FILE; the defects:", middle.Defects)
		os.Exit(2)
	}
	t := proxytest.Program{}
	p := middle.Start(t, middle.Defect(os.Args[1]))
	if err := os.WriteFile(os.Args[2], p.PEM(), 0o644); err != nil {
		t.Fatal(err)
	}
	fmt.Println(p.URL())
	select {}
}

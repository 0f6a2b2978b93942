// Command bench measures agentproxy beside other proxies and beside none.
// The script named run, in the same folder, starts what it needs and calls it.
package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
)

const usage = `usage: bench COMMAND [FLAGS]

  bench origin --ca ca.pem                  serve HTTPS on a free port; print the address, write the CA
  bench ports 3                             print three free ports, one a line
  bench load keepalive --origin 127.0.0.1:8443 --via direct=ca.pem --via squid=squid.pem,127.0.0.1:3128
                                            measure in rounds, one result a line, as JSON
  bench report < results.jsonl              print the table; with --json, the same as one document
  bench plot < results.jsonl                draw the results of growth, as an SVG

load measures one of: keepalive connect bulk firstvisit idle growth. Every command has -h.
`

func main() {
	commands := map[string]func([]string) error{
		"origin": origin,
		"ports":  ports,
		"load":   load,
		"report": report,
		"plot":   plot,
	}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "bench %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

// ports binds all its listeners before it closes any, so that no port is named twice.
func ports(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want one number, got %q", args)
	}
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer l.Close()
		fmt.Println(l.Addr().(*net.TCPAddr).Port)
	}
	return nil
}

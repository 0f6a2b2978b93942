// Command lyingorigin is an origin that answers what scripts say, for trying
// the tunnel by hand. See package proxy/proxytest/lying for the scripts.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"os"

	"github.com/agentproxy/agentproxy/proxy/proxytest"
	"github.com/agentproxy/agentproxy/proxy/proxytest/lying"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("lyingorigin: ")
	dir := flag.String("scripts", "testdata/lyingorigin/scripts", "directory of txtar files")
	listen := flag.String("listen", "127.0.0.1:0", "address to listen at")
	name := flag.String("name", "origin.test", "name in the certificate")
	root := flag.String("ca", "lyingorigin.pem", "file to write the authority's certificate to")
	flag.Parse()
	log.Fatal(serve(*dir, *listen, *name, *root))
}

func serve(dir, listen, name, root string) error {
	scripts, err := lying.Load(os.DirFS(dir))
	if err != nil {
		return err
	}
	var t proxytest.Program
	authority := proxytest.NewCA(t, "lyingorigin")
	if err := os.WriteFile(root, authority.PEM(), 0o644); err != nil {
		return err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	for i, s := range scripts {
		fmt.Printf("https://%s%s%d\t%s %s\n", name, lying.Path, i, s.Method, s.Name)
	}
	o := &lying.Origin{Scripts: scripts, Cert: authority.Issue(t, nil, nil, name)}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go o.Serve(c)
	}
}

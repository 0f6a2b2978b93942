// Oracle prints how BuildKit's own parser divides Dockerfiles: for each
// instruction of the files that are named its lines, its name, and how many
// here-documents it has; or the parser's error.
package main

import (
	"bytes"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

func main() {
	for _, file := range os.Args[1:] {
		data, err := os.ReadFile(file)
		if err != nil {
			log.Fatal(err)
		}
		name := filepath.Base(file)
		result, err := parser.Parse(bytes.NewReader(data))
		if err != nil {
			log.Fatalf("%s: %v", name, err)
		}
		for _, node := range result.AST.Children {
			fmt.Printf("%s %d-%d %s %d\n", name, node.StartLine, node.EndLine, strings.ToUpper(node.Value), len(node.Heredocs))
		}
	}
}

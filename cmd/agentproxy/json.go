package main

import (
	"encoding/json"
	"io"
	"strings"
)

// printJSON prints a document for programs. Whatever command prints it, it is one line,
// as each line of log --json is.
func printJSON(w io.Writer, document any) error { return encoderTo(w).Encode(document) }

func encoderTo(w io.Writer) *json.Encoder {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e
}

// printSettings prints a document that people keep in a file of an agent's.
func printSettings(w io.Writer, document any) error {
	e := encoderTo(w)
	e.SetIndent("", "  ")
	return e.Encode(document)
}

func compactJSON(document any) string {
	var b strings.Builder
	if err := printJSON(&b, document); err != nil {
		panic(err) // strings have always a form
	}
	return strings.TrimSuffix(b.String(), "\n")
}

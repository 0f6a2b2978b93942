package status

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What clients send in place of a host must not carry secrets, paths or
// terminal codes into the log.
func TestEntryIsClean(t *testing.T) {
	for sent, want := range map[string]string{
		"api.example:443":                        "api.example:443",
		"[::1]:443":                              "[::1]:443",
		"user:secret@api.example:443":            "api.example:443",
		"https://u:s@api.example/a/b?token=x":    "api.example",
		"api.example:443?token=x":                "api.example:443",
		"/home/me/private":                       "",
		"user:se/cret@api.example:443":           "api.example:443",
		"\x1b]0;owned\x07<script>.example:443\n": "_]0;owned_<script>.example:443_",
	} {
		f := Failure{Kind: PolicyDenied, Host: sent}
		if got := f.Entry().Host; got != want {
			t.Errorf("%q: %q, want %q", sent, got, want)
		}
	}
	f := Failure{Kind: PlainHTTP, Process: "\x1b[2J", Detail: "GET /secret"}
	if e := f.Entry(); e.Process != "?[2J" || e.Outcome != Refused {
		t.Errorf("%+v", e)
	}
}

// Every kind has its row.
func TestKindsAreComplete(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "status.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, decl := range file.Decls {
		g, ok := decl.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, spec := range g.Specs {
			if id, ok := spec.(*ast.ValueSpec).Type.(*ast.Ident); ok && id.Name == "Kind" {
				if v := spec.(*ast.ValueSpec); n >= len(Kinds) || `"`+string(Kinds[n].Kind)+`"` != v.Values[0].(*ast.BasicLit).Value {
					t.Fatalf("%s is not row %d of Kinds", v.Names[0], n)
				}
				n++
			}
		}
	}
	if n != len(Kinds) {
		t.Errorf("%d constants, %d rows", n, len(Kinds))
	}
}

// A failure that is kept and shown has nothing in it that a terminal obeys, nor
// what turns the direction of writing; what people write stays as it is.
func TestFailureIsClean(t *testing.T) {
	t.Parallel()
	const bad, good = "\x1b[2Ja\u202eb\u200bc\n", "?[2Ja?b?c?"
	f := Failure{Host: "https://user:secret@a.example:443/x", Detail: bad + "Zürich 東京", By: bad, Rule: bad, Reason: bad, Advice: bad, Run: bad, Process: bad, Shell: bad}
	f.Clean()
	want := Failure{Host: "a.example:443", Detail: good + "Zürich 東京", By: good, Rule: good, Reason: good, Advice: good, Run: good, Process: good, Shell: good}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Error(diff)
	}
}

// An entry is a line of a log: each value is bounded, however long what came was,
// and cleaning it again changes nothing.
func TestEntryIsBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 5000)
	e := Entry{Host: long, By: long, Rule: long, Run: long, Process: long}.Clean()
	for name, value := range map[string]string{"host": e.Host, "by": e.By, "rule": e.Rule, "run": e.Run, "process": e.Process} {
		if len(value) > 300 || !strings.HasSuffix(value, "...") {
			t.Errorf("%s has %d bytes", name, len(value))
		}
	}
	if again := e.Clean(); again != e {
		t.Errorf("%+v", again)
	}
}

// The policy's refusals are told from what did not work; a kind of a newer build's
// is no refusal of anybody's.
func TestOutcomeOfKinds(t *testing.T) {
	t.Parallel()
	for kind, want := range map[Kind]Outcome{PolicyDenied: Refused, ConnectRejected: Refused, PlainHTTP: Refused,
		OriginTLS: Failed, ClientTLSRejected: Failed, "of_tomorrow": Failed} {
		if got := kind.Outcome(); got != want {
			t.Errorf("%s: %s, want %s", kind, got, want)
		}
	}
}

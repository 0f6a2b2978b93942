package status

import (
	"go/ast"
	"go/parser"
	"go/token"
	"testing"
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
		"\x1b]0;owned\x07<script>.example:443\n": "?]0;owned?<script>.example:443?",
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

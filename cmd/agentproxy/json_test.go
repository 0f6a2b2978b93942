package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/wrap/inspect"
	"github.com/agentproxy/agentproxy/wrap/learned"
	"github.com/agentproxy/agentproxy/wrap/plan"
	"github.com/agentproxy/agentproxy/wrap/verdict"
	"github.com/google/go-cmp/cmp"
)

type form struct {
	command  string
	document any
}

// forms are the documents that commands print with --json; what follows a command's
// name is said to tell two forms of one command apart.
var forms = []form{
	{"ca show", caDocument{}},
	{"ca lint [FILE]", []ca.Finding{}},
	{"ca lint HOST", inspect.Report{}},
	{"container-args", []string{}},
	{"doctor", diagnosis{}},
	{"env", []plan.Change{}},
	{"exec --dry-run", plan.Plan{}},
	{"exec --verdict-file", verdict.Verdict{}},
	{"explain", explained{}},
	{"log", status.Entry{}},
	{"policy check", checkDocument{}},
	{"policy diff", missingDocument{}},
	{"policy learn", learnedDocument{}},
	{"policy show", policyDocument{}},
	{"policy test", reason{}},
	{"profile learned", []learned.Fix{}},
	{"profile list", []profileRow{}},
	{"report", report{}},
	{"status", status.Document{}},
	{"trust status", trustDocument{}},
	{"version", build{}},
	{"why", reason{}},
}

const formsFile = "../../testdata/json.golden"

// Programs read these names: a change of one is seen here. go generate writes the file
// anew.
func TestJSONForms(t *testing.T) {
	var b strings.Builder
	for _, f := range forms {
		fmt.Fprintf(&b, "%s:", f.command)
		writeForm(&b, reflect.TypeOf(f.document), "", nil)
	}
	if os.Getenv("UPDATE_DOCS") != "" {
		if err := os.WriteFile(formsFile, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(formsFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Error(diff)
	}
	for _, c := range every() {
		flags, _ := c.flags()
		known := slices.ContainsFunc(forms, func(f form) bool { return strings.HasPrefix(f.command+" ", c.name+" ") })
		if flags.Lookup("json") != nil && !known {
			t.Errorf("%s --json has no form", c.name)
		}
	}
}

// writeForm writes a type as JSON shows it: a name and what it holds a line, "?" behind
// a name that may be missing.
func writeForm(w io.Writer, t reflect.Type, indent string, within []reflect.Type) {
	switch {
	case t.Implements(reflect.TypeFor[json.Marshaler]()), t.Implements(reflect.TypeFor[interface{ MarshalText() ([]byte, error) }]()):
		fmt.Fprintln(w, " text")
	case t.Kind() == reflect.Pointer:
		writeForm(w, t.Elem(), indent, within)
	case t.Kind() == reflect.Slice:
		fmt.Fprint(w, " list of")
		writeForm(w, t.Elem(), indent, within)
	case t.Kind() == reflect.Map:
		fmt.Fprint(w, " any name:")
		writeForm(w, t.Elem(), indent, within)
	case t.Kind() == reflect.Struct && slices.Contains(within, t):
		fmt.Fprintln(w, " the same")
	case t.Kind() == reflect.Struct:
		fmt.Fprintln(w)
		writeFields(w, t, indent+"  ", append(within, t))
	case t.Kind() == reflect.String:
		fmt.Fprintln(w, " text")
	case t.Kind() == reflect.Bool:
		fmt.Fprintln(w, " true or false")
	default:
		fmt.Fprintln(w, " number")
	}
}

func writeFields(w io.Writer, t reflect.Type, indent string, within []reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, rest, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported():
			continue
		case f.Anonymous && name == "":
			writeFields(w, f.Type, indent, within)
			continue
		case name == "":
			name = f.Name
		}
		if strings.Contains(rest, "omit") {
			name += "?"
		}
		fmt.Fprintf(w, "%s%s:", indent, name)
		writeForm(w, f.Type, indent, within)
	}
}

// One function prints what programs read, so that all of it has one style.
func TestOneJSONStyle(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		if file == "json.go" || strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, banned := range []string{"json.NewEncoder", "json.MarshalIndent"} {
			if strings.Contains(string(source), banned) {
				t.Errorf("%s has %s; use printJSON", file, banned)
			}
		}
	}
	var b strings.Builder
	if err := printJSON(&b, map[string]any{"a": []string{"<b> & c"}, "d": nil}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(`{"a":["<b> & c"],"d":null}`+"\n", b.String()); diff != "" {
		t.Error(diff)
	}
}

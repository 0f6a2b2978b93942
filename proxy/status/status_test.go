package status

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Documents of other agent proxies must survive a round trip through ours:
// every name known, none dropped, none added.
func TestDocumentReadsVectors(t *testing.T) {
	files, err := filepath.Glob("../../testdata/status/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			dec := json.NewDecoder(bytes.NewReader(raw))
			dec.DisallowUnknownFields()
			var doc Document
			if err := dec.Decode(&doc); err != nil {
				t.Fatal(err)
			}
			out, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(generic(t, raw), generic(t, out)); diff != "" {
				t.Errorf("round trip (-vector +ours):\n%s", diff)
			}
		})
	}
}

func generic(t *testing.T, b []byte) (v map[string]any) {
	t.Helper()
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestPhraseIsOneASCIILine(t *testing.T) {
	f := &Failure{Kind: PolicyDenied, Detail: "bücher\r\nSet-Cookie: x\x00"}
	want := "policy denied: b?cher??Set-Cookie: x?"
	if got := f.Phrase(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

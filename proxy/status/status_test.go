package status

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

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

// A failure is an error with its cause below it, on one line.
func TestFailureIsAnError(t *testing.T) {
	t.Parallel()
	var err error = &Failure{Kind: OriginRefused, Host: "a.example:443", Detail: "nothing listens there", Err: syscall.ECONNREFUSED}
	if err.Error() != "origin_refused · a.example:443 · nothing listens there" || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v", err)
	}
}

func TestHostName(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{"a.example:443": "a.example", "[2001:db8::1]:443": "2001:db8::1", "a.example": "a.example", "": ""} {
		if got := (&Failure{Host: host}).HostName(); got != want {
			t.Errorf("%q: %q, want %q", host, got, want)
		}
	}
}

// Neither the cause nor an upstream's words go into the document: they may hold
// what nobody has cleaned.
func TestFailureOnTheWire(t *testing.T) {
	t.Parallel()
	at := Time{time.Date(2026, 3, 1, 13, 30, 0, 5e6, time.FixedZone("", 3600))}
	f := Failure{TS: at, Kind: OriginTLS, Detail: "expired", Host: "a.example:443", Err: errors.New("raw"), Answer: &Answer{Status: "403 raw"}}
	raw, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"ts":"2026-03-01T12:30:00.005Z","kind":"origin_tls","detail":"expired","host":"a.example:443"}`; string(raw) != want {
		t.Errorf("%s\nwant %s", raw, want)
	}
	var back Failure
	if err := json.Unmarshal(raw, &back); err != nil || !back.TS.Equal(at.Time) {
		t.Errorf("%v, error %v", back.TS, err)
	}
	if err := json.Unmarshal([]byte(`{"ts":"yesterday"}`), &back); err == nil {
		t.Error("a time that is none was read")
	}
}

// Only a run of which nothing at all is known to have asked is silent: one that may
// have asked is given the benefit of the doubt.
func TestSilent(t *testing.T) {
	t.Parallel()
	for name, e := range map[string]Evidence{"host": {Hosts: []HostSeen{{}}}, "failure": {Failures: []*Failure{{}}}, "unattributed": {Unattributed: 1}} {
		if e.Silent() {
			t.Errorf("with a %s it is silent", name)
		}
	}
	if !(&Evidence{Hosts: []HostSeen{}}).Silent() {
		t.Error("a run that asked for nothing is not silent")
	}
}

func TestNowIsNow(t *testing.T) {
	t.Parallel()
	before := time.Now()
	if now := Now(); now.Before(before) || now.After(time.Now()) {
		t.Errorf("%v", now)
	}
}

// What reads alike is one line, at the place of the last.
func TestFold(t *testing.T) {
	t.Parallel()
	a, b := &Failure{Kind: NameNotFound, Host: "a.test:443", Detail: "no"}, &Failure{Kind: NameNotFound, Host: "b.test:443", Detail: "no"}
	got := Fold([]*Failure{a, b, a, a})
	if len(got) != 2 || got[0].String() != "name_not_found · b.test:443 · no" || got[1].String() != "name_not_found · a.test:443 · no (3 times)" {
		t.Errorf("%v", got)
	}
}

package audit

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/google/go-cmp/cmp"
)

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

func entry(n int) status.Entry {
	return status.Entry{TS: status.Now(), Outcome: status.Opened, Host: fmt.Sprintf("h%d.example:443", n), Run: fmt.Sprintf("RUN%d", n)}
}

func hosts(t *testing.T, dir string, f Filter) (list []string) {
	t.Helper()
	err := Read(context.Background(), Path(dir), Wanted{Filter: f, Last: -1}, func(e status.Entry) error {
		list = append(list, e.Host)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// The log is private, one line each, and read back in order.
func TestLog(t *testing.T) {
	dir := t.TempDir()
	if got := hosts(t, dir, Filter{}); got != nil {
		t.Errorf("a log that is not there: %v", got)
	}
	l := Open(dir, silent)
	for n := range 3 {
		l.Add(entry(n))
	}
	l.Close()
	info, err := os.Stat(Path(dir))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	raw, _ := os.ReadFile(Path(dir))
	if n := strings.Count(string(raw), "\n"); n != 3 {
		t.Errorf("%d lines: %s", n, raw)
	}
	if diff := cmp.Diff([]string{"h0.example:443", "h1.example:443", "h2.example:443"}, hosts(t, dir, Filter{})); diff != "" {
		t.Error(diff)
	}
}

func TestFilter(t *testing.T) {
	e := status.Entry{Host: "api.example:443", Run: "ABCDEF"}
	six := status.Entry{Host: "[2001:db8::1]:443"}
	for _, test := range []struct {
		filter Filter
		entry  status.Entry
		want   bool
	}{
		{Filter{}, e, true},
		{Filter{Host: "api.example"}, e, true},
		{Filter{Host: "API.example:443"}, e, true},
		{Filter{Host: "api.example:8443"}, e, false},
		{Filter{Host: "example"}, e, false},
		{Filter{Host: "[2001:db8::1]"}, six, true},
		{Filter{Host: "2001:db8::1"}, six, true},
		{Filter{Run: "ABC"}, e, true},
		{Filter{Run: "BC"}, e, false},
		{Filter{Run: "ABC"}, six, false},
		{Filter{Run: "ABC", Host: "other.example"}, e, false},
	} {
		if got := test.filter.Match(test.entry); got != test.want {
			t.Errorf("%+v of %+v: %v", test.filter, test.entry, got)
		}
	}
}

// Two tunnels write one log and rotate it; the newest entries are all there, in
// order for each, and the older files are bounded in number and size.
func TestRotation(t *testing.T) {
	dir := t.TempDir()
	const each, max = 400, 16 << 10
	logs := []*Log{Open(dir, silent), Open(dir, silent)}
	for _, l := range logs {
		l.max = max
	}
	for n := range each {
		for i, l := range logs {
			l.Add(entry(2*n + i))
		}
	}
	for _, l := range logs {
		l.Close()
		if l.Lost() != 0 {
			t.Errorf("%d lost", l.Lost())
		}
	}
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		if info, _ := f.Info(); info.Size() > max+1024 {
			t.Errorf("%s has %d bytes", f.Name(), info.Size())
		}
	}
	if len(files) != kept+2 { // the lock, too
		t.Errorf("%d files: %v", len(files), files)
	}
	last := map[int]int{0: -1, 1: -1}
	for _, h := range hosts(t, dir, Filter{}) {
		var n int
		fmt.Sscanf(h, "h%d.", &n)
		if n <= last[n%2] {
			t.Errorf("%d after %d", n, last[n%2])
		}
		last[n%2] = n
	}
	if last[0] != 2*each-2 || last[1] != 2*each-1 {
		t.Errorf("the last ones read are %v", last)
	}
}

// The last ones are those of all files, and since a time only what was made from then on.
func TestLast(t *testing.T) {
	dir := t.TempDir()
	l := Open(dir, silent)
	l.max = 1 // a file for each entry
	begun := time.Now().Truncate(time.Hour)
	for n := range 3 {
		e := entry(n)
		e.TS.Time = begun.Add(time.Duration(n) * time.Minute)
		l.Add(e)
	}
	l.Close()
	for wanted, want := range map[Wanted]string{
		{Last: 2}: "h1.example:443 h2.example:443 ",
		{Last: 0}: "",
		{Last: 9}: "h0.example:443 h1.example:443 h2.example:443 ",
		{Last: -1, Filter: Filter{Since: begun.Add(2 * time.Minute)}}: "h2.example:443 ",
		{Last: -1, Filter: Filter{Since: begun.Add(time.Hour)}}:       "",
		{Last: 1, Filter: Filter{Host: "h1.example"}}:                 "h1.example:443 ",
	} {
		got := ""
		if err := Read(t.Context(), Path(dir), wanted, func(e status.Entry) error { got += e.Host + " "; return nil }); err != nil || got != want {
			t.Errorf("%+v: %q, %v", wanted, got, err)
		}
	}
}

// Who follows sees what is added, also behind a rotation and where the file was
// not there yet.
func TestFollow(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	seen := make(chan string, 100)
	done := make(chan error)
	go func() {
		done <- Read(ctx, Path(dir), Wanted{Last: -1, Follow: true}, func(e status.Entry) error {
			seen <- e.Host
			return nil
		})
	}()
	l := Open(dir, silent)
	l.max = 1 // a file for each entry
	for n := range 3 {
		l.Add(entry(n))
		select {
		case got := <-seen:
			if got != entry(n).Host {
				t.Fatalf("%s, want entry %d", got, n)
			}
		case <-ctx.Done():
			t.Fatalf("entry %d was not seen", n)
		}
	}
	l.Close()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A disk that hangs or is full holds nobody up, and is told of once.
func TestLogThatCannotBeWritten(t *testing.T) {
	var said strings.Builder
	l := Open(t.TempDir()+"/gone", slog.New(slog.NewTextHandler(&said, nil)))
	for n := range 3 {
		l.Add(entry(n))
	}
	l.Close()
	if l.Lost() != 3 || strings.Count(said.String(), "\n") != 1 {
		t.Errorf("%d lost; said %q", l.Lost(), said.String())
	}
}

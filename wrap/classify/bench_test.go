//go:build unix

package classify

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func BenchmarkBenign(b *testing.B) {
	benchmark(b, benignLog(16<<20))
}

// Every line calls for rules, and some match.
func BenchmarkHostile(b *testing.B) {
	lines := []string{
		"certificate proxy tunnel refused timeout handshake 403 forbidden denied unexpected verification https://a.example/ 127.0.0.1:1",
		"Get \"https://a.example/\": x509: certificate signed by unknown authority",
		strings.Repeat("https://a.example/ connection timed out refused ", 40),
	}
	var log bytes.Buffer
	for i := 0; log.Len() < 1<<20; i++ {
		fmt.Fprintf(&log, "%d %s\n", i, lines[i%len(lines)])
	}
	benchmark(b, log.Bytes())
}

// A real log, where $CLASSIFY_LOG names one.
func BenchmarkFile(b *testing.B) {
	data, err := os.ReadFile(os.Getenv("CLASSIFY_LOG"))
	if err != nil {
		b.Skip("CLASSIFY_LOG names no log")
	}
	benchmark(b, data)
}

func benchmark(b *testing.B, log []byte) {
	o := known(b)
	set := rulesOf(b, o)
	defer perCPU(b, len(log))()
	for b.Loop() {
		c := New(o)
		c.use(set)
		for rest := log; len(rest) > 0; {
			n := min(32<<10, len(rest))
			c.View(1, rest[:n])
			rest = rest[n:]
		}
		if _, err := c.Result(Status{}); err != nil {
			b.Fatal(err)
		}
	}
}

// perCPU reports throughput by the time that a processor worked, which other
// work on the machine does not change much.
func perCPU(b *testing.B, size int) func() {
	b.SetBytes(int64(size))
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	return func() {
		b.ReportMetric(float64(size)*float64(b.N)/1e6/(used()-before).Seconds(), "MB/cpu-s")
	}
}

// What the start costs when the first output arrives: the generic rules and
// those of one tool.
func BenchmarkReadRules(b *testing.B) {
	o := known(b)
	o.Profiles = []string{"npm", "node"}
	for b.Loop() {
		if _, err := newRuleSet(o); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSearch is the search alone.
func BenchmarkSearch(b *testing.B) {
	log := benignLog(16 << 20)
	filter := rulesOf(b, known(b)).filter
	defer perCPU(b, len(log))()
	hits := 0
	for b.Loop() {
		hits = 0
		for at := filter.next(log, 0); at >= 0; at = filter.next(log, at+1) {
			hits++
		}
	}
	b.ReportMetric(float64(hits), "hits")
}

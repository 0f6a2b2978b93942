package classify

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// benignLog is what builds print, line by line: compilers, tests, package
// managers, a server's access log, JSON.
func benignLog(size int) []byte {
	r := rand.New(rand.NewPCG(6, 6))
	kinds := []func() string{
		func() string {
			return fmt.Sprintf("[%d/2048] Building CXX object src/core/CMakeFiles/core.dir/module_%d.cc.o", r.IntN(2048), r.IntN(900))
		},
		func() string {
			return fmt.Sprintf("   Compiling serde_derive v1.0.%d (/home/dev/.cargo/registry/src/serde-%x)", r.IntN(300), r.Uint32())
		},
		func() string {
			return fmt.Sprintf("ok  \texample.com/project/internal/package%d\t%d.%03ds", r.IntN(400), r.IntN(9), r.IntN(1000))
		},
		func() string {
			return fmt.Sprintf("2026-11-24T12:%02d:%02d.%03dZ INFO  worker-%d processed batch id=%x rows=%d", r.IntN(60), r.IntN(60), r.IntN(1000), r.IntN(16), r.Uint64(), r.IntN(1e6))
		},
		func() string {
			return fmt.Sprintf(`{"level":"info","ts":%d,"logger":"controller","msg":"reconciled object","namespace":"team-%d","name":"app-%x"}`, r.Uint32(), r.IntN(90), r.Uint32())
		},
		func() string {
			return fmt.Sprintf("Get:%d http://mirror.example/debian bookworm/main amd64 libfoo%d-dev amd64 1.%d-2 [%d kB]", r.IntN(300), r.IntN(99), r.IntN(20), r.IntN(9000))
		},
		func() string {
			return fmt.Sprintf("npm http fetch GET 200 https://registry.example/@scope%%2fpackage-%d %dms (cache miss)", r.IntN(4000), r.IntN(900))
		},
		func() string { return strings.Repeat("lorem ipsum dolor sit amet consectetur ", 1+r.IntN(3)) },
	}
	var b bytes.Buffer
	for b.Len() < size {
		b.WriteString(kinds[r.IntN(len(kinds))]())
		b.WriteByte('\n')
	}
	return b.Bytes()[:size]
}

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
	rules := rulesOf(b, o)
	defer perCPU(b, len(log))()
	for b.Loop() {
		c := New(o)
		c.use(rules)
		for rest := log; len(rest) > 0; {
			n := min(32<<10, len(rest))
			c.View(1, rest[:n])
			rest = rest[n:]
		}
		if _, err := c.Verdict(Status{}); err != nil {
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

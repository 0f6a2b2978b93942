package classify

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
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

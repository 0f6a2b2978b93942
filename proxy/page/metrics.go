package page

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"

	"github.com/agentproxy/agentproxy/proxy/status"
)

// metrics serves the Prometheus text format, version 0.0.4. The numbers are
// the stats's; counting them a second time in a library's registry would only
// make two of them.
func (p *Page) metrics(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	doc := p.Document()
	b := p.Stats
	b.mu.Lock()
	defer b.mu.Unlock()
	family(w, "build_info", "gauge", "The build that serves the tunnel",
		sample{labels: fmt.Sprintf(`version="%s",go_version="%s",mode="%s"`, label(doc.Version), label(runtime.Version()), label(doc.Mode)), value: 1})
	family(w, "uptime_seconds", "gauge", "Time since the tunnel started", sample{value: b.now().Sub(b.started).Seconds()})
	family(w, "runs_attached", "gauge", "Runs attached now", sample{value: float64(doc.Runs)})
	family(w, "tunnels_open", "gauge", "Tunnels open now", sample{value: float64(b.open)})
	family(w, "tunnels_opened_total", "counter", "Tunnels opened since the start", sample{value: float64(b.total.opened)})
	family(w, "refusals_total", "counter", "Refusals by kind", b.byKind(status.Refused)...)
	family(w, "failures_total", "counter", "Failures by kind", b.byKind(status.Failed)...)
	family(w, "audit_lost_total", "counter", "Decisions that could not be logged", sample{value: float64(p.Lost())})
	if doc.CAExpires != nil {
		family(w, "ca_expiry_timestamp_seconds", "gauge", "End of the CA's validity", sample{value: float64(doc.CAExpires.Unix())})
	}
}

func (b *Stats) byKind(o status.Outcome) (list []sample) {
	for _, row := range status.Kinds {
		if row.Outcome == o {
			list = append(list, sample{fmt.Sprintf(`kind="%s"`, row.Kind), float64(b.kinds[row.Kind])})
		}
	}
	return list
}

// sample is one value of a metric.
type sample struct {
	labels string
	value  float64
}

// family writes a metric with its head. A float's shortest form is one that the
// format reads.
func family(w io.Writer, name, kind, help string, samples ...sample) {
	fmt.Fprintf(w, "# HELP agentproxy_%s %s\n# TYPE agentproxy_%s %s\n", name, help, name, kind)
	for _, s := range samples {
		labels := s.labels
		if labels != "" {
			labels = "{" + labels + "}"
		}
		fmt.Fprintf(w, "agentproxy_%s%s %v\n", name, labels, s.value)
	}
}

// label escapes a label's value.
func label(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s)
}

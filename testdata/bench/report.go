package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"text/tabwriter"
)

// A row is one line of the report.
type row struct {
	What       string   `json:"what"`
	Unit       string   `json:"unit"`
	Direct     *float64 `json:"direct,omitempty"`
	Agentproxy *float64 `json:"agentproxy,omitempty"`
	OverDirect *float64 `json:"agentproxy_over_direct,omitempty"`
	// Rivals are the others, the best of each program's set-ups.
	Rivals []rival `json:"rivals,omitempty"`
	Target string  `json:"target"`
	Met    string  `json:"met"`
}

// A rival is another proxy in a measurement.
type rival struct {
	Name       string   `json:"name"`
	Value      float64  `json:"value"`
	OverDirect *float64 `json:"over_direct,omitempty"`
}

// rivals are the programs compared with, by the beginning of their contenders' names.
var rivals = []string{"floor", "hudsucker", "goproxy", "squid"}

// A target is what the results of one measurement should be. Of the bounds, those that are set count.
type target struct {
	what     string
	measure  string
	ofDirect float64 // at least so much of direct
	most     float64 // at most; then less is better
}

// The targets of the project, in the order of the table.
var targets = []target{
	{what: "re-terminated, keep-alive", measure: "keepalive", ofDirect: 0.47},
	{what: "re-terminated, new connections", measure: "connect", ofDirect: 0.97},
	{what: "re-terminated, bulk download", measure: "bulk", ofDirect: 0.60},
	{what: "opaque tunnel, bulk download", measure: "tunnel", ofDirect: 0.95},
	{what: "first visit to a host, extra", measure: "firstvisit", most: 2},
	{what: "memory, idle", measure: "idle", most: 15},
	{what: "memory, 10,000 idle opaque tunnels", measure: "idle-opaque", most: 150},
	{what: "memory, 10,000 idle re-terminated tunnels", measure: "idle-terminated", most: 150},
}

func report(args []string) error {
	flags := flag.NewFlagSet("bench report", flag.ExitOnError)
	asJSON := flags.Bool("json", false, "print one JSON document instead of a table")
	about := flags.String("about", "", "`text` about the machine and the run, to print first")
	flags.Parse(args)

	results, err := readResults(os.Stdin)
	if err != nil {
		return err
	}
	var rows []row
	for _, t := range targets {
		rows = append(rows, compare(t, results))
	}
	if *asJSON {
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(struct {
			About   string   `json:"about"`
			Rows    []row    `json:"rows"`
			Results []result `json:"results"`
		}{*about, rows, results})
	}
	return table(os.Stdout, *about, rows, results)
}

// readResults reads what load has printed.
func readResults(r io.Reader) (results []result, err error) {
	for decoder := json.NewDecoder(r); ; {
		var one result
		err := decoder.Decode(&one)
		if errors.Is(err, io.EOF) {
			return results, nil
		}
		if err != nil {
			return nil, err
		}
		results = append(results, one)
	}
}

// compare holds the results of one measurement against its target.
func compare(t target, results []result) row {
	best := func(name string) *result {
		var found *result
		for _, s := range results {
			named := s.Via == name || strings.HasPrefix(s.Via, name+"-")
			if s.Measure == t.measure && named && (found == nil || (s.Value < found.Value) == (t.most > 0)) {
				found = &s
			}
		}
		return found
	}
	direct, ours := best("direct"), best("agentproxy")
	r := row{What: t.what, Direct: value(direct), Agentproxy: value(ours)}
	share := func(s *result) *float64 {
		if t.ofDirect == 0 { // direct is about zero there
			return nil
		}
		return ratio(s, direct)
	}
	for _, name := range rivals {
		if s := best(name); s != nil {
			r.Unit = s.Unit
			r.Rivals = append(r.Rivals, rival{s.Via, s.Value, share(s)})
		}
	}
	for _, s := range []*result{direct, ours} {
		if s != nil {
			r.Unit = s.Unit
		}
	}
	r.OverDirect = share(ours)
	known, met := ours != nil, ours != nil && ours.Fault == ""
	if t.ofDirect > 0 {
		r.Target = fmt.Sprintf("≥ %g of direct", t.ofDirect)
		known = known && r.OverDirect != nil
		met = met && r.OverDirect != nil && *r.OverDirect >= t.ofDirect
	} else {
		r.Target = fmt.Sprintf("≤ %g %s", t.most, r.Unit)
		met = met && ours.Value <= t.most
	}
	r.Met = map[bool]string{true: "yes", false: "no"}[met]
	if !known {
		r.Met = "unknown"
	}
	return r
}

func value(r *result) *float64 {
	if r == nil {
		return nil
	}
	return &r.Value
}

// ratio is the median of the rounds' ratios: both had their turns within seconds of each other, so what slowed the
// machine in a round cancels out. Without rounds it is the ratio of the values.
func ratio(a, b *result) *float64 {
	if a == nil || b == nil || b.Value == 0 {
		return nil
	}
	q := a.Value / b.Value
	if n := len(a.Samples); n > 0 && n == len(b.Samples) {
		quotients := make([]float64, n)
		for i := range quotients {
			quotients[i] = a.Samples[i] / b.Samples[i]
		}
		q = median(quotients)
	}
	return &q
}

func table(w io.Writer, about string, rows []row, results []result) error {
	fmt.Fprintf(w, "%s\n\n", about)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "what\tdirect\tagentproxy\tof direct\t%s\ttarget\tmet?\n", strings.Join(rivals, "\t"))
	for _, r := range rows {
		fmt.Fprintf(t, "%s, %s\t%s\t%s\t%s\t", r.What, r.Unit, number(r.Direct), number(r.Agentproxy), number(r.OverDirect))
		for _, name := range rivals {
			fmt.Fprintf(t, "%s\t", r.shown(name))
		}
		fmt.Fprintf(t, "%s\t%s\n", r.Target, r.Met)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	fmt.Fprintln(t, "details\tcontender\tvalue\tnote")
	for _, r := range results {
		note := r.Note
		if r.Fault != "" {
			note += "; FAULT: " + r.Fault
		}
		fmt.Fprintf(t, "%s\t%s\t%s %s\t%s\n", r.Measure, r.Via, number(&r.Value), r.Unit, note)
	}
	return t.Flush()
}

// shown is a rival's share of direct, or its value where there is none.
func (r row) shown(name string) string {
	for _, s := range r.Rivals {
		switch {
		case !strings.HasPrefix(s.Name, name):
		case s.OverDirect != nil:
			return number(s.OverDirect)
		default:
			return number(&s.Value)
		}
	}
	return "-"
}

// number prints three significant digits, or all of a large number's.
func number(v *float64) string {
	switch {
	case v == nil:
		return "-"
	case math.Abs(*v) >= 100:
		return fmt.Sprintf("%.0f", *v)
	case math.Abs(*v) >= 10:
		return fmt.Sprintf("%.1f", *v)
	default:
		return fmt.Sprintf("%.2f", *v)
	}
}

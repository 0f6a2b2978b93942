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
	Squid      *float64 `json:"squid,omitempty"`
	OverDirect *float64 `json:"agentproxy_over_direct,omitempty"`
	OverSquid  *float64 `json:"agentproxy_over_squid,omitempty"`
	Target     string   `json:"target"`
	Met        string   `json:"met"`
}

// A target is what the results of one measurement should be. Of the bounds, those that are set count.
type target struct {
	what     string
	measure  string
	ofDirect float64 // at least so much of direct
	ofSquid  float64 // at least so many times Squid
	most     float64 // at most; then less is better
}

// The targets of the project, in the order of the table.
var targets = []target{
	{what: "re-terminated, keep-alive", measure: "keepalive", ofDirect: 0.35, ofSquid: 5},
	{what: "re-terminated, new connections", measure: "connect", ofDirect: 0.4, ofSquid: 4},
	{what: "re-terminated, bulk download", measure: "bulk", ofDirect: 0.5},
	{what: "opaque tunnel, bulk download", measure: "tunnel", ofDirect: 0.9},
	{what: "first visit to a host, extra", measure: "firstvisit", most: 2},
	{what: "memory, idle", measure: "idle", most: 25},
	{what: "memory, 10,000 idle opaque tunnels", measure: "idle-opaque", most: 400},
	{what: "memory, 10,000 idle re-terminated tunnels", measure: "idle-terminated", most: 400},
}

func report(args []string) error {
	flags := flag.NewFlagSet("bench report", flag.ExitOnError)
	asJSON := flags.Bool("json", false, "print one JSON document instead of a table")
	about := flags.String("about", "", "`text` about the machine and the run, to print first")
	flags.Parse(args)

	var results []result
	for decoder := json.NewDecoder(os.Stdin); ; {
		var r result
		err := decoder.Decode(&r)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		results = append(results, r)
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

// compare holds the results of one measurement against its target.
func compare(t target, results []result) row {
	var direct, ours, squid *result
	for _, s := range results {
		switch {
		case s.Measure != t.measure:
		case s.Via == "direct":
			direct = &s
		case s.Via == "agentproxy":
			ours = &s
		case squid == nil || (s.Value < squid.Value) == (t.most > 0): // the best of the Squids
			squid = &s
		}
	}
	r := row{What: t.what, OverSquid: ratio(ours, squid)}
	for _, s := range []*result{direct, ours, squid} {
		if s != nil {
			r.Unit = s.Unit
		}
	}
	r.Direct, r.Agentproxy, r.Squid = value(direct), value(ours), value(squid)

	var wanted []string
	known, met := ours != nil, ours != nil && ours.Fault == ""
	atLeast := func(bound float64, q *float64, text string) {
		if bound > 0 {
			wanted = append(wanted, fmt.Sprintf(text, bound))
			known = known && q != nil
			met = met && q != nil && *q >= bound
		}
	}
	if t.ofDirect > 0 { // elsewhere direct is about zero
		r.OverDirect = ratio(ours, direct)
	}
	atLeast(t.ofDirect, r.OverDirect, "≥ %g of direct")
	atLeast(t.ofSquid, r.OverSquid, "≥ %g × squid")
	if t.most > 0 {
		wanted = append(wanted, fmt.Sprintf("≤ %g %s", t.most, r.Unit))
		met = met && ours.Value <= t.most
	}
	r.Target = strings.Join(wanted, ", ")
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
	fmt.Fprintln(t, "what\tdirect\tagentproxy\tsquid\tap/direct\tap/squid\ttarget\tmet?")
	for _, r := range rows {
		fmt.Fprintf(t, "%s, %s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.What, r.Unit, number(r.Direct),
			number(r.Agentproxy), number(r.Squid), number(r.OverDirect), number(r.OverSquid), r.Target, r.Met)
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

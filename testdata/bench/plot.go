package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
)

// A curve is one quantity over what grows.
type curve struct {
	name, color string
	points      []point
}

type point struct{ x, y float64 }

// A chart has both axes logarithmic: what grows does so by tens.
type chart struct {
	title, unit, grows string
	curves             []curve
}

// plot draws the results of growth as an SVG.
func plot([]string) error {
	all, err := readResults(os.Stdin)
	if err != nil {
		return err
	}
	results := map[string][]result{}
	for _, r := range all {
		results[r.Measure] = append(results[r.Measure], r)
	}
	var charts []chart
	for _, c := range []struct{ measure, title, grows string }{
		{"growth-tunnels", "a request", "open tunnels"}, {"growth-hosts", "a new connection with a request", "known hosts"},
	} {
		cpu, p50, p99 := curve{name: "processor time", color: "#1b6"}, curve{name: "p50", color: "#36c"}, curve{name: "p99", color: "#c33"}
		for _, r := range results[c.measure] {
			x, err := strconv.ParseFloat(r.Via, 64)
			if err != nil || len(r.Samples) != 2 {
				return fmt.Errorf("%s: not a result of growth", r.Via)
			}
			cpu.points = append(cpu.points, point{x, r.Value / 1000})
			p50.points = append(p50.points, point{x, r.Samples[0]})
			p99.points = append(p99.points, point{x, r.Samples[1]})
		}
		if len(cpu.points) == 0 {
			return fmt.Errorf("no results of %s", c.measure)
		}
		charts = append(charts, chart{c.title, "ms", c.grows, []curve{cpu, p50, p99}})
	}
	return draw(os.Stdout, charts)
}

// Lengths in a chart, in pixels.
const (
	chartWidth, chartHeight = 420, 300
	left, right, top, foot  = 50, 25, 30, 45
	legend                  = 100 // of each curve's name
)

func draw(w io.Writer, charts []chart) error {
	fmt.Fprintf(w, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"12\">\n", chartWidth*len(charts), chartHeight)
	fmt.Fprintf(w, "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n")
	for i, c := range charts {
		fmt.Fprintf(w, "<g transform=\"translate(%d 0)\">\n%s</g>\n", i*chartWidth, c.svg())
	}
	_, err := io.WriteString(w, "</svg>\n")
	return err
}

func (c chart) svg() string {
	var b strings.Builder
	low, high := point{math.Inf(1), math.Inf(1)}, point{math.Inf(-1), math.Inf(-1)}
	for _, line := range c.curves {
		for _, p := range line.points {
			low, high = point{min(low.x, p.x), min(low.y, p.y)}, point{max(high.x, p.x), max(high.y, p.y)}
		}
	}
	tens := func(v float64, round func(float64) float64) float64 { return round(math.Log10(v)) }
	x0, x1, y0, y1 := tens(low.x, math.Floor), tens(high.x, math.Ceil), tens(low.y, math.Floor), tens(high.y, math.Ceil)
	place := func(v, from, to, start, end float64) float64 {
		return start + (math.Log10(v)-from)/max(to-from, 1)*(end-start)
	}
	atX := func(v float64) float64 { return place(v, x0, x1, left, chartWidth-right) }
	atY := func(v float64) float64 { return place(v, y0, y1, chartHeight-foot, top) }
	fmt.Fprintf(&b, "<text x=\"%d\" y=\"18\" font-weight=\"bold\">%s, %s</text>\n", left, c.title, c.unit)
	for e := x0; e <= x1; e++ {
		x := atX(math.Pow(10, e))
		fmt.Fprintf(&b, "<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\" stroke=\"#ddd\"/><text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.0f</text>\n", x, top, x, chartHeight-foot, x, chartHeight-foot+16, math.Pow(10, e))
	}
	for e := y0; e <= y1; e++ {
		y := atY(math.Pow(10, e))
		fmt.Fprintf(&b, "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"#ddd\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n", left, y, chartWidth-right, y, left-6, y+4, math.Pow(10, e))
	}
	fmt.Fprintf(&b, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", chartWidth-right, chartHeight-8, c.grows)
	for i, line := range c.curves {
		var path []string
		for _, p := range line.points {
			path = append(path, fmt.Sprintf("%.1f,%.1f", atX(p.x), atY(p.y)))
		}
		fmt.Fprintf(&b, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"%s\"/>\n", line.color, strings.Join(path, " "))
		fmt.Fprintf(&b, "<text x=\"%d\" y=\"%d\" fill=\"%s\">%s</text>\n", left+legend*i, chartHeight-8, line.color, line.name)
	}
	return b.String()
}

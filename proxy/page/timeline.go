package page

import (
	"fmt"
	"time"

	"github.com/agentproxy/agentproxy/proxy/status"
)

// Timeline is a plot of the last minutes: for each span of time a bar, whose
// parts are the outcomes.
type Timeline struct {
	// Title is what it shows, for who does not see it.
	Title string `json:"title"`
	// Top is the number that the full height stands for.
	Top   int64  `json:"top"`
	Parts []Part `json:"parts"`
}

// Part is a rectangle in units of the drawing.
type Part struct {
	X      int    `json:"x"`
	Y      int    `json:"y"`
	Height int    `json:"height"`
	Class  string `json:"class"`
	Title  string `json:"title"`
}

// Measures of the drawing; page.html's viewBox is the same.
const (
	barPitch   = 10
	plotHeight = 100
)

// drawTimeline draws the bars up to now, the newest to the right.
func drawTimeline(all *[bars]bar, now time.Time) Timeline {
	last := now.UnixNano() / int64(barTime)
	t := Timeline{Top: 1, Parts: []Part{}}
	var sum counts
	at := func(slot int64) *counts {
		if b := &all[slot%bars]; b.slot == slot {
			return &b.counts
		}
		return &counts{}
	}
	for slot := last - bars + 1; slot <= last; slot++ {
		b := at(slot)
		t.Top = max(t.Top, b.sum())
		sum.opened += b.opened
		sum.refused += b.refused
		sum.failed += b.failed
	}
	for i := range int64(bars) {
		b := at(last - bars + 1 + i)
		y := plotHeight
		for _, part := range []struct {
			n       int64
			outcome status.Outcome
		}{{b.opened, status.Opened}, {b.refused, status.Refused}, {b.failed, status.Failed}} {
			if part.n == 0 {
				continue
			}
			// What happened is seen, however little it was.
			height := min(max(2, int(part.n*plotHeight/t.Top)), y)
			y -= height
			t.Parts = append(t.Parts, Part{int(i) * barPitch, y, height, string(part.outcome),
				fmt.Sprintf("%d %s about %s", part.n, part.outcome, clock(time.Unix(0, (last-bars+1+i)*int64(barTime))))})
		}
	}
	t.Title = fmt.Sprintf("The last %d minutes: %d opened, %d refused, %d failed", int(bars*barTime/time.Minute), sum.opened, sum.refused, sum.failed)
	return t
}

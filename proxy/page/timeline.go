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
	Top int64 `json:"top"`
	// Axis are the times below it, evenly spaced from edge to edge.
	Axis []string `json:"axis"`
	Bars []Bar    `json:"bars"`
}

// Bar is a span of time in which something happened, in units of the drawing.
type Bar struct {
	X int `json:"x"`
	// Title is what happened, and when.
	Title string `json:"title"`
	Parts []Part `json:"parts"`
}

// Part is a rectangle for one outcome.
type Part struct {
	Class  string `json:"class"`
	Y      int    `json:"y"`
	Height int    `json:"height"`
	// Mark is the path of a shape above the bar, which is seen where the rectangle is
	// small and where colours look alike; "" for what was opened.
	Mark string `json:"mark"`
}

// Measures of the drawing; page.html's viewBox is the same, with room for the marks
// above it.
const (
	barPitch   = 10
	plotHeight = 100
	axisTimes  = 5
)

// marks are the shapes of outcomes about the middle of a bar: a dot, which the
// style's round ends make of a line without length, and a cross.
var marks = map[status.Outcome]string{
	status.Refused: "M%d -18h0",
	status.Failed:  "M%d -7m-3 -4l6 8m0 -8l-6 8",
}

// drawTimeline draws the bars up to now, the newest to the right.
func drawTimeline(all *[bars]bar, now time.Time) Timeline {
	last := now.UnixNano() / int64(barTime)
	first := last - bars + 1
	t := Timeline{Top: 1, Axis: []string{}, Bars: []Bar{}}
	for i := range int64(axisTimes) {
		t.Axis = append(t.Axis, clock(slotTime(first).Add(bars*barTime*time.Duration(i)/(axisTimes-1))))
	}
	var sum counts
	for _, b := range all {
		if b.slot < first || b.slot > last {
			continue
		}
		t.Top = max(t.Top, b.sum())
		sum.opened += b.opened
		sum.refused += b.refused
		sum.failed += b.failed
	}
	for slot := first; slot <= last; slot++ {
		if b := &all[slot%bars]; b.slot == slot && b.sum() > 0 {
			t.Bars = append(t.Bars, b.draw(int(slot-first)*barPitch, t.Top))
		}
	}
	t.Title = fmt.Sprintf("The last %d minutes: %s", int(bars*barTime/time.Minute), sum.words())
	return t
}

func slotTime(slot int64) time.Time { return time.Unix(0, slot*int64(barTime)) }

func (t *counts) words() string {
	return fmt.Sprintf("%d opened, %d refused, %d failed", t.opened, t.refused, t.failed)
}

func (b *bar) draw(x int, top int64) Bar {
	begin := slotTime(b.slot)
	drawn := Bar{X: x, Title: fmt.Sprintf("%s to %s: %s", clock(begin), clock(begin.Add(barTime)), b.words())}
	y := plotHeight
	for _, part := range []struct {
		n       int64
		outcome status.Outcome
	}{{b.opened, status.Opened}, {b.refused, status.Refused}, {b.failed, status.Failed}} {
		if part.n == 0 {
			continue
		}
		// What happened is seen, however little it was.
		height := min(max(2, int(part.n*plotHeight/top)), y)
		y -= height
		p := Part{Class: string(part.outcome), Y: y, Height: height}
		if shape := marks[part.outcome]; shape != "" {
			p.Mark = fmt.Sprintf(shape, x+barPitch/2)
		}
		drawn.Parts = append(drawn.Parts, p)
	}
	return drawn
}

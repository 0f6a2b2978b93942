package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A result is one contender in one measurement: the median of its rounds.
type result struct {
	Measure string    `json:"measure"`
	Via     string    `json:"via"`
	Unit    string    `json:"unit"`
	Value   float64   `json:"value"`
	Samples []float64 `json:"samples,omitempty"` // one a round
	Note    string    `json:"note,omitempty"`
	Fault   string    `json:"fault,omitempty"` // what the contender failed at, where the value stands all the same
}

// options are the flags of bench load.
type options struct {
	as      string
	origin  string
	host    string
	routes  []route
	rounds  int
	turn    time.Duration
	workers int
	mb      int
	hosts   int
	tunnels int
	scale   int
	pid     int
	settle  time.Duration
}

func load(args []string) error {
	measures := map[string]func(options) ([]result, error){
		"keepalive":  func(o options) ([]result, error) { return rounds(o, "req/s", keepalive) },
		"connect":    func(o options) ([]result, error) { return rounds(o, "conn/s", connections) },
		"bulk":       func(o options) ([]result, error) { return rounds(o, "MiB/s", bulk) },
		"firstvisit": firstVisit,
		"idle":       idle,
		"growth":     growth,
	}
	if len(args) == 0 || measures[args[0]] == nil {
		return errors.New("say what to measure: keepalive, connect, bulk, firstvisit, idle or growth")
	}
	o, err := parseOptions(args[0], args[1:])
	if err != nil {
		return err
	}
	results, err := measures[args[0]](o)
	if err != nil {
		return fmt.Errorf("%s: %w", o.as, err)
	}
	encoder := json.NewEncoder(os.Stdout)
	for _, r := range results {
		r.Measure = cmp.Or(r.Measure, o.as)
		if err := encoder.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

func parseOptions(measure string, args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench load "+measure, flag.ExitOnError)
	flags.StringVar(&o.as, "as", measure, "`name` of the results")
	flags.StringVar(&o.origin, "origin", "", "`address` of the origin")
	flags.StringVar(&o.host, "host", "bench.test", "`name` to ask the origin for")
	flags.Func("via", "a contender, `NAME=CAFILE[,PROXY]`; may be repeated", func(s string) error {
		r, err := parseRoute(s)
		o.routes = append(o.routes, r)
		return err
	})
	flags.IntVar(&o.rounds, "rounds", 9, "keepalive, connect, bulk: rounds")
	flags.DurationVar(&o.turn, "turn", 2*time.Second, "keepalive, connect, growth: length of a contender's turn in a round")
	flags.IntVar(&o.workers, "workers", 16, "keepalive, connect, growth: connections at a time")
	flags.IntVar(&o.mb, "mb", 512, "bulk: size in MiB")
	flags.IntVar(&o.hosts, "hosts", 50, "firstvisit, growth: hosts, named h0.`HOST` and on, or g0.HOST")
	flags.IntVar(&o.tunnels, "tunnels", 0, "idle, growth: tunnels to hold")
	flags.IntVar(&o.scale, "scale", 10_000, "idle: report the memory of so many tunnels, by extrapolation")
	flags.IntVar(&o.pid, "pid", 0, "idle, growth: the process to weigh, with its children")
	flags.DurationVar(&o.settle, "settle", 5*time.Second, "idle: wait before weighing")
	flags.Parse(args)
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if o.origin == "" || len(o.routes) == 0 || o.rounds < 1 {
		return o, errors.New("--origin, --via and at least one of --rounds are needed")
	}
	return o, nil
}

// isOfOne returns an error unless one contender is measured, whose process is known.
func (o options) isOfOne() error {
	if len(o.routes) != 1 || o.pid == 0 {
		return fmt.Errorf("want one contender and its --pid, not %d and %d", len(o.routes), o.pid)
	}
	return nil
}

// rounds gives every contender its turn in each round, so that a machine that drifts slows all of them alike.
func rounds(o options, unit string, measure func(options, route) (float64, error)) ([]result, error) {
	results := make([]result, len(o.routes))
	for i, r := range o.routes {
		results[i] = result{Via: r.name, Unit: unit}
	}
	for range o.rounds {
		for i, r := range o.routes {
			value, err := measure(o, r)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.name, err)
			}
			results[i].Samples = append(results[i].Samples, value)
		}
	}
	for i, r := range results {
		low, high := slices.Min(r.Samples), slices.Max(r.Samples)
		results[i].Value = median(r.Samples)
		results[i].Note = fmt.Sprintf("rounds from %s to %s", number(&low), number(&high))
	}
	return results, nil
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// keepalive: requests per second over connections that stay open.
func keepalive(o options, r route) (float64, error) {
	clients := make([]*client, o.workers)
	for i := range clients {
		conn, err := r.open(o.origin, o.host)
		if err != nil {
			return 0, err
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(o.turn + peerTimeout))
		clients[i] = newClient(conn, authority(o.origin, o.host), "/small", 4096)
		if _, err := clients[i].get(); err != nil { // the first request may dial upstream
			return 0, err
		}
	}
	return pump(o, func(worker int) error {
		_, err := clients[worker].get()
		return err
	})
}

// connections: new connections per second, each with one request.
func connections(o options, r route) (float64, error) {
	return pump(o, func(int) error {
		conn, err := r.open(o.origin, o.host)
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = newClient(conn, authority(o.origin, o.host), "/small", 4096).get()
		return err
	})
}

// pump calls step from all workers for the turn's length and returns completed calls per second.
func pump(o options, step func(worker int) error) (float64, error) {
	var done atomic.Int64
	var group sync.WaitGroup
	failures := make(chan error, o.workers)
	start := time.Now()
	for worker := range o.workers {
		group.Go(func() {
			for time.Since(start) < o.turn {
				if err := step(worker); err != nil {
					failures <- err
					return
				}
				done.Add(1)
			}
		})
	}
	group.Wait()
	elapsed := time.Since(start)
	close(failures)
	if err := <-failures; err != nil {
		return 0, err
	}
	return float64(done.Load()) / elapsed.Seconds(), nil
}

// bulk: MiB per second of one large download.
func bulk(o options, r route) (float64, error) {
	conn, err := r.open(o.origin, o.host)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * peerTimeout))
	c := newClient(conn, authority(o.origin, o.host), fmt.Sprintf("/bulk?mb=%d", o.mb), 64<<10)
	start := time.Now()
	n, err := c.get()
	if err != nil {
		return 0, err
	}
	return float64(n>>20) / time.Since(start).Seconds(), nil
}

// firstVisit: how much longer the first connection to a host takes than later ones, until the handshake is done.
func firstVisit(o options) ([]result, error) {
	const warmups, repeats = 5, 5
	visit := func(r route, host string) (float64, error) {
		start := time.Now()
		conn, err := r.open(o.origin, host)
		if err != nil {
			return 0, fmt.Errorf("%s: %s: %w", r.name, host, err)
		}
		ms := time.Since(start).Seconds() * 1000
		return ms, conn.Close()
	}
	again := func(r route, host string, n int) (float64, error) {
		times := make([]float64, n)
		for i := range times {
			var err error
			if times[i], err = visit(r, host); err != nil {
				return 0, err
			}
		}
		return median(times), nil
	}

	firsts := make([][]float64, len(o.routes))
	later := make([][]float64, len(o.routes))
	extra := make([][]float64, len(o.routes))
	for _, r := range o.routes {
		if _, err := again(r, o.host, warmups); err != nil {
			return nil, err
		}
	}
	for n := range o.hosts {
		host := fmt.Sprintf("h%d.%s", n, o.host)
		for i, r := range o.routes {
			first, err := visit(r, host)
			if err != nil {
				return nil, err
			}
			repeat, err := again(r, host, repeats)
			if err != nil {
				return nil, err
			}
			firsts[i] = append(firsts[i], first)
			later[i] = append(later[i], repeat)
			extra[i] = append(extra[i], first-repeat)
		}
	}
	var results []result
	for i, r := range o.routes {
		note := fmt.Sprintf("first visit %.2f ms, later ones %.2f ms", median(firsts[i]), median(later[i]))
		results = append(results, result{Via: r.name, Unit: "ms", Value: median(extra[i]), Note: note})
	}
	return results, nil
}

package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// growth: what a request costs while more and more tunnels are open, and what a new
// connection with one request costs while more and more hosts are known.
func growth(o options) ([]result, error) {
	if err := o.isOfOne(); err != nil {
		return nil, err
	}
	byTunnels, err := growTunnels(o)
	if err != nil {
		return nil, err
	}
	byHosts, err := growHosts(o)
	return append(byTunnels, byHosts...), err
}

// growTunnels asks through all open tunnels in turn.
func growTunnels(o options) (results []result, err error) {
	var conns []*tls.Conn
	var clients []*client
	defer func() {
		for _, conn := range conns {
			conn.Close()
		}
	}()
	for n := 1; len(conns) < o.tunnels; n = min(10*n, o.tunnels) {
		more := o
		more.tunnels = n - len(conns)
		opened, failure := hold(more)
		conns = append(conns, opened...)
		if failure != nil {
			return results, failure
		}
		for _, conn := range opened {
			clients = append(clients, newClient(conn, authority(o.origin, o.host), "/small", 4096))
		}
		busy := make([]sync.Mutex, n)
		r, err := cost(o, n, func(turn int) error {
			at := turn % n
			busy[at].Lock() // a tunnel carries one request at a time
			defer busy[at].Unlock()
			_, err := clients[at].get()
			return err
		})
		if err != nil {
			return results, fmt.Errorf("%d tunnels: %w", n, err)
		}
		r.Measure, r.Via = "growth-tunnels", strconv.Itoa(n)
		results = append(results, r)
	}
	return results, nil
}

// growHosts visits hosts until so many are known, and connects to all of them in turn.
func growHosts(o options) (results []result, err error) {
	visit := func(host string) error {
		conn, err := o.routes[0].open(o.origin, host)
		if err != nil {
			return fmt.Errorf("%s: %w", host, err)
		}
		defer conn.Close()
		_, err = newClient(conn, authority(o.origin, host), "/small", 4096).get()
		return err
	}
	name := func(n int) string { return fmt.Sprintf("g%d.%s", n, o.host) }
	known := 0
	for n := 10; n <= o.hosts; n *= 10 {
		var group sync.WaitGroup
		var next atomic.Int64
		failures := make(chan error, o.workers)
		next.Store(int64(known))
		for range o.workers {
			group.Go(func() {
				for at := next.Add(1) - 1; at < int64(n); at = next.Add(1) - 1 {
					if err := visit(name(int(at))); err != nil {
						failures <- err
						return
					}
				}
			})
		}
		group.Wait()
		close(failures)
		if err := <-failures; err != nil {
			return results, err
		}
		known = n
		// A step that shares no factor with the numbers of hosts, so that every host has its turn and none soon again.
		r, err := cost(o, o.workers, func(turn int) error { return visit(name(turn * 7919 % n)) })
		if err != nil {
			return results, fmt.Errorf("%d hosts: %w", n, err)
		}
		r.Measure, r.Via = "growth-hosts", strconv.Itoa(n)
		results = append(results, r)
	}
	return results, nil
}

// cost repeats a step for a turn, by so many workers at most, and returns the processor time of the proxy for each, with
// the latencies.
func cost(o options, workers int, step func(turn int) error) (result, error) {
	workers = min(workers, o.workers)
	times := make([][]time.Duration, workers)
	failures := make(chan error, workers)
	var turn atomic.Int64
	var group sync.WaitGroup
	before, err := processorTime(o.pid)
	if err != nil {
		return result{}, err
	}
	start := time.Now()
	for w := range workers {
		group.Go(func() {
			for time.Since(start) < o.turn {
				begin := time.Now()
				if err := step(int(turn.Add(1) - 1)); err != nil {
					failures <- err
					return
				}
				times[w] = append(times[w], time.Since(begin))
			}
		})
	}
	group.Wait()
	after, err := processorTime(o.pid)
	close(failures)
	if err := errors.Join(err, <-failures); err != nil {
		return result{}, err
	}
	all := slices.Sorted(slices.Values(slices.Concat(times...)))
	if len(all) == 0 {
		return result{}, errors.New("nothing was done in time")
	}
	ms := func(share int) float64 { return all[min(len(all)*share/100, len(all)-1)].Seconds() * 1000 }
	p50, p99 := ms(50), ms(99)
	return result{Unit: "µs", Value: float64((after - before).Microseconds()) / float64(len(all)), Samples: []float64{p50, p99},
		Note: fmt.Sprintf("p50 %.2f ms, p99 %.2f ms, %d times", p50, p99, len(all))}, nil
}

// processorTime is what a process has used so far (proc_pid_stat(5)).
func processorTime(pid int) (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	const user, system, hertz = 11, 12, 100 // after the name; USER_HZ is 100 for every program
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	ticks := 0
	for _, at := range []int{user, system} {
		n, err := strconv.Atoi(string(fields[at]))
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / hertz, nil
}

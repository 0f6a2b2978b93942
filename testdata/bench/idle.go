package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// idle: the memory of a proxy that holds tunnels and moves nothing. Without tunnels, of the idle proxy.
func idle(o options) ([]result, error) {
	if err := o.isOfOne(); err != nil {
		return nil, err
	}
	time.Sleep(o.settle)
	base, err := residentMB(o.pid)
	if err != nil {
		return nil, err
	}
	r := result{Via: o.routes[0].name, Unit: "MB", Value: base}
	if o.tunnels == 0 {
		return []result{r}, nil
	}

	conns, failure := hold(o)
	defer func() {
		for _, conn := range conns {
			conn.Close()
		}
	}()
	if len(conns) == 0 {
		return nil, failure
	}
	time.Sleep(o.settle)
	full, err := residentMB(o.pid)
	if err != nil {
		return nil, err
	}
	if failure == nil {
		failure = alive(conns, authority(o.origin, o.host))
	}
	r.Value = full
	r.Note = fmt.Sprintf("%.1f MB with %d tunnels", full, len(conns))
	if o.scale != len(conns) {
		r.Value = base + (full-base)*float64(o.scale)/float64(len(conns))
		r.Note += fmt.Sprintf(", extrapolated to %d", o.scale)
	}
	if failure != nil {
		r.Fault = fmt.Sprintf("held %d of %d tunnels: %v", len(conns), o.tunnels, failure)
	}
	return []result{r}, nil
}

// hold opens the tunnels, handshake included, and returns those it got with the first failure.
func hold(o options) ([]*tls.Conn, error) {
	var lock sync.Mutex
	var conns []*tls.Conn
	var failure error
	var group sync.WaitGroup
	turns := make(chan struct{}, o.tunnels)
	for range o.tunnels {
		turns <- struct{}{}
	}
	close(turns)
	for range o.workers {
		group.Go(func() {
			for range turns {
				conn, err := o.routes[0].open(o.origin, o.host)
				lock.Lock()
				if err == nil {
					conn.SetDeadline(time.Time{})
					conns = append(conns, conn)
				} else if failure == nil {
					failure = err
				}
				stop := failure != nil
				lock.Unlock()
				if stop {
					return
				}
			}
		})
	}
	group.Wait()
	return conns, failure
}

// alive sends a request through some of the tunnels: memory is no merit in a proxy that has dropped them.
func alive(conns []*tls.Conn, authority string) error {
	for i := 0; i < len(conns); i += 1 + len(conns)/100 {
		conns[i].SetDeadline(time.Now().Add(peerTimeout))
		if _, err := newClient(conns[i], authority, "/small", 4096).get(); err != nil {
			return fmt.Errorf("tunnel %d no longer works: %w", i, err)
		}
	}
	return nil
}

// residentMB adds up the resident memory of a process and its descendants, in MB of a million bytes. Pages that
// they share count once (PSS), which for a single process is its RSS.
func residentMB(pid int) (float64, error) {
	family, err := descendants(pid)
	if err != nil {
		return 0, err
	}
	total := 0
	for _, member := range family {
		kib, err := pss(member)
		if err != nil && member != pid { // a helper that has just ended
			continue
		}
		if err != nil {
			return 0, err
		}
		total += kib
	}
	return float64(total) * 1024 / 1e6, nil
}

func pss(pid int) (kib int, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) == 3 && fields[0] == "Pss:" {
			return strconv.Atoi(fields[1])
		}
	}
	return 0, fmt.Errorf("process %d: no memory to weigh", pid)
}

// descendants returns pid and the processes below it.
func descendants(pid int) ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil { // ended meanwhile
			continue
		}
		// The name in parentheses may hold anything; the parent is the second field after it.
		fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		parent, err := strconv.Atoi(fields[1])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		children[parent] = append(children[parent], child)
	}
	family := []int{pid}
	for i := 0; i < len(family); i++ {
		family = append(family, children[family[i]]...)
	}
	return family, nil
}

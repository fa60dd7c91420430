package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A load is one way of putting work on a server.
type load struct {
	connections int
	// rate is how many operations begin in a second, whether or not earlier ones
	// have ended (open model). Zero: each connection begins the next operation when
	// its last one ended (closed model).
	rate float64
	// address says which client address a person's requests come from.
	address func(person int) int
	// oneDomain is whether only people of one mail domain sign in.
	oneDomain bool
	// sessions is whether each connection needs people who are signed in.
	sessions bool
	one      func(*worker) error
}

// A measurement is what one run found. Of all that is per operation, operations
// that were refused are no part, but what they cost is.
type measurement struct {
	Seconds    float64        `json:"seconds"`
	Operations int            `json:"operations"`
	Errors     map[string]int `json:"errors,omitempty"` // by status or kind

	Rate      float64 `json:"per_second"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	P999      float64 `json:"p999_ms"`
	CPU       float64 `json:"cpu_us"`           // of server and database, for one operation
	Generator float64 `json:"generator_cpu_us"` // of this process with its mail sink
	Logged    float64 `json:"logged_bytes"`     // appended to the write-ahead log
	Commits   float64 `json:"commits"`          // shared ones count by their share
	Disk      float64 `json:"disk_bytes"`       // all that went to the disk, with checkpoints, in whole pages of the page cache
	Memory    float64 `json:"memory_mib"`       // of the server, the largest that was seen
}

// figures are the numbers of a measurement that medians and ratios are taken of.
var figures = []struct {
	name string
	of   func(*measurement) *float64
}{
	{"a second", func(m *measurement) *float64 { return &m.Rate }},
	{"p50 ms", func(m *measurement) *float64 { return &m.P50 }},
	{"p99 ms", func(m *measurement) *float64 { return &m.P99 }},
	{"p99.9 ms", func(m *measurement) *float64 { return &m.P999 }},
	{"CPU µs", func(m *measurement) *float64 { return &m.CPU }},
	{"generator µs", func(m *measurement) *float64 { return &m.Generator }},
	{"log bytes", func(m *measurement) *float64 { return &m.Logged }},
	{"commits", func(m *measurement) *float64 { return &m.Commits }},
	{"disk bytes", func(m *measurement) *float64 { return &m.Disk }},
	{"memory MiB", func(m *measurement) *float64 { return &m.Memory }},
}

// sessionsEach is how many sessions each connection takes turns with, but never
// fewer than manySessions in all.
const (
	sessionsEach = 4
	manySessions = 2048
)

// run puts a load on the server: warm-up first, of which nothing counts, then the
// time that is measured.
func (s *server) run(l load, warm, length time.Duration) (*measurement, error) {
	workers := make([]*worker, l.connections)
	for i := range workers {
		var err error
		if workers[i], err = s.worker(l.address); err != nil {
			return nil, err
		}
		workers[i].oneDomain = l.oneDomain
		defer workers[i].Close()
	}
	if l.sessions {
		if err := s.sessions(max(manySessions, sessionsEach*l.connections)); err != nil {
			return nil, err
		}
		for i, t := range s.people.live {
			w := workers[i%len(workers)]
			w.held = append(w.held, t)
		}
	}
	if warm > 0 {
		if _, err := s.drive(workers, l, warm); err != nil {
			return nil, err
		}
	}

	stop := make(chan struct{})
	watched := make(chan int64)
	meter := s.db.meter()
	go func() { watched <- watch(meter, s.pid(), stop) }()
	server, database, self, disk := cpuOf(s.pid()), s.db.cpu(), cpuOfSelf(), diskOf(s.pid())+s.db.disk()
	began := time.Now()
	found, err := s.drive(workers, l, length)
	took := time.Since(began)
	used := cpuOf(s.pid()) - server + s.db.cpu() - database
	self, disk = cpuOfSelf()-self, diskOf(s.pid())+s.db.disk()-disk
	close(stop)
	memory := <-watched
	if err != nil {
		return nil, err
	}
	bytes, commits := meter.total()

	n := float64(max(found.latency.n, 1))
	ms := func(q float64) float64 { return float64(found.latency.at(q).Microseconds()) / 1000 }
	m := &measurement{Seconds: took.Seconds(), Operations: int(found.latency.n), Errors: found.errors,
		Rate: float64(found.latency.n) / took.Seconds(), P50: ms(0.5), P99: ms(0.99), P999: ms(0.999),
		CPU: float64(used.Microseconds()) / n, Generator: float64(self.Microseconds()) / n,
		Logged: float64(bytes) / n, Commits: float64(commits) / n, Disk: float64(disk) / n, Memory: float64(memory) / (1 << 20)}
	return m, nil
}

// watch reads a meter and the memory of a process until stop is closed, and returns
// the largest memory.
func watch(m meter, pid int, stop <-chan struct{}) (largest int64) {
	every := time.NewTicker(5 * time.Millisecond)
	defer every.Stop()
	for i := 0; ; i++ {
		m.look()
		if i%40 == 0 {
			largest = max(largest, residentOf(pid))
		}
		select {
		case <-every.C:
		case <-stop:
			m.look()
			return max(largest, residentOf(pid))
		}
	}
}

// A tally is what one connection, or all together, found.
type tally struct {
	latency histogram
	errors  map[string]int
	first   error // what the first refusal said
}

// drive has all workers work for a while. Refusals are counted; only what cannot
// be gone on from is an error.
func (s *server) drive(workers []*worker, l load, length time.Duration) (*tally, error) {
	began := time.Now()
	end := began.Add(length)
	var ticket atomic.Int64
	tallies := make([]tally, len(workers))
	broken := make([]error, len(workers))
	var working sync.WaitGroup
	for i, w := range workers {
		working.Go(func() {
			for broken[i] == nil {
				start := time.Now()
				if l.rate > 0 {
					// What counts is when the operation should have begun: a server that
					// holds everybody up must not thereby be asked less often.
					start = began.Add(time.Duration(float64(ticket.Add(1)-1) / l.rate * float64(time.Second)))
					time.Sleep(time.Until(start))
				}
				if !start.Before(end) {
					return
				}
				err := l.one(w)
				if err == nil {
					tallies[i].latency.record(time.Since(start))
				} else {
					broken[i] = w.failed(&tallies[i], err)
				}
			}
		})
	}
	working.Wait()
	sum := &tally{errors: map[string]int{}}
	for i := range tallies {
		sum.latency.add(&tallies[i].latency)
		for kind, n := range tallies[i].errors {
			sum.errors[kind] += n
		}
		sum.first = cmp.Or(sum.first, tallies[i].first)
	}
	if err := errors.Join(broken...); err != nil {
		return nil, err
	}
	if sum.latency.n == 0 {
		return nil, fmt.Errorf("no operation succeeded in %v: %v", length, sum.first)
	}
	return sum, nil
}

// failed counts an error, and connects again where the connection is of no more use.
func (w *worker) failed(t *tally, err error) error {
	kind := "connection"
	var r *refused
	switch {
	case errors.As(err, &r):
		kind = fmt.Sprint(r.status)
	case errors.Is(err, errNoMail):
		kind = "no mail"
	}
	if t.errors == nil {
		t.errors = map[string]int{}
		t.first = err
	}
	t.errors[kind]++
	if kind != "connection" {
		return nil
	}
	w.Close()
	again, err := dial(w.server.address)
	if err != nil {
		return err
	}
	w.conn = again
	return nil
}

// A summary is the median of several runs, and how far they lay apart.
type summary struct {
	measurement
	Runs   []*measurement `json:"runs"`
	Spread float64        `json:"spread"` // of the rate: (largest − smallest) ÷ median
}

func summarise(runs []*measurement) *summary {
	s := &summary{Runs: runs}
	s.Errors = map[string]int{}
	for _, m := range runs {
		s.Seconds += m.Seconds
		s.Operations += m.Operations
		for kind, n := range m.Errors {
			s.Errors[kind] += n
		}
	}
	for _, f := range figures {
		*f.of(&s.measurement) = median(values(runs, f.of))
	}
	rates := values(runs, figures[0].of)
	s.Spread = (slices.Max(rates) - slices.Min(rates)) / s.Rate
	return s
}

func values(runs []*measurement, of func(*measurement) *float64) []float64 {
	list := make([]float64, len(runs))
	for i, m := range runs {
		list[i] = *of(m)
	}
	return list
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	if len(list) == 0 {
		return 0
	}
	return (list[(len(list)-1)/2] + list[len(list)/2]) / 2
}

// failures writes errors by kind on one line; empty where there were none.
func failures(errors map[string]int) string {
	text := ""
	for _, kind := range slices.Sorted(maps.Keys(errors)) {
		text += fmt.Sprintf(" %d × %s", errors[kind], kind)
	}
	return text
}

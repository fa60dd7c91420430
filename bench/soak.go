package main

import (
	"bytes"
	"errors"
	"fmt"
	"time"
)

// soakShare is the share of the largest rate that a soak holds.
const soakShare = 0.7

// A sample is what one minute of a soak found.
type sample struct {
	p99        float64 // ms
	memory     float64 // MiB
	handles    float64
	goroutines float64 // zero: its metrics do not say
}

// A growth says how much of what a soak watches may grow over the whole of it, as
// a share of its median: what leaks grows without end, and noise does not.
var growths = []struct {
	name    string
	of      func(sample) float64
	allowed float64
}{
	{"p99, ms", func(s sample) float64 { return s.p99 }, 0.5},
	{"memory, MiB", func(s sample) float64 { return s.memory }, 0.1},
	{"file handles", func(s sample) float64 { return s.handles }, 0.1},
	{"goroutines", func(s sample) float64 { return s.goroutines }, 0.1},
}

// soak holds a rate, and is an error where something grew.
func (o options) soak(length time.Duration) error {
	var grown []error
	for _, engine := range o.engines {
		if err := o.soakEngine(engine, length); err != nil {
			grown = append(grown, fmt.Errorf("%s: %w", engine, err))
		}
	}
	return errors.Join(grown...)
}

func (o options) soakEngine(engine string, length time.Duration) (err error) {
	s, err := o.target(engine, engine, o.binary, o.users)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.showMetrics(); err != nil {
		return err
	}
	visit := load{connections: 8 * connections, address: manyAddresses, one: (*worker).visit}
	peak := visit
	peak.connections = connections
	m, err := s.run(peak, 5*time.Second, 20*time.Second)
	if err != nil {
		return err
	}
	visit.rate = soakShare * m.Rate
	progress("%s: %.0f visits a second is the most; %.0f for %v", engine, m.Rate, visit.rate, length)

	const slice = time.Minute
	var samples []sample
	refused := map[string]int{}
	for range max(int(length/min(slice, length)), 1) {
		m, err := s.run(visit, 0, min(slice, length))
		if err != nil {
			return err
		}
		one := sample{m.P99, m.Memory, float64(handlesOf(s.pid())), s.goroutines()}
		samples = append(samples, one)
		for kind, n := range m.Errors {
			refused[kind] += n
		}
		progress("%s %4d min %7.0f/s  p99 %.1f ms  %.1f MiB  %.0f handles  %.0f goroutines%s", engine, len(samples), m.Rate, one.p99, one.memory, one.handles, one.goroutines, failures(m.Errors))
	}
	fmt.Printf("%s: %.0f visits a second (sign-in, refresh, look-up) for %v\n", engine, visit.rate, length)
	var grown []error
	for _, g := range growths {
		list := make([]float64, len(samples))
		for i, s := range samples {
			list[i] = g.of(s)
		}
		middle, growth := median(list), slope(list)*float64(len(list))
		verdict := "flat"
		switch {
		case middle == 0:
			verdict = "not measured: the server's metrics do not say"
		case growth > g.allowed*middle:
			verdict = "grows"
			grown = append(grown, fmt.Errorf("%s grow by %.3g over %v, from a median of %.3g", g.name, growth, length, middle))
		}
		fmt.Printf("%16s  median %8.3g  growth over the whole %+8.3g  %s\n", g.name, middle, growth, verdict)
	}
	if len(refused) > 0 {
		grown = append(grown, fmt.Errorf("requests were refused:%s", failures(refused)))
	}
	return errors.Join(grown...)
}

// visit is a sign-in and what an app does next.
func (w *worker) visit() error {
	t, err := w.signIn()
	if err != nil {
		return err
	}
	w.held = append(w.held[:0], t)
	if err := w.refresh(); err != nil {
		return err
	}
	return w.ask("GET", "/v1/user", 0, "Authorization: Bearer "+t.access+"\r\n", "")
}

// slope is by how much values grow from one to the next: the median over all pairs
// (Theil and Sen), of which a quarter may be outliers. The first fifth is left out:
// caches fill.
func slope(values []float64) float64 {
	values = values[len(values)/5:]
	var slopes []float64
	for i := range values {
		for j := range i {
			slopes = append(slopes, (values[i]-values[j])/float64(i-j))
		}
	}
	return median(slopes)
}

// showMetrics starts the server again with a listener for its metrics.
func (s *server) showMetrics() error {
	if err := s.stop(); err != nil {
		return err
	}
	address, err := freeAddress()
	if err != nil {
		return err
	}
	s.metrics = address
	s.env = append(s.env, "SPLITPIN_METRICS_LISTEN="+address)
	_, err = s.start()
	return err
}

// goroutines asks the server's listener for metrics; zero where it does not say.
func (s *server) goroutines() (n float64) {
	c, err := dial(s.metrics)
	if err != nil {
		return 0
	}
	defer c.Close()
	c.out = append(c.out, "GET /metrics HTTP/1.1\r\nHost: "+s.metrics+"\r\n\r\n"...)
	if c.do() != nil || c.status != 200 {
		return 0
	}
	_, after, _ := bytes.Cut(c.body, []byte("\ngo_goroutines "))
	fmt.Sscan(string(after[:min(20, len(after))]), &n)
	return n
}

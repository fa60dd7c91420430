package signin

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/splitpin/splitpin"
)

// A memory is what one node knows of those it refused, so that refusing them
// again costs little. It is a shortcut: what it has forgotten, or never knew because
// another node did the refusing, the store decides as before.
type memory struct {
	mu       sync.Mutex
	limits   map[limit]answered
	suspects map[netip.Prefix]time.Time // networks that showed garbage, until when they count as such

	since    time.Time // of the count of newcomers
	newcomer int       // networks that became suspects since then
	all      time.Time // every network is one until then
}

// A limit is a charge without its cost. What an operator changed is another limit.
type limit struct {
	key    int64
	burst  int
	period time.Duration
}

// answered is what the store said of a limit: it admits nothing until then; or, to
// a question, that it admits something.
type answered struct {
	at, until time.Time
	refused   bool
}

const (
	// memoryMax bounds each of the two tables: some megabytes.
	memoryMax = 1 << 16

	// askedFor is how long the answer to a question counts: a network that was
	// refused asks it with every request.
	askedFor = time.Second

	suspectFor = 5 * time.Minute
	// When so many networks become suspects within suspectFor, the garbage comes from
	// everywhere, and for a while all are.
	manySuspects = 500
)

// take charges limits, but asks the store only where it is not known that one of
// them will refuse.
func (e *Engine) take(ctx context.Context, now time.Time, charges ...splitpin.Charge) (refused int, wait time.Duration, err error) {
	if refused, wait, known := e.memory.answer(now, charges); known {
		return refused, wait, nil
	}
	refused, wait, err = e.store.Take(ctx, now, charges...)
	if err == nil {
		e.memory.learn(now, charges, refused, wait)
	}
	return refused, wait, err
}

func (m *memory) answer(now time.Time, charges []splitpin.Charge) (refused int, wait time.Duration, known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.limits) == 0 {
		return 0, 0, false
	}
	for i, c := range charges {
		a, there := m.limits[limit{c.Key, c.Burst, c.Period}]
		switch {
		case !there || now.Before(a.at) || !now.Before(a.until): // over, or the clock went back
		case a.refused && c.Cost >= 0:
			return i, a.until.Sub(now), true
		case !a.refused && c.Cost == 0 && len(charges) == 1:
			return -1, 0, true
		}
	}
	return 0, 0, false
}

// learn keeps what the store answered. Costs above one say nothing about one; what
// is given back may make room.
func (m *memory) learn(now time.Time, charges []splitpin.Charge, refused int, wait time.Duration) {
	keep := func(c splitpin.Charge, a answered) {
		if m.limits == nil {
			m.limits = map[limit]answered{}
		}
		if len(m.limits) >= memoryMax {
			shrink(m.limits, func(a answered) bool { return !now.Before(a.until) })
		}
		m.limits[limit{c.Key, c.Burst, c.Period}] = a
	}
	switch {
	case refused >= 0 && charges[refused].Cost <= 1:
		m.mu.Lock()
		keep(charges[refused], answered{now, now.Add(wait), true})
		m.mu.Unlock()
	case refused < 0 && len(charges) == 1 && charges[0].Cost == 0:
		m.mu.Lock()
		keep(charges[0], answered{now, now.Add(askedFor), false})
		m.mu.Unlock()
	case charges[0].Cost < 0:
		m.mu.Lock()
		for _, c := range charges {
			delete(m.limits, limit{c.Key, c.Burst, c.Period})
		}
		m.mu.Unlock()
	}
}

// shrink forgets what is over, and where that is little, some of the rest.
func shrink[K comparable, V any](table map[K]V, over func(V) bool) {
	for key, v := range table {
		if over(v) {
			delete(table, key)
		}
	}
	for key := range table { // in no order
		if len(table) <= memoryMax-memoryMax/8 {
			return
		}
		delete(table, key)
	}
}

// isSuspect reports whether the caller's network showed garbage lately: a token, a
// code or a secret that belongs to nothing. What comes from there is looked up by
// reading, and only what is genuine reaches a step that could write. It gets the
// same answers as anybody.
func (m *memory) isSuspect(now time.Time, by Caller) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return now.Before(m.all) || now.Before(m.suspects[by.prefix()])
}

// Suspects reports whether the network of a client showed garbage lately, for a
// face that has to choose whom to serve first.
func (e *Engine) Suspects(addr netip.Addr) bool {
	return e.memory.isSuspect(e.moment(), Caller{Addr: addr})
}

// suspect notes that a network showed garbage.
func (m *memory) suspect(now time.Time, by Caller) {
	network := by.prefix()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.suspects == nil {
		m.suspects = map[netip.Prefix]time.Time{}
	}
	until, there := m.suspects[network]
	if !there || !now.Before(until) {
		if now.Sub(m.since).Abs() >= suspectFor {
			m.since, m.newcomer = now, 0
		}
		if m.newcomer++; m.newcomer > manySuspects {
			m.all = now.Add(suspectFor)
		}
		if len(m.suspects) >= memoryMax {
			shrink(m.suspects, func(until time.Time) bool { return !now.Before(until) })
		}
	}
	m.suspects[network] = now.Add(suspectFor)
}

// prefix is Network as a value.
func (c Caller) prefix() netip.Prefix {
	a := c.Addr.Unmap().WithZone("")
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, _ := a.Prefix(bits) // the zero Prefix where there is no address
	return p
}

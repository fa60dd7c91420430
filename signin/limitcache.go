package signin

import (
	"context"
	"sync"
	"time"

	"github.com/splitpin/splitpin"
)

// A limitCache is what one node knows of the limits that refused, so that refusing
// again costs little. It is a shortcut: what it has forgotten, or never knew because
// another node did the refusing, the store decides as before. The zero value is
// ready.
type limitCache struct {
	mu     sync.Mutex
	limits map[limit]answered
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

// askedFor is how long the answer to a question counts: a network that was
// refused asks it with every request.
const askedFor = time.Second

// tableMax bounds each table that a node keeps of callers: some megabytes.
const tableMax = 1 << 16

// take charges limits, but asks the store only where it is not known that one of
// them will refuse.
func (e *Engine) take(ctx context.Context, now time.Time, charges ...splitpin.Charge) (refused int, wait time.Duration, err error) {
	if refused, wait, known := e.cache.answer(now, charges); known {
		return refused, wait, nil
	}
	refused, wait, err = e.store.Take(ctx, now, charges...)
	if err == nil {
		e.cache.learn(now, charges, refused, wait)
	}
	return refused, wait, err
}

func (m *limitCache) answer(now time.Time, charges []splitpin.Charge) (refused int, wait time.Duration, known bool) {
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
func (m *limitCache) learn(now time.Time, charges []splitpin.Charge, refused int, wait time.Duration) {
	keep := func(c splitpin.Charge, a answered) {
		if m.limits == nil {
			m.limits = map[limit]answered{}
		}
		if len(m.limits) >= tableMax {
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
		if len(table) <= tableMax-tableMax/8 {
			return
		}
		delete(table, key)
	}
}

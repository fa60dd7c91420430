package store

import (
	"context"
	"slices"
	"time"

	"github.com/splitpin/splitpin"
)

// A takeCall is one call of Take on its way.
type takeCall struct {
	call
	now     time.Time
	charges []splitpin.Charge

	refused int
	wait    time.Duration
	err     error
}

// newTakes makes the queue of the calls of Take on this node. Those that share a
// transaction lock and write the row of each key once, so a limit that everybody charges
// is no slower than one that nobody else does. Every limit is exact, over all nodes: its
// row is locked, or where there is none yet, its creation fails for all but one, and the
// others run again.
func (s *Postgres) newTakes() *queue[*takeCall] {
	return &queue[*takeCall]{line: line[*takeCall]{wait: acquireTime}, lanes: 1, group: 512, work: func(group []*takeCall) {
		if err := s.repeat(context.Background(), func() (fate, error) { return s.takeTogether(group) }); err != nil {
			for _, c := range group {
				c.refused, c.wait, c.err = -1, 0, err
			}
		}
	}}
}

var (
	// What a crash loses is what was committed in the last moments.
	pgNotDurable  = newQuery("SET LOCAL synchronous_commit = off")
	limitsLocked  = newQuery("SELECT key, mark FROM limits WHERE key = ANY($1) ORDER BY key FOR NO KEY UPDATE")
	limitsNew     = newQuery("INSERT INTO limits (key, mark) SELECT key, mark FROM unnest($1, $2) AS new (key, mark) ORDER BY key")
	limitsChanged = newQuery("UPDATE limits SET mark = new.mark FROM unnest($1, $2) AS new (key, mark) WHERE limits.key = new.key")
)

// Take implements [splitpin.Store].
func (s *Postgres) Take(ctx context.Context, now time.Time, charges ...splitpin.Charge) (refused int, wait time.Duration, err error) {
	if err := distinct(charges); err != nil {
		return -1, 0, err
	}
	c := &takeCall{call: newCall(), now: now, charges: charges}
	if err := s.takes.do(ctx, c); err != nil {
		return -1, 0, err
	}
	return c.refused, c.wait, c.err
}

// takeTogether charges for all calls of a group, in their order, in one transaction.
func (s *Postgres) takeTogether(group []*takeCall) (fate, error) {
	var keys []int64
	for _, c := range group {
		for _, charge := range c.charges {
			keys = append(keys, charge.Key)
		}
	}
	if len(keys) == 0 {
		for _, c := range group {
			c.refused = -1
		}
		return done, nil
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)

	ctx := context.Background()
	r, err := s.pooled(ctx)
	if err != nil {
		return broken, err
	}
	defer s.release(r)
	t := r.Value().trip(ctx, stepTime)
	t.send(pgBegin, nil)
	if t.link.unnamed {
		t.send(pgTimeouts, nil)
	}
	t.send(pgNotDurable, nil)
	l := limits{marks: make(map[int64]int64, len(keys)), dirty: make(map[int64]int64, len(keys))}
	there := make(map[int64]bool, len(keys))
	t.send(limitsLocked, func(s *pgScanner) error {
		key := s.int64()
		l.marks[key], there[key] = s.int64(), true
		return nil
	}, keys)
	if why, err := s.ended(ctx, t); err != nil {
		return why, err
	}
	for _, c := range group {
		c.refused, c.wait = l.take(c.now, c.charges)
	}
	if len(l.dirty) == 0 {
		return done, nil // release rolls back
	}
	var newKeys, newMarks, oldKeys, oldMarks []int64
	for _, key := range keys {
		switch mark, changed := l.dirty[key]; {
		case !changed:
		case there[key]:
			oldKeys, oldMarks = append(oldKeys, key), append(oldMarks, mark)
		case mark != 0: // where there is none, the bucket is full
			newKeys, newMarks = append(newKeys, key), append(newMarks, mark)
		}
	}
	t = r.Value().trip(ctx, stepTime)
	if len(oldKeys) > 0 {
		t.send(limitsChanged, nil, oldKeys, oldMarks)
	}
	if len(newKeys) > 0 {
		t.send(limitsNew, nil, newKeys, newMarks)
	}
	committed := s.commit(t)
	why, err := s.ended(ctx, t)
	switch {
	case *committed:
		return done, nil
	case why == taken:
		return conflict, err // another node made the row: now it is there to lock
	case why == lost:
		// Charged or not, nobody knows, which the contract allows; charging again here
		// might count twice.
		return broken, unavailable(err)
	}
	return why, err
}

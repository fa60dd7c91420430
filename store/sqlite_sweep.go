package store

import (
	"context"
	"errors"
	"sync"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/splitpin/splitpin"
)

// keptAfter is how long attempts, grants and messages stay after they expired,
// for those who ask what became of them.
const keptAfter = time.Hour

// sweepWindow is how many records of a table one call of Sweep looks at, from
// where the last call stopped; before that it looks at the oldest. So a sweep costs
// the same however large a table is, and needs no index on the times, which
// would cost a page at every write. In a table that holds more live records than
// that, one that died early waits until the window comes by.
const (
	sweepWindow = 10_000
	sweepOldest = 1_000
)

// sweeps remembers how far each table was looked through, and in which of them the
// last call had enough.
type sweeps struct {
	mu   sync.Mutex // one sweep at a time
	from [8]int64
	at   int
}

// round sweeps what has places, one after the other, to the end or until limit are
// gone. It goes on where the last call had enough: a table without anything dead is
// looked through once a round, and not once for every batch from another.
func (s *sweeps) round(places, limit int, sweep func(place, limit int) (gone int, err error)) (swept int, err error) {
	for ; s.at < places; s.at++ {
		gone, err := sweep(s.at, limit-swept)
		if swept += gone; err != nil || swept >= limit {
			return swept, err
		}
	}
	s.at = 0
	return swept, nil
}

// A sweepTable is a sweeper with the moment that decides now.
type sweepTable struct {
	sweeper
	moment int64
}

// sweepTables returns what an engine sweeps, in order.
func sweepTables(now, auditBefore time.Time, engine string) []sweepTable {
	expired := now.Add(-keptAfter).UnixMicro()
	today := now.Unix() / (24 * 60 * 60)
	tables := []sweepTable{
		{sweepGrants, expired},
		{sweepMessages, expired},
		{sweepAttempts, expired},
		{sweepSessions, now.UnixMicro()},
		{sweepCredentials, now.UnixMicro()},
		{sweepGuesses, today - 31},
		{sweepEvents, micros(auditBefore)},
	}
	if engine == "postgres" {
		tables = append(tables, sweepTable{sweepLimits, now.UnixMicro()})
	}
	return tables
}

// findDead returns at most limit dead records, and moves next to where the following
// call goes on. look returns at most limit dead ones among the window that follows
// from, and the last that it saw.
func (t sweepTable) findDead(next *int64, limit int, look func(from int64, window, limit int) (dead []int64, last int64, err error)) ([]int64, error) {
	// The oldest first: nearly all that is dead is there.
	dead, _, err := look(smallest, sweepOldest+limit, limit)
	if err != nil || len(dead) == limit {
		return dead, err
	}
	found, last, err := look(*next, sweepWindow, limit-len(dead))
	if err != nil {
		return nil, err
	}
	if last == smallest && *next != smallest && len(found) == 0 { // the end: round again
		found, last, err = look(smallest, sweepWindow, limit-len(dead))
		if err != nil {
			return nil, err
		}
	}
	*next = last
	return append(dead, found...), nil
}

// smallest is below every number and key.
const smallest = -1

// looked is what a look found so far.
type looked struct {
	dead  []int64
	limit int
	seen  int
	last  int64 // at first where the look begins
}

func (l *looked) see(number int64, dead bool) {
	if len(l.dead) == l.limit {
		return
	}
	l.seen++
	l.last = number
	if dead {
		l.dead = append(l.dead, number)
	}
}

// end returns the dead and the last number that was looked at, or smallest where the
// table ended before the window did.
func (l *looked) end(window int) (dead []int64, last int64) {
	if l.seen < window && len(l.dead) < l.limit {
		l.last = smallest
	}
	return l.dead, l.last
}

// Sweep implements [splitpin.Store]. It looks for the dead on a reading connection,
// at the whole of a table that has fewer than sweepWindow records; the writer only
// deletes what was found, if it is dead still.
func (s *SQLite) Sweep(ctx context.Context, now, auditBefore time.Time, limit int) (int, error) {
	s.sweeps.mu.Lock()
	defer s.sweeps.mu.Unlock()
	tables := sweepTables(now, auditBefore, s.Engine())
	return s.sweeps.round(len(tables)+1, limit, func(place, limit int) (gone int, err error) {
		if place < len(tables) {
			return s.sweepTable(ctx, tables[place], &s.sweeps.from[place], limit)
		}
		s.limits.mu.Lock()
		defer s.limits.mu.Unlock()
		return s.limits.prune(now, limit), nil
	})
}

func (s *SQLite) sweepTable(ctx context.Context, t sweepTable, from *int64, limit int) (gone int, err error) {
	var dead []int64
	next := *from
	err = s.scanning(ctx, func(c *connection) (err error) {
		dead, err = t.findDead(&next, limit, func(from int64, window, limit int) ([]int64, int64, error) {
			return t.look(c, from, window, limit)
		})
		return err
	})
	if err != nil || len(dead) == 0 {
		*from = next
		return 0, err
	}
	err = s.do(ctx, func(c *connection) error {
		return c.atomically(func() error {
			gone = 0
			for _, number := range dead {
				if err := c.execute(t.remove, t.moment, number); err != nil {
					return err
				}
				gone += c.Changes()
			}
			return nil
		})
	})
	if err != nil {
		return 0, err
	}
	*from = next
	return gone, nil
}

// errEnough ends a query whose further rows nobody wants.
var errEnough = errors.New("enough rows")

func (t sweepTable) look(c *connection, from int64, window, limit int) (dead []int64, last int64, err error) {
	found := looked{limit: limit, last: from}
	err = c.query(t.find, func(stmt *sqlite.Stmt) error {
		found.see(stmt.ColumnInt64(0), stmt.ColumnBool(1))
		if len(found.dead) == limit {
			return errEnough
		}
		return nil
	}, t.moment, from, window)
	if err == errEnough {
		err = nil
	}
	dead, last = found.end(window)
	return dead, last, err
}

// ClaimMessages implements [splitpin.Store].
func (s *SQLite) ClaimMessages(ctx context.Context, now, until time.Time, limit int) (claimed []splitpin.Claimed, err error) {
	err = s.doKnown(ctx, func(c *connection) error {
		due, err := all(c, messages, messagesDue, now.UnixMicro(), max(limit, 0))
		if err != nil || len(due) == 0 {
			return err
		}
		defer c.recent.clear()
		return c.atomically(func() error {
			claimed = make([]splitpin.Claimed, 0, len(due))
			for _, m := range due {
				m.DueAt = until.Truncate(time.Microsecond).UTC()
				m.Tries++
				if err := c.execute(messageClaim, m.Number, until.UnixMicro()); err != nil {
					return err
				}
				claimed = append(claimed, splitpin.Claimed{Message: m, Attempt: get(c, &err, attempts, attemptByKey, m.Attempt)})
			}
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return claimed, nil
}

package store

import (
	"context"
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

// sweeps remembers how far each table was looked through.
type sweeps struct {
	mu   sync.Mutex // one sweep at a time
	from [6]int64
}

// Sweep implements [splitpin.Store]. It looks for the dead on a reading connection,
// at the whole of a table that has fewer than sweepWindow records; the writer only
// deletes what was found, if it is dead still.
func (s *SQLite) Sweep(ctx context.Context, now, auditBefore time.Time, limit int) (int, error) {
	s.sweeps.mu.Lock()
	defer s.sweeps.mu.Unlock()
	expired := now.Add(-keptAfter).UnixMicro()
	today := now.Unix() / (24 * 60 * 60)
	swept := 0
	for i, table := range []struct {
		sweeper
		moment int64
	}{
		{sweepGrants, expired},
		{sweepMessages, expired},
		{sweepAttempts, expired},
		{sweepSessions, now.UnixMicro()},
		{sweepGuesses, today - 31},
		{sweepEvents, micros(auditBefore)},
	} {
		if swept >= limit {
			return swept, nil
		}
		gone, err := s.sweepTable(ctx, table.sweeper, table.moment, &s.sweeps.from[i], limit-swept)
		if err != nil {
			return swept, err
		}
		swept += gone
	}
	s.limits.mu.Lock()
	defer s.limits.mu.Unlock()
	return swept + s.limits.prune(now, limit-swept), nil
}

func (s *SQLite) sweepTable(ctx context.Context, t sweeper, moment int64, from *int64, limit int) (gone int, err error) {
	var dead []int64
	next := *from
	err = s.scanning(ctx, func(c *connection) error {
		// The oldest first: nearly all that is dead is there.
		oldest, _, err := t.look(c, moment, smallest, sweepOldest+limit, limit)
		if err != nil {
			return err
		}
		dead = oldest
		if len(dead) == limit {
			return nil
		}
		found, last, err := t.look(c, moment, next, sweepWindow, limit-len(dead))
		if err != nil {
			return err
		}
		if last == smallest && next != smallest { // the end: round again
			found, last, err = t.look(c, moment, smallest, sweepWindow, limit-len(dead))
			if err != nil {
				return err
			}
		}
		next = last
		dead = append(dead, found...)
		return nil
	})
	if err != nil || len(dead) == 0 {
		*from = next
		return 0, err
	}
	err = s.do(ctx, func(c *connection) error {
		return c.atomically(func() error {
			gone = 0
			for _, number := range dead {
				if err := c.execute(t.remove, moment, number); err != nil {
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

// smallest is below every number and key.
const smallest = -1

// look returns at most limit dead records among the next window ones after
// from, and the number of the last it looked at, or smallest where the table
// ended before.
func (t sweeper) look(c *connection, moment, from int64, window, limit int) (dead []int64, last int64, err error) {
	seen := 0
	last = from
	err = c.query(t.find, func(stmt *sqlite.Stmt) error {
		if len(dead) == limit {
			return nil
		}
		seen++
		last = stmt.ColumnInt64(0)
		if stmt.ColumnBool(1) {
			dead = append(dead, last)
		}
		return nil
	}, moment, from, window)
	if seen < window && len(dead) < limit {
		last = smallest
	}
	return dead, last, err
}

// ClaimMessages implements [splitpin.Store].
func (s *SQLite) ClaimMessages(ctx context.Context, now, until time.Time, limit int) (claimed []splitpin.Claimed, err error) {
	err = s.do(ctx, func(c *connection) error {
		due, err := all(c, messages, messagesDue, now.UnixMicro(), max(limit, 0))
		if err != nil || len(due) == 0 {
			return err
		}
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

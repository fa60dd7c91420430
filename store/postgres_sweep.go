package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/splitpin/splitpin"
)

// sweepLimits sweeps what SQLite keeps in memory.
var sweepLimits = newSweeper("limits", "key", "mark <= $1")

// Sweep implements [splitpin.Store]. Rows that a step has locked are left for the
// next time.
func (s *Postgres) Sweep(ctx context.Context, now, auditBefore time.Time, limit int) (swept int, err error) {
	s.sweeps.mu.Lock()
	defer s.sweeps.mu.Unlock()
	tables := sweepTables(now, auditBefore, s.Engine())
	return s.sweeps.round(len(tables), limit, func(place, limit int) (gone int, err error) {
		return s.sweepTable(ctx, tables[place], &s.sweeps.from[place], limit)
	})
}

func (s *Postgres) sweepTable(ctx context.Context, table sweepTable, from *int64, limit int) (gone int, err error) {
	next := *from
	dead, err := table.findDead(&next, limit, func(from int64, window, limit int) (dead []int64, last int64, err error) {
		return s.look(ctx, table, from, window, limit)
	})
	if err != nil {
		return 0, err
	}
	if len(dead) > 0 {
		err = s.atLength(ctx, func(t *trip) {
			t.link.bind.reset(2)
			t.link.bind.bind([]any{table.moment, dead})
			t.sendBound(table.removeAll, request{query: table.removeAll, done: func(tag pgconn.CommandTag) { gone = int(tag.RowsAffected()) }})
		})
		if err != nil {
			return 0, err
		}
	}
	*from = next
	return gone, nil
}

func (s *Postgres) look(ctx context.Context, t sweepTable, from int64, window, limit int) (dead []int64, last int64, err error) {
	var found looked
	err = s.atLength(ctx, func(trip *trip) {
		found = looked{limit: limit, last: from}
		trip.send(t.find, func(s *pgScanner) error {
			var over bool
			number := s.int64()
			s.Bool(&over)
			found.see(number, over)
			return nil
		}, t.moment, from, window)
	})
	dead, last = found.end(window)
	return dead, last, err
}

// messagesClaimed claims in one statement: what is due and not locked by another node
// is locked, moved and returned, with what attempts are left of those it belongs to.
var messagesClaimed = newQuery(`WITH due AS MATERIALIZED (
		SELECT number, due_at AS was FROM messages WHERE due_at <= $1 AND sent_at = 0 AND given_up_at = 0
		ORDER BY due_at, number LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED
	), claimed AS (
		UPDATE messages SET due_at = $2, tries = tries + 1 FROM due WHERE messages.number = due.number
		RETURNING due.was, %s
	)
	SELECT %s, attempts.number IS NOT NULL, %s FROM claimed LEFT JOIN attempts ON attempts.number = claimed.attempt
	ORDER BY claimed.was, claimed.number`,
	messages.listOf("messages"), messages.listOf("claimed"), attempts.listOf("attempts"))

// ClaimMessages implements [splitpin.Store]. When the answer is lost, the messages are
// claimed by nobody until they are due again.
func (s *Postgres) ClaimMessages(ctx context.Context, now, until time.Time, limit int) (claimed []splitpin.Claimed, err error) {
	err = s.atLength(ctx, func(t *trip) {
		claimed = nil
		t.send(messagesClaimed, func(s *pgScanner) error {
			var c splitpin.Claimed
			c.Message = new(splitpin.Message)
			messageColumns(c.Message, s)
			var there bool
			if s.Bool(&there); there {
				c.Attempt = new(splitpin.Attempt)
				attemptColumns(c.Attempt, s)
			}
			claimed = append(claimed, c)
			return nil
		}, now.UnixMicro(), until.UnixMicro(), max(limit, 0))
	})
	if err != nil {
		return nil, err
	}
	return claimed, nil
}

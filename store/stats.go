package store

import (
	"context"
	"time"

	"zombiezen.com/go/sqlite"
)

// Stats is what a store knows of itself at one moment, for whoever watches it.
// What an engine has no such thing of is zero.
type Stats struct {
	Waiting int // steps that wait for the transaction under way to end
	Taking  int // calls of Take that wait for the transaction under way to end; PostgreSQL only
	Queue   int // how many of each may wait, or for a connection; more are refused

	Busy        int // connections at work: SQLite's are those that read
	Connections int // how many there may be
	Awaiting    int // calls that wait for a connection

	Refused   uint64 // calls refused since the start, because too much waited
	Conflicts uint64 // runs of a step that another step made vain, and that were repeated

	Limits int // counters of Take in memory
}

// A Commit is one transaction that wrote, for Options.Committed.
type Commit struct {
	Steps  int           // that shared it
	Ran    time.Duration // from its beginning to the last statement of a step; PostgreSQL: the first round trip, which locks and loads
	Synced time.Duration // of the COMMIT, which makes it durable; PostgreSQL: the second round trip, which writes and commits
	Failed bool          // nothing of it was kept, or nobody can tell any more
}

// A Backlog is what the outbox has not finished.
type Backlog struct {
	Messages  int       // neither sent nor given up; counted up to 10,000
	OldestDue time.Time // when the one that waits longest could be tried; in the future where all wait for their next try; zero: there is none
	Oldest    time.Time // when the oldest of them was queued; zero: there is none
}

const backlogMax = 10_000 // bounds what asking costs when nothing can be sent

var messagesWaiting = newQuery(`SELECT count(*), min(due_at), min(created_at) FROM (SELECT due_at, created_at FROM messages
	WHERE sent_at = 0 AND given_up_at = 0 ORDER BY due_at LIMIT $1) AS waiting`)

// Stats returns what the store knows of itself. It is quick and never waits.
func (s *SQLite) Stats() Stats {
	s.limits.mu.Lock()
	limits := len(s.limits.marks)
	s.limits.mu.Unlock()
	return Stats{
		Waiting: len(s.queue.calls), Queue: cap(s.queue.calls),
		Busy: s.size - len(s.readers), Connections: s.size, Awaiting: int(s.awaiting.Load()),
		Refused: s.queue.refused.Load(), Conflicts: s.conflicts.Load(), Limits: limits,
	}
}

// Backlog returns what the outbox has not finished.
func (s *SQLite) Backlog(ctx context.Context) (b Backlog, err error) {
	err = s.scanning(ctx, func(c *connection) error {
		return c.query(messagesWaiting, func(stmt *sqlite.Stmt) error {
			if b.Messages = stmt.ColumnInt(0); b.Messages > 0 {
				b.OldestDue, b.Oldest = time.UnixMicro(stmt.ColumnInt64(1)).UTC(), time.UnixMicro(stmt.ColumnInt64(2)).UTC()
			}
			return nil
		}, backlogMax)
	})
	return b, err
}

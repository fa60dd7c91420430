package store

import (
	"context"
	"errors"
	"fmt"
	"os"

	"zombiezen.com/go/sqlite"
)

// ErrReplaced is what Current returns in a node that must end.
var ErrReplaced = errors.New("the database under this server was put back to an earlier state or replaced by another; " +
	"what this process remembers of it is wrong. Start it again")

// An era is what must not change below a process that runs.
type era struct {
	file    os.FileInfo // SQLite only
	epoch   string
	numbers int64 // at least; grows
}

// over returns why a process of era e must end when it finds now, or nil.
func (e *era) over(now *era) error {
	switch {
	case e.epoch != now.epoch:
		return fmt.Errorf("%w: a backup was restored, or it was moved to another database", ErrReplaced)
	case e.numbers > now.numbers:
		return fmt.Errorf("%w: numbers that were given out are free again", ErrReplaced)
	}
	return nil
}

// eraOf reads it on a connection to the file at path.
func eraOf(path string, c *connection) (*era, error) {
	file, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	e := &era{file: file}
	err = c.query(markGet, func(stmt *sqlite.Stmt) error { e.epoch = stmt.ColumnText(0); return nil }, string(epoch))
	if err == nil {
		e.numbers, err = c.number(counterGet, "numbers")
	}
	return e, err
}

// Current implements [Database].
func (s *SQLite) Current(ctx context.Context) error {
	// Before a connection is opened, which would say less plainly what is wrong.
	if _, err := os.Stat(s.path); errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: the file %s is gone", ErrReplaced, s.path)
	}
	before := s.era.Load()
	var now *era
	err := s.read(ctx, func(c *connection) (err error) {
		now, err = eraOf(s.path, c)
		return err
	})
	switch {
	case err != nil:
		return fmt.Errorf("looking at the database: %w", err)
	case !os.SameFile(before.file, now.file):
		return fmt.Errorf("%w: %s is another file", ErrReplaced, s.path)
	}
	if err := before.over(now); err != nil {
		return err
	}
	s.era.CompareAndSwap(before, now)
	return nil
}

// eraOf reads it in a trip of its own.
func (s *Postgres) eraOf(ctx context.Context) (*era, error) {
	e := new(era)
	err := s.once(ctx, func(t *trip) {
		t.send(markGet, func(s *pgScanner) error { s.Text(&e.epoch); return nil }, string(epoch))
		t.send(counterGet, func(s *pgScanner) error { s.Int64(&e.numbers); return nil }, "numbers")
	})
	return e, err
}

// Current implements [Database].
func (s *Postgres) Current(ctx context.Context) error {
	before := s.era.Load()
	now, err := s.eraOf(ctx)
	if err != nil {
		return fmt.Errorf("looking at the database: %w", err)
	}
	if before != nil {
		if err := before.over(now); err != nil {
			return err
		}
	}
	s.era.CompareAndSwap(before, now)
	return nil
}

var pgOthers = newQuery("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1")

// Others reports whether a node is connected to the database, or anybody else who
// opened it without the option Command. Those that a pooler hides are not seen.
func (s *Postgres) Others(ctx context.Context) (bool, error) {
	n := int64(0)
	err := s.once(ctx, func(t *trip) {
		t.send(pgOthers, func(s *pgScanner) error { s.Int64(&n); return nil }, s.nodes)
	})
	return n > 0, err
}

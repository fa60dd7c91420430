package store

import (
	"context"
	"fmt"
	"time"

	"zombiezen.com/go/sqlite"
)

// A MarkName names a fact about an installation as a whole. Marks are texts; the
// empty one stands for none.
type MarkName string

const (
	// BackupAt is when the last backup was finished, as FormatMark writes it.
	BackupAt MarkName = "backup_at"

	// epoch is random, and another one after a backup was restored. A node that
	// finds another epoch than at its start holds what is no longer true, such as
	// numbers that it may hand out, and must end.
	epoch MarkName = "epoch"

	// SendersOff is set in a trial copy of an installation, which must not write to
	// people: when it was made, as FormatMark writes it.
	SendersOff MarkName = "senders_off"

	// MovedAt is set in an installation that was moved to another database, or is being
	// moved: when that began, as FormatMark writes it. It is not opened any more, but
	// with [Options.Moved].
	MovedAt MarkName = "moved_at"
)

// FormatMark writes a moment as marks have it.
func FormatMark(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// ParseMark reads what FormatMark wrote; zero for the empty text.
func ParseMark(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	return time.Parse(time.RFC3339, text)
}

var (
	markGet    = newQuery("SELECT value FROM marks WHERE name = $1")
	markSet    = newQuery("INSERT INTO marks (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value")
	markDelete = newQuery("DELETE FROM marks WHERE name = $1")
)

// Mark returns a mark, empty where there is none.
func (s *SQLite) Mark(ctx context.Context, name MarkName) (value string, err error) {
	err = s.read(ctx, func(c *connection) error {
		return c.query(markGet, func(stmt *sqlite.Stmt) error { value = stmt.ColumnText(0); return nil }, string(name))
	})
	if err != nil {
		return "", fmt.Errorf("reading the mark %s: %w", name, err)
	}
	return value, nil
}

// SetMark sets a mark; the empty text removes it.
func (s *SQLite) SetMark(ctx context.Context, name MarkName, value string) error {
	err := s.do(ctx, func(c *connection) error {
		if value == "" {
			return c.execute(markDelete, string(name))
		}
		return c.execute(markSet, string(name), value)
	})
	if err != nil {
		return fmt.Errorf("setting the mark %s: %w", name, err)
	}
	return nil
}
